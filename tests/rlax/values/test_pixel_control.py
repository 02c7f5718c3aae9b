"""Rewards for changing pixels and features."""

import numpy as np
import pytest

import rlax


def test_cells_are_rewarded_for_change_and_learn_masked_streams():
    random = np.random.default_rng(0)
    frames = random.integers(0, 255, (4, 4, 6, 2), np.uint8)
    rewards = rlax.pixel_control_rewards(frames, 2)
    assert rewards.shape == (3, 2, 3)
    change = np.abs(np.diff(frames.astype(float), axis=0))
    np.testing.assert_allclose(rewards[1, 0, 2], change[1, :2, 4:].mean(), rtol=1e-5)
    values = random.standard_normal((4, 2, 3, 3)).astype(np.float32)
    actions = np.array([0, 2, 1])
    mask = np.array([1, 1, 0])
    loss = rlax.pixel_control_loss(
        frames, actions, values, np.array([0.9, 0.5, 0.9]), 2, mask_t=mask
    )
    g1 = rewards[1] + 0.5 * values[2].max(-1)
    g0 = rewards[0] + 0.9 * g1
    np.testing.assert_allclose(loss[1], 0.5 * (g1 - values[1, ..., 2]) ** 2, rtol=1e-4)
    np.testing.assert_allclose(loss[0], 0.5 * (g0 - values[0, ..., 0]) ** 2, rtol=1e-4)
    assert not loss[2].any()


FEATURES = np.array([[1.0, 2.0], [3.0, 1.0]])
WANTED = {
    "feature": [3, 1],
    "absolute_change": [2, 1],
    "increase": [2, -1],
    "decrease": [-2, 1],
    "potential": [0.5, -1.5],
}


@pytest.mark.parametrize("kind", WANTED)
def test_features_are_rewarded_by_kind(kind):
    have = rlax.feature_control_rewards(FEATURES, kind, 0.5)
    np.testing.assert_allclose(have, [WANTED[kind]])
