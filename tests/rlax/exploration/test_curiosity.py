"""Rewards for novelty, and the memory behind them."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import export

import rlax


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
    # If more come than fit, the last ones stay; under jit too.
    state = jax.jit(add)(np.arange(10.0, 16.0), state)
    assert sorted(np.asarray(state.memory[:, 0])) == [12, 13, 14, 15]
    state = add([7], state)
    assert 12 not in np.asarray(state.memory)  # the oldest


def test_no_embeddings_leave_a_memory_without_nan():
    _, memory = rlax.episodic_memory_intrinsic_rewards(
        jnp.zeros((0, 3)), 2, 1.0, max_memory_size=4
    )
    assert not any(jnp.isnan(x).any() for x in jax.tree.leaves(memory))


def test_exported_program_computes_the_same_at_any_length():
    (t,) = export.symbolic_shape("t")

    def rewards(x):
        reward = rlax.episodic_memory_intrinsic_rewards
        return jax.tree.leaves(reward(x, 2, 1.0, max_memory_size=5))

    exported = export.export(jax.jit(rewards))(
        jax.ShapeDtypeStruct((t, 3), jnp.float32)
    )
    for length in (4, 5, 13):  # the last is more than the memory holds
        x = np.random.default_rng(length).random((length, 3)).astype(np.float32)
        for have, want in zip(exported.call(x), rewards(x), strict=True):
            np.testing.assert_allclose(have, want, rtol=1e-5)
