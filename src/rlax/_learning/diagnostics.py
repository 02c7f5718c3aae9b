"""Numbers to watch while an agent learns; no gradient passes them."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from rlax._core.arrays import at_least_single
from rlax._core.contracts import shapes
from rlax._core.errors import check_not_empty, check_range
from rlax._core.masks import kept_of, masked_mean, masked_moments, zero_masked
from rlax._core.types import known_arrays

Array = jax.Array

_MASK = ", mask_t?:mask[T ...]|[T]"


@shapes("prob_ratios_t[T ...], adv_t?[T ...]" + _MASK)
def clip_fraction(
    prob_ratios_t: ArrayLike,
    epsilon: float,
    *,
    epsilon_high: float | None = None,
    adv_t: ArrayLike | None = None,
    mask_t: ArrayLike | None = None,
) -> Array:
    """Computes the share of actions whose probability ratio PPO clips.

        mean_t 1{ρ[t] < 1 - ε or ρ[t] > 1 + ε_high}

    Args:
      prob_ratios_t: ρ = π(a) / π_old(a), `[T, ...]`.
      epsilon: How far ρ may fall below 1, not negative.
      epsilon_high: How far it may rise above 1. Default: epsilon.
      adv_t: Advantages, `[T, ...]`: then only those ratios count which lose their
        gradient, above where the advantage is positive, below where it is negative.
      mask_t: True at the steps that count, `[T, ...]` or `[T]`. Default: all.

    Returns:
      The share, `[]`; 0 where no step counts, NaN where one is NaN.

    Gradient:
      Reaches nothing.

    Raises:
      ContractError: If epsilon or epsilon_high is negative, or T is 0.

    Source: Schulman et al. 2017, Proximal Policy Optimization, arXiv 1707.06347.

    Example:
      >>> print(rlax.clip_fraction([0.5, 1.0, 1.1, 1.5], 0.2))
      0.5
    """
    op = "clip_fraction"
    check_range(op, "epsilon", epsilon, 0, jnp.inf)
    check_range(op, "epsilon_high", epsilon_high, 0, jnp.inf)
    check_not_empty(op, "prob_ratios_t", prob_ratios_t)
    (ratio,) = known_arrays(jax.lax.stop_gradient(prob_ratios_t))
    high = epsilon if epsilon_high is None else epsilon_high
    below, above = ratio < 1 - epsilon, ratio > 1 + high
    if adv_t is not None:
        (adv,) = known_arrays(adv_t)
        below, above = below & (adv < 0), above & (adv > 0)
    clipped = jnp.where(jnp.isnan(ratio), ratio, (below | above).astype(ratio.dtype))
    return masked_mean(clipped, mask_t)


@shapes("prediction_t[T ...], target_t[T ...]" + _MASK)
def explained_variance(
    prediction_t: ArrayLike, target_t: ArrayLike, *, mask_t: ArrayLike | None = None
) -> Array:
    """Computes how much of the targets' variance the predictions explain.

        1 - var(target - prediction) / var(target)

    Args:
      prediction_t: Values, say, `[T, ...]`.
      target_t: Returns, say, `[T, ...]`.
      mask_t: True at the steps that count, `[T, ...]` or `[T]`. Default: all.

    Returns:
      At most 1, `[]`; 0 where the targets don't vary.

    Gradient:
      Reaches nothing.

    Raises:
      ContractError: If T is 0.

    Example:
      >>> print(rlax.explained_variance([1.0, 2.0], [1.0, 3.0]))
      0.75
    """
    check_not_empty("explained_variance", "prediction_t", prediction_t)
    prediction, target = (
        jax.lax.stop_gradient(zero_masked(x, mask_t)) for x in (prediction_t, target_t)
    )
    _, residual = masked_moments(target - prediction, mask_t)
    _, deviation = masked_moments(target, mask_t)
    varies = deviation != 0
    share = jnp.square(residual / jnp.where(varies, deviation, 1))
    return jnp.where(varies, 1 - share, 0)


@shapes("log_weights[K], mask?:mask[K]")
def effective_sample_size(
    log_weights: ArrayLike, *, mask: ArrayLike | None = None, normalize: bool = True
) -> Array:
    """Computes how many equal samples weighted ones are worth.

        (Σ w)² / Σ w²

    Args:
      log_weights: log w, `[K]`.
      mask: True at the samples that count, `[K]`. Default: all.
      normalize: Whether to divide by the number that count, which gives a share.

    Returns:
      `[]`: from 1 / K to 1, or from 1 to K; 0 where none counts or all weights are 0.

    Gradient:
      Reaches nothing.

    Source: Kong 1992, A Note on Importance Sampling Using Standardized Weights.

    Example:
      >>> print(rlax.effective_sample_size([0.0, 0.0, -1e4, -1e4]))
      0.5
    """
    (log_weights,) = known_arrays(jax.lax.stop_gradient(log_weights))
    wide = log_weights.astype(at_least_single(log_weights.dtype))
    kept = kept_of(wide, mask)
    wide = jnp.where(kept, wide, -jnp.inf)
    largest = jnp.max(wide)
    weights = jnp.exp(wide - jnp.where(jnp.isneginf(largest), 0, largest))
    # The largest weight is 1, unless there is none.
    squares = jnp.maximum(jnp.sum(jnp.square(weights)), 1)
    size = jnp.square(jnp.sum(weights)) / squares
    if normalize:
        size = size / jnp.maximum(jnp.sum(kept), 1).astype(wide.dtype)
    return size.astype(log_weights.dtype)
