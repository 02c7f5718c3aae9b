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


def begins_answer(segments_t: ArrayLike) -> Array:
    """Whether a token has another number than the one before it, `[..., T]`."""
    (segments_t,) = known_arrays(segments_t)
    first = jnp.ones_like(segments_t[..., :1], bool)
    changes = segments_t[..., 1:] != segments_t[..., :-1]
    return jnp.concatenate([first, changes], axis=-1)


def answer_of(segments_t: ArrayLike) -> Array:
    """The answers of all rows, numbered from 0 on, `[..., T]`."""
    begins = begins_answer(segments_t)
    return (jnp.cumsum(begins.ravel()) - 1).reshape(begins.shape)


def totals(x: Array, segments_t: ArrayLike | None) -> Array:
    """The sum over every answer.

    Args:
      x: `[..., T]`.
      segments_t: `[..., T]`, or None.

    Returns:
      One number for each answer of all rows; with segments_t as many as x has elements,
      the last of them 0.
    """
    if segments_t is None:
        return jnp.sum(x, axis=-1).ravel()
    zeros = jnp.zeros(x.shape, x.dtype).ravel()
    answer = answer_of(segments_t).ravel()
    return zeros.at[answer].add(x.ravel(), indices_are_sorted=True)


def answer_sum(x: Array, segments_t: ArrayLike | None) -> Array:
    """The sum over a token's answer, `[..., T]`; without segments_t `[..., 1]`."""
    if segments_t is None:
        return jnp.sum(x, axis=-1, keepdims=True)
    sums = totals(x.astype(at_least_single(x.dtype)), segments_t)
    return sums[answer_of(segments_t)].astype(x.dtype)


def answer_mean(
    x: Array, mask_t: ArrayLike | None, segments_t: ArrayLike | None
) -> Array:
    """The mean over the kept tokens of a token's answer; shapes as in `answer_sum`."""
    if segments_t is None:
        return masked_mean(x, mask_t, axis=-1)[..., None]
    wide = at_least_single(x.dtype)
    sums = answer_sum(zero_masked(x, mask_t).astype(wide), segments_t)
    count = answer_sum(kept_of(x, mask_t).astype(wide), segments_t)
    return (sums / jnp.maximum(count, 1)).astype(x.dtype)


def next_kept(mask_t: Array, segments_t: ArrayLike | None) -> Array:
    """The place of the next kept token of the same answer, or T if none follows.

    Args:
      mask_t: `[T]`.
      segments_t: `[T]`, or None.

    Returns:
      `[T]`, each above the token's own place.
    """
    length = mask_t.shape[0]
    places = jnp.arange(length)
    none = jnp.full((1,), length, places.dtype)
    following = jax.lax.cummin(jnp.where(mask_t, places, none), reverse=True)
    following = jnp.concatenate([following[1:], none])
    if segments_t is None:
        return following
    answer = answer_of(segments_t)
    same = answer.at[following].get(mode="fill", fill_value=-1) == answer
    return jnp.where(same, following, none)
