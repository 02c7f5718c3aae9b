"""Sums and means over each answer, where a row of tokens may hold several.

`segments_t` numbers the answers of a row: neighbours with the same number belong to one
answer, its prompt, tool output and padding too if they have its number. Without it each
row is one answer. Time is the last axis here.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from rlax._core.arrays import at_least_single
from rlax._core.masks import kept_of, masked_mean, zero_masked
from rlax._core.types import known_arrays

Array = jax.Array


def answers_of(segments_t: ArrayLike | None) -> Array | None:
    """The answer of each token, `[..., T]`, those of all rows numbered from 0 on.

    None, for one answer in each row, where segments_t is None.
    """
    if segments_t is None:
        return None
    (segments_t,) = known_arrays(segments_t)
    first = jnp.ones_like(segments_t[..., :1], bool)
    changes = segments_t[..., 1:] != segments_t[..., :-1]
    begins = jnp.concatenate([first, changes], axis=-1)
    return (jnp.cumsum(begins.ravel()) - 1).reshape(begins.shape)


def totals(x: Array, answers_t: Array | None) -> Array:
    """The sum over every answer.

    Args:
      x: `[..., T]`.
      answers_t: As `answers_of` returns.

    Returns:
      One number for each answer of all rows; with answers_t as many as x has elements,
      the last of them 0.
    """
    if answers_t is None:
        return jnp.sum(x, axis=-1).ravel()
    zeros = jnp.zeros_like(x).ravel()
    return zeros.at[answers_t.ravel()].add(x.ravel(), indices_are_sorted=True)


def answer_sum(x: Array, answers_t: Array | None) -> Array:
    """The sum over a token's answer, `[..., T]`; without answers_t `[..., 1]`."""
    if answers_t is None:
        return jnp.sum(x, axis=-1, keepdims=True)
    sums = totals(x.astype(at_least_single(x.dtype)), answers_t)
    return sums[answers_t].astype(x.dtype)


def answer_mean(x: Array, mask_t: ArrayLike | None, answers_t: Array | None) -> Array:
    """The mean over the kept tokens of a token's answer; shapes as in `answer_sum`."""
    if answers_t is None:
        return masked_mean(x, mask_t, axis=-1)[..., None]
    wide = at_least_single(x.dtype)
    sums = totals(zero_masked(x, mask_t).astype(wide), answers_t)
    counts = totals(kept_of(x, mask_t).astype(wide), answers_t)
    return (sums / jnp.maximum(counts, 1))[answers_t].astype(x.dtype)


def next_kept(mask_t: Array, answers_t: Array | None) -> Array:
    """The place of the next kept token of the same answer, or T if none follows.

    Args:
      mask_t: `[T]`.
      answers_t: As `answers_of` returns, `[T]`.

    Returns:
      `[T]`, each above the token's own place.
    """
    length = mask_t.shape[0]
    places = jnp.arange(length)
    none = jnp.full((1,), length, places.dtype)
    following = jax.lax.cummin(jnp.where(mask_t, places, none), reverse=True)
    following = jnp.concatenate([following[1:], none])
    if answers_t is None:
        return following
    its_answer = answers_t.at[following].get(mode="fill", fill_value=-1)
    return jnp.where(its_answer == answers_t, following, none)
