"""Windows of trajectories, and random starts of them."""

import jax
import numpy as np

import rlax


def test_last_step_repeats_past_the_end():
    x = np.arange(6)[:, None] * 10 + np.arange(2)  # x[t, b] = 10 t + b
    out = rlax.extract_subsequences(x, np.array([[0, 2], [3, 4]]), 3)
    np.testing.assert_array_equal(out[:, 0, 1], [20, 30, 40])
    np.testing.assert_array_equal(out[:, 1, 1], [41, 51, 51])


def test_starts_of_a_row_differ():
    starts = rlax.sample_start_indices(jax.random.PRNGKey(0), 50, 3, 4)
    assert starts.shape == (50, 3)
    assert all(len(set(row)) == 3 for row in np.asarray(starts))
    assert set(np.asarray(starts).ravel()) == {0, 1, 2, 3, 4}
