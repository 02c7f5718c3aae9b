"""A memory of transitions to learn from again: a ring of arrays, as a value.

Everything is a pure function on JAX arrays, so that it works inside compiled loops, and
is kept in checkpoints with the rest of a training.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp


class Replay(NamedTuple):
    """The last transitions, as many as there is room for."""

    columns: Any  # a tree of [capacity, ...]
    added: jax.Array  # how many there ever were


def empty(capacity: int, transition) -> Replay:
    """Room for `capacity` transitions like this one, a tree of arrays or shapes."""

    def room(x):
        x = jnp.asarray(x) if isinstance(x, bool | int | float) else x
        kind = jax.dtypes.canonicalize_dtype(x.dtype)  # NumPy's int64 are int32
        return jnp.zeros((capacity, *x.shape), kind)

    return Replay(jax.tree.map(room, transition), jnp.zeros([], jnp.int32))


def capacity(replay: Replay) -> int:
    """How many transitions there is room for."""
    return jax.tree.leaves(replay.columns)[0].shape[0]


def size(replay: Replay):
    """How many there are."""
    return jnp.minimum(replay.added, capacity(replay))


def add(replay: Replay, transitions) -> Replay:
    """With more of them, a tree of [B, ...], in place of the oldest."""
    count = jax.tree.leaves(transitions)[0].shape[0]
    at = (replay.added + jnp.arange(count)) % capacity(replay)
    columns = jax.tree.map(
        lambda kept, new: kept.at[at].set(new), replay.columns, transitions
    )
    return Replay(columns, replay.added + count)


def sample(replay: Replay, key, count: int):
    """Transitions drawn uniformly and with replacement, [count, ...]."""
    at = jax.random.randint(key, [count], 0, size(replay))
    return jax.tree.map(lambda x: x[at], replay.columns)
