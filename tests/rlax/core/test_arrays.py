"""Indexing, one-hot vectors and trailing axes."""

import jax.numpy as jnp
import numpy as np

import rlax


def test_batched_index_counts_from_both_ends_and_no_further():
    values = jnp.array([[1.0, 2.0], [3.0, 4.0]])
    np.testing.assert_array_equal(
        rlax.batched_index(values, jnp.array([1, -1])), [2, 4]
    )
    kept = rlax.batched_index(values, jnp.array([1, 0]), keepdims=True)
    np.testing.assert_array_equal(kept, [[2], [3]])
    assert jnp.isnan(rlax.batched_index(values, jnp.array([0, 2]))[1])


def test_one_hot_of_an_index_out_of_range_is_zeros():
    hot = rlax.one_hot(jnp.array([2, -1, 3]), 3, jnp.int32)
    np.testing.assert_array_equal(hot, [[0, 0, 1], [0, 0, 0], [0, 0, 0]])
    assert rlax.one_hot(1, 3).shape == (3,)


def test_left_broadcast_adds_trailing_axes():
    assert rlax.lhs_broadcast(np.ones(2), np.ones((2, 3, 4))).shape == (2, 1, 1)
