"""Noise, nearest neighbours, and rewards for the new."""

import jax
import jax.numpy as jnp
import numpy as np

import rlax


def test_noise():
    keys = jax.random.split(jax.random.key(0), 4000)
    action = jnp.array([1.0, -1.0])
    noisy = jax.vmap(lambda k: rlax.add_gaussian_noise(k, action, 0.5))(keys)
    np.testing.assert_allclose(noisy.mean(0), action, atol=0.05)
    np.testing.assert_allclose(noisy.std(0), [0.5, 0.5], atol=0.05)
    noisy = jax.vmap(
        lambda k: rlax.add_ornstein_uhlenbeck_noise(k, action, jnp.ones(2), 0.2, 0.1)
    )(keys)
    np.testing.assert_allclose(noisy.mean(0), action + 0.8, atol=0.02)
    prior = jnp.full((2, 4), 0.25)
    mixed = rlax.add_dirichlet_noise(keys[0], prior, 0.3, 0.25)
    np.testing.assert_allclose(mixed.sum(-1), 1, rtol=1e-5)
    assert (mixed >= 0.75 * 0.25).all()
    assert mixed.std() > 0


def test_nearest_neighbours():
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


def test_novelty_is_rewarded():
    seen, new = np.zeros((2, 3), np.float32), 5 * np.eye(3, dtype=np.float32)[:2]
    low, state = rlax.episodic_memory_intrinsic_rewards(seen, 2, 1.0, max_memory_size=5)
    high, later = rlax.episodic_memory_intrinsic_rewards(new, 2, 1.0, state)
    assert (high > low).all()
    again, _ = rlax.episodic_memory_intrinsic_rewards(new, 2, 1.0, later)
    assert (again < high).all()
    none, _ = rlax.episodic_memory_intrinsic_rewards(
        new, 2, 1.0, later, max_similarity=0.1
    )
    assert not none.any()


def test_memory_is_a_ring():
    def add(values, state=None, size=4):
        embeddings = jnp.asarray(values, jnp.float32)[:, None]
        return rlax.episodic_memory_intrinsic_rewards(
            embeddings, 1, 1.0, state, max_memory_size=size
        )[1]

    state = add([1, 2, 3])
    np.testing.assert_array_equal(state.memory[:, 0], [1, 2, 3, np.inf])
    state = add([4, 5], state)
    np.testing.assert_array_equal(state.memory[:, 0], [5, 2, 3, 4])
    # More than fit: the last ones stay. Under jit, with the state carried along.
    state = jax.jit(add)(np.arange(10.0, 16.0), state)
    assert sorted(np.asarray(state.memory[:, 0])) == [12, 13, 14, 15]
    state = add([7], state)
    assert 12 not in np.asarray(state.memory)  # the oldest
