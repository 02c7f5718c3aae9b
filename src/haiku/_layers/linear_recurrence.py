"""Linear recurrences over time, the second axis, in parallel.

    h[t] = decay[t] h[t - 1] + term[t]

`linear_recurrence` solves elementwise ones by an associative scan. `scan_chunks` runs
anything over chunks of time, so that arrays larger than inputs and outputs exist for
one chunk only; inside a chunk, `decays_between` weighs steps by what lies between them.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

__all__ = ["decays_between", "linear_recurrence", "scan_chunks"]


@jax.custom_jvp
def linear_recurrence(
    decay: jax.Array, term: jax.Array, initial: jax.Array
) -> jax.Array:
    """Solves ``h[t] = decay[t] h[t - 1] + term[t]``, elementwise.

    Args:
      decay: ``[B, T, ...]``.
      term: ``[B, T, ...]``.
      initial: ``h[-1]``, ``[B, ...]``.

    Returns:
      ``h``, ``[B, T, ...]``.
    """
    if not isinstance(term.shape[1], int):  # a symbolic length can't be halved

        def step(h, now):
            h = now[0] * h + now[1]
            return h, h

        steps = jnp.moveaxis(decay, 1, 0), jnp.moveaxis(term, 1, 0)
        return jnp.moveaxis(jax.lax.scan(step, initial, steps)[1], 0, 1)
    decays, terms = jax.lax.associative_scan(_compose, (decay, term), axis=1)
    return terms + decays * initial[:, None]


@linear_recurrence.defjvp
def _linear_recurrence_jvp(primals, tangents):
    # The derivative of a linear recurrence is the same recurrence: the backward pass
    # keeps products of decays and `h`, and none of the scan's other values.
    decay, term, initial = primals
    decay_dot, term_dot, initial_dot = tangents
    h = linear_recurrence(decay, term, initial)
    before = jnp.concatenate([initial[:, None], h[:, :-1]], axis=1)
    term_dot = term_dot + decay_dot * before
    return h, linear_recurrence(decay, term_dot, initial_dot)


def _compose(earlier, later):
    decay, term = earlier
    decay_later, term_later = later
    return decay * decay_later, term * decay_later + term_later


def scan_chunks(
    run: Callable[[Any, Any], tuple[Any, Any]], state: Any, inputs: Any, size: int
) -> tuple[jax.Array, Any]:
    """Runs `run` over chunks of time, one after the other.

    Args:
      run: Maps a state and a chunk of `inputs` to the state after it and the outputs.
        Steps of zeros must leave the state unchanged: the last chunk is filled with
        them. The backward pass runs it again.
      state: The state before the first step.
      inputs: Tree of arrays ``[B, T, ...]``.
      size: The most steps in a chunk.

    Returns:
      Outputs ``[B, T, ...]``, and the last state.
    """
    batch, length = jax.tree.leaves(inputs)[0].shape[:2]
    if not isinstance(length, int):
        chunks, size = length, 1  # a symbolic length: step by step
    else:
        chunks = -(-length // size)
        size = -(-length // chunks)
    if isinstance(chunks, int) and chunks == 1:
        state, y = run(state, inputs)
        return y, state

    def split(x):
        if isinstance(length, int):
            padding = [(0, 0), (0, chunks * size - length)] + [(0, 0)] * (x.ndim - 2)
            x = jnp.pad(x, padding)
        return jnp.moveaxis(x.reshape(batch, chunks, size, *x.shape[2:]), 1, 0)

    run = jax.checkpoint(run, prevent_cse=False)
    state, y = jax.lax.scan(run, state, jax.tree.map(split, inputs))
    y = jnp.moveaxis(y, 0, 1)
    return y.reshape(batch, chunks * size, *y.shape[3:])[:, :length], state


def decays_between(log_decay: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The products of decays from the start, and from each step to each later one.

    Args:
      log_decay: ``[..., T]``, at most 0.

    Returns:
      The log of ``decay[0] ... decay[t]``, ``[..., T]``; and
      ``decay[s + 1] ... decay[t]`` at ``[..., t, s]``, 0 for ``s > t``.
    """
    total = jnp.cumsum(log_decay, axis=-1)
    between = total[..., :, None] - total[..., None, :]
    steps = jnp.arange(log_decay.shape[-1])
    earlier = jnp.broadcast_to(steps[:, None] >= steps[None], between.shape)
    return total, jnp.exp(jnp.where(earlier, between, -jnp.inf))
