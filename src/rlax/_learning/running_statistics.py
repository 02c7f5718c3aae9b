"""Mean and variance of all data so far, to standardise observations and rewards."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from rlax._core.all_sum import AllSum
from rlax._core.arrays import align
from rlax._core.contracts import shapes
from rlax._core.errors import check, check_above, check_range
from rlax._core.masks import kept_of, zero_masked
from rlax._core.recurrence import linear_recurrence
from rlax._core.types import known_arrays

Array = jax.Array


class RunningStatistics(NamedTuple):
    """Statistics of all data so far.

    Attributes:
      count: How many, `[]`.
      mean: Their mean, `[...]`.
      square_sum: The sum of their squared deviations from it, `[...]`.

    Example:
      >>> state = rlax.RunningStatistics(count=4.0, mean=1.0, square_sum=8.0)
      >>> print(state.square_sum / state.count)  # the variance
      2.0
    """

    count: ArrayLike
    mean: ArrayLike
    square_sum: ArrayLike


class ReturnScaleState(NamedTuple):
    """State of `scale_rewards`.

    Attributes:
      return_tm1: The discounted sum of past rewards, times the last discount, `[...]`.
      statistics: `RunningStatistics` of such sums, over all streams.
      max_abs: The largest of them in size, `[]`.

    Example:
      >>> rlax.init_return_scale((2,)).return_tm1.shape
      (2,)
    """

    return_tm1: ArrayLike
    statistics: RunningStatistics
    max_abs: ArrayLike


def running_statistics(shape: Sequence[int] = ()) -> RunningStatistics:
    """The statistics of no data.

    Args:
      shape: Of one datum.

    Returns:
      `RunningStatistics` with a count of 0.

    Example:
      >>> rlax.running_statistics((3,)).mean.shape
      (3,)
    """
    zeros = jnp.zeros(shape)
    return RunningStatistics(jnp.zeros(()), zeros, zeros)


def _read(state: RunningStatistics) -> tuple[Array, Array, Array]:
    """The fields as arrays of the mean's dtype, stopped."""
    mean = jnp.asarray(state.mean, float if isinstance(state.mean, int) else None)
    fields = (jnp.asarray(x, mean.dtype) for x in (state.count, mean, state.square_sum))
    count, mean, square_sum = map(jax.lax.stop_gradient, fields)
    return count, mean, square_sum


def _merged(
    state: RunningStatistics, count: Array, offset: Array, square_sum: Array
) -> RunningStatistics:
    """The state with further data, whose mean lies `offset` above that of the state."""
    count_0, mean, square_sum_0 = _read(state)
    total = count_0 + count
    share = count / jnp.maximum(total, 1)
    between = jnp.square(offset) * (count_0 * share)
    return RunningStatistics(
        total, mean + offset * share, square_sum_0 + square_sum + between
    )


@shapes("x:real[B ...], mask?:mask[B]")
def update_running_statistics(
    state: RunningStatistics,
    x: ArrayLike,
    *,
    mask: ArrayLike | None = None,
    axis_name: str | None = None,
) -> RunningStatistics:
    """Takes a batch of data into running statistics.

    The result is that of all data at once, whatever their order and batches.

    Args:
      state: The statistics so far, with mean `[...]`.
      x: `[B, ...]`.
      mask: True at the rows that count, `[B]`. Default: all.
      axis_name: Mapped axis whose batches all count. Default: none.

    Returns:
      The new statistics, in the dtype of the old ones.

    Gradient:
      Reaches nothing.

    Raises:
      ContractError: If x isn't `[B, ...]` with the mean's shape.

    Source: Chan, Golub and LeVeque 1979, Updating Formulae and a Pairwise Algorithm for
    Computing Sample Variances.

    Example:
      >>> state = rlax.running_statistics()
      >>> state = rlax.update_running_statistics(state, [1.0, 3.0])
      >>> print(state.mean, state.square_sum)
      2.0 2.0
    """
    (x,) = known_arrays(jax.lax.stop_gradient(x))
    _, mean, _ = _read(state)
    check(
        x.shape[1:] == mean.shape,
        f"update_running_statistics: x {list(x.shape)} must be [B, ...] with the shape "
        f"of the state's mean behind B, {list(mean.shape)}.",
    )
    all_sum = AllSum(axis_name)
    count = all_sum(kept_of(jnp.ones(x.shape[:1]), mask)).astype(mean.dtype)
    divisor = jnp.maximum(count, 1)
    # Measured from the mean so far, which hardly rounds; the mean of that may round, so
    # that the mean of what remains corrects it.
    offsets = zero_masked(x.astype(mean.dtype) - mean[None], mask)
    first = all_sum(offsets, axis=0) / divisor
    offsets = zero_masked(offsets - first[None], mask)
    second = all_sum(offsets, axis=0) / divisor
    offsets = zero_masked(offsets - second[None], mask)
    return _merged(state, count, first + second, all_sum(jnp.square(offsets), axis=0))


def merge_running_statistics(
    state: RunningStatistics, other: RunningStatistics
) -> RunningStatistics:
    """Joins statistics of different data, as if one had seen all.

    Args:
      state: Statistics; may be empty.
      other: Statistics of the same shape; may be empty.

    Returns:
      The statistics of both, in the dtype of the first.

    Gradient:
      Reaches nothing.

    Raises:
      ContractError: If the shapes differ.

    Source: Chan, Golub and LeVeque 1979, as in `update_running_statistics`.

    Example:
      >>> one, other = (rlax.RunningStatistics(1.0, mean, 0.0) for mean in (1.0, 3.0))
      >>> both = rlax.merge_running_statistics(one, other)
      >>> print(both.mean, both.square_sum)
      2.0 2.0
    """
    _, mean, _ = _read(state)
    count, mean_1, square_sum = (x.astype(mean.dtype) for x in _read(other))
    check(
        mean.shape == mean_1.shape,
        "merge_running_statistics: state and other must have one shape, got means "
        f"{list(mean.shape)} and {list(mean_1.shape)}.",
    )
    return _merged(state, count, mean_1 - mean, square_sum)


def _variance(state: RunningStatistics) -> Array:
    """The variance; 1 before any data."""
    count, _, square_sum = _read(state)
    return jnp.where(count > 0, square_sum / jnp.maximum(count, 1), 1)


@shapes("x:real[...]")
def standardize(
    x: ArrayLike,
    state: RunningStatistics,
    *,
    clip: float | None = None,
    epsilon: float = 1e-8,
) -> Array:
    """Subtracts the running mean and divides by the running deviation.

        (x - mean) / √(variance + ε)

    Args:
      x: `[..., *shape]`, with the shape of the state's mean at the end.
      state: The statistics. Before any data the mean is 0, and the variance 1.
      clip: Largest result in size, not negative. Default: none.
      epsilon: ε, not negative.

    Returns:
      Of x's shape.

    Gradient:
      Reaches x.

    Raises:
      ContractError: If x doesn't end in the mean's shape, or an option is negative.

    Example:
      >>> state = rlax.RunningStatistics(count=4.0, mean=1.0, square_sum=16.0)
      >>> print(rlax.standardize([1.0, 5.0], state))
      [0. 2.]
    """
    check_range("standardize", "clip", clip, 0, jnp.inf)
    check_range("standardize", "epsilon", epsilon, 0, jnp.inf)
    (x,) = known_arrays(x)
    _, mean, _ = _read(state)
    check(
        x.ndim >= mean.ndim and x.shape[x.ndim - mean.ndim :] == mean.shape,
        f"standardize: x {list(x.shape)} must end in the shape of the state's mean, "
        f"{list(mean.shape)}.",
    )
    lead = (1,) * (x.ndim - mean.ndim)
    mean, deviation = (
        y.reshape(lead + y.shape) for y in (mean, jnp.sqrt(_variance(state) + epsilon))
    )
    scaled = (x.astype(mean.dtype) - mean) / deviation
    return (scaled if clip is None else jnp.clip(scaled, -clip, clip)).astype(x.dtype)


def init_return_scale(shape: Sequence[int] = ()) -> ReturnScaleState:
    """The state of `scale_rewards` before any reward.

    Args:
      shape: Of the rewards of one step.

    Returns:
      A `ReturnScaleState`.

    Example:
      >>> print(rlax.init_return_scale().statistics.count)
      0.0
    """
    return ReturnScaleState(jnp.zeros(shape), running_statistics(), jnp.zeros(()))


@shapes("r_t[T ...], discount_t:unit[T ...]|[T]")
def scale_rewards(
    r_t: ArrayLike,
    discount_t: ArrayLike,
    state: ReturnScaleState,
    *,
    epsilon: float = 1e-8,
    clip: float | None = None,
    max_return: float | None = None,
) -> tuple[Array, ReturnScaleState]:
    """Divides rewards by the deviation of their running discounted sum.

        R[t] = γ[t-1] R[t-1] + r[t],    r[t] / √(variance(R) + ε)

    The statistics take in all of R first; the mean isn't subtracted.

    Args:
      r_t: Rewards, `[T, ...]`; further axes are streams.
      discount_t: Discount in [0, 1], `[T, ...]` or `[T]`; 0 ends an episode, and must
        stand where one is cut off too: R must not go on into the next.
      state: Of `init_return_scale` with the shape of one step's rewards.
      epsilon: ε, not negative.
      clip: Largest result in size, not negative. Default: none.
      max_return: Divides by max|R| / max_return at least, with the largest R of all
        time; above 0. Default: not.

    Returns:
      (the scaled rewards `[T, ...]`, the new state).

    Gradient:
      Reaches nothing.

    Raises:
      ContractError: If the state has another shape, there is no step, or an option is
        out of range.

    Source: Engstrom et al. 2020, Implementation Matters in Deep Policy Gradients, arXiv
    2005.12729; max_return: Lee et al. 2025, SimbaV2, arXiv 2502.15280, equations 19 and
    20. Stable-baselines3 updates the statistics at every step instead.

    Example:
      >>> state = rlax.init_return_scale()
      >>> r, state = rlax.scale_rewards([2.0, -2.0], [0.0, 0.0], state)
      >>> print(r)
      [ 1. -1.]
    """
    op = "scale_rewards"
    check_range(op, "epsilon", epsilon, 0, jnp.inf)
    check_range(op, "clip", clip, 0, jnp.inf)
    check_above(op, "max_return", max_return)
    rewards, discounts = known_arrays(r_t, discount_t)
    check(rewards.shape[0] != 0, f"{op}: r_t must hold at least one step.")
    shape = rewards.shape[1:]
    check(
        jnp.shape(state.return_tm1) == shape,
        f"{op}: state must be of init_return_scale({shape}), the shape of one step of "
        f"r_t, got return_tm1 {list(jnp.shape(state.return_tm1))}.",
    )
    dtype = _read(state.statistics)[1].dtype
    r, discount, return_tm1, max_abs = (
        jax.lax.stop_gradient(jnp.asarray(x, dtype))
        for x in (rewards, align(discounts, rewards), state.return_tm1, state.max_abs)
    )
    discount = jnp.broadcast_to(discount, r.shape)
    # The recurrence runs backwards: so does time.
    decay = jnp.concatenate([jnp.ones_like(discount[:1]), discount[:-1]])
    returns = linear_recurrence(
        lambda before, r, decay: r + decay * before, (r[::-1], decay[::-1]), return_tm1
    )[::-1]
    statistics = update_running_statistics(state.statistics, returns.reshape(-1))
    max_abs = jnp.maximum(max_abs, jnp.max(jnp.abs(returns), initial=0))
    scale = jnp.sqrt(_variance(statistics) + epsilon)
    if max_return is not None:
        scale = jnp.maximum(scale, max_abs / max_return)
    scaled = r / scale
    scaled = scaled if clip is None else jnp.clip(scaled, -clip, clip)
    new = ReturnScaleState(discount[-1] * returns[-1], statistics, max_abs)
    return scaled.astype(rewards.dtype), new
