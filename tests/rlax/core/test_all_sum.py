"""Sums over arrays and mapped axes."""

import jax
import jax.numpy as jnp
import numpy as np

import rlax


def test_sum_runs_over_axes_and_devices():
    x = jnp.arange(6.0).reshape(2, 3)
    assert rlax.AllSum()(x) == 15
    np.testing.assert_array_equal(rlax.AllSum()(x, axis=1), [3, 12])
    spread = jax.vmap(rlax.AllSum("i"), axis_name="i")(x)
    np.testing.assert_array_equal(spread, [15, 15])
