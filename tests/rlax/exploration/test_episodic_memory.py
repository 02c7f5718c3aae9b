"""Nearest neighbours beside a plain search."""

import jax.numpy as jnp
import numpy as np

import rlax


def test_neighbours_equal_the_plain_search():
    random = np.random.default_rng(0)
    data, query = random.random((9, 2)), random.random((4, 2))
    distance = np.square(data[None] - query[:, None]).sum(-1)
    order = distance.argsort(-1)[:, :3]
    found = rlax.knn_query(data, query, 3)
    np.testing.assert_array_equal(found.neighbor_indices, order)
    np.testing.assert_allclose(found.neighbors, data[order], rtol=1e-6)
    np.testing.assert_allclose(
        found.neighbor_neg_distances, -np.sort(distance)[:, :3], rtol=1e-4
    )
    assert rlax.knn_query(data, query, 20).neighbors.shape == (4, 9, 2)
    far = rlax.knn_query(data, query, 1, metric=lambda x, y: -jnp.abs(x - y).sum())
    want = np.abs(data[None] - query[:, None]).sum(-1).argmax(-1)
    np.testing.assert_array_equal(far.neighbor_indices[:, 0], want)


def test_neighbours_are_a_mapping():
    found = rlax.knn_query(jnp.eye(3), jnp.ones((1, 3)), 2)
    assert list(found) == ["neighbors", "neighbor_indices", "neighbor_neg_distances"]
    np.testing.assert_allclose(found["neighbor_neg_distances"], [[-2, -2]])
