"""Observation, action and reward in one vector."""

import numpy as np

import rlax


def test_vector_holds_features_one_hot_action_and_squashed_reward():
    out = rlax.embed_oar(
        np.ones((4, 2, 3)), np.full((4, 2), 1), np.full((4, 2), 9.0), 2
    )
    assert out.shape == (4, 2, 6)
    np.testing.assert_allclose(out[0, 0], [1, 1, 1, 0, 1, np.tanh(9)], rtol=1e-6)
