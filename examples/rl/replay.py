"""A memory of transitions to learn from again: a ring of arrays, as a value.

Everything is a pure function on JAX arrays, so that it works inside compiled loops, and
is kept in checkpoints with the rest of a training.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

import rlax


class Replay(NamedTuple):
    """The last transitions, as many as there is room for."""

    columns: Any  # a tree of [capacity, ...]
    added: jax.Array  # how many there ever were
    priorities: jax.Array | None = None  # [capacity], if some are drawn more often


def empty(capacity: int, transition, prioritised: bool = False) -> Replay:
    """Room for `capacity` transitions like this one, a tree of arrays or shapes."""

    def room(x):
        x = jnp.asarray(x) if isinstance(x, bool | int | float) else x
        kind = jax.dtypes.canonicalize_dtype(x.dtype)  # NumPy's int64 are int32
        return jnp.zeros((capacity, *x.shape), kind)

    priorities = jnp.ones(capacity) if prioritised else None
    return Replay(jax.tree.map(room, transition), jnp.zeros([], jnp.int32), priorities)


def capacity(replay: Replay) -> int:
    """How many transitions there is room for."""
    return jax.tree.leaves(replay.columns)[0].shape[0]


def size(replay: Replay):
    """How many there are."""
    return jnp.minimum(replay.added, capacity(replay))


def add(replay: Replay, transitions) -> Replay:
    """With more of them, a tree of [B, ...], in place of the oldest.

    They get the highest priority that there is, so that each is learned from soon.
    """
    count = jax.tree.leaves(transitions)[0].shape[0]
    at = (replay.added + jnp.arange(count)) % capacity(replay)
    columns = jax.tree.map(
        lambda kept, new: kept.at[at].set(new), replay.columns, transitions
    )
    priorities = replay.priorities
    if priorities is not None:
        priorities = priorities.at[at].set(priorities.max())
    return Replay(columns, replay.added + count, priorities)


def rows(replay: Replay, at):
    """The transitions at these places, an array of any shape."""
    return jax.tree.map(lambda x: x[at], replay.columns)


def places(replay: Replay, key, shape, newest: int = 0):
    """Places drawn uniformly and with replacement, but none of so many newest."""
    oldest = replay.added - size(replay)
    number = jax.random.randint(key, shape, 0, size(replay) - newest)
    return (oldest + number) % capacity(replay)


def sample(replay: Replay, key, count: int):
    """Transitions drawn uniformly and with replacement, [count, ...]."""
    return rows(replay, places(replay, key, [count]))


def prioritised_places(
    replay: Replay, key, shape, exponent, correction, newest: int = 0
):
    """Places drawn by priority to this power, and the weights that make up for it.

    With a correction of 1 the weighted mean of a loss is as of uniform draws, up to a
    factor; with 0 all weights are 1. None of so many newest is drawn.
    """
    oldest = replay.added - size(replay)
    after = (jnp.arange(capacity(replay)) - oldest) % capacity(replay)
    there = after < size(replay) - newest
    chances = rlax.prioritized_probabilities(replay.priorities, exponent, mask=there)
    # Each place owns a piece of [0, 1], as long as its chance.
    ends = jnp.cumsum(chances)
    number = jax.random.uniform(key, shape, maxval=ends[-1])
    number = jnp.minimum(number, jnp.nextafter(ends[-1], 0))  # roundings reach the end
    at = jnp.searchsorted(ends, number, side="right")
    weights = rlax.importance_sampling_weights(chances[at].ravel(), correction)
    return at, weights.reshape(shape)
