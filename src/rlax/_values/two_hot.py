"""Scalars as distributions over bins, with weight on the two bins around them."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike, DTypeLike

from rlax._core.arrays import at_least_single
from rlax._core.contracts import shapes
from rlax._core.errors import ContractError, is_host
from rlax._core.types import known_arrays
from rlax._values.transforms import IDENTITY_PAIR, TxPair

Array = jax.Array

# The reference adds this to the width of evenly spaced bins.
_SLACK = 1e-5


def check_bins(op: str, min_value: float, max_value: float, num_bins: int) -> None:
    """Raises unless these are bins: two or more, of rising values."""
    if num_bins < 2:
        raise ContractError(f"{op}: num_bins must be at least 2, got {num_bins}.")
    if np.size(min_value) != 1 or np.size(max_value) != 1:
        raise ContractError(
            f"{op}: min_value and max_value must be one number each, got shapes "
            f"{list(np.shape(min_value))} and {list(np.shape(max_value))}; jax.vmap it."
        )
    if is_host(min_value) and is_host(max_value) and not min_value < max_value:
        raise ContractError(
            f"{op}: min_value must be below max_value, got {min_value} and {max_value}."
        )


def check_probs(op: str, probs: Array, num_bins: int) -> None:
    """Raises unless the last axis holds as many probabilities as there are bins."""
    if probs.ndim == 0 or probs.shape[-1] != num_bins:
        raise ContractError(
            f"{op}: probs {list(probs.shape)} must end in num_bins = {num_bins}; pass "
            "probs [..., num_bins], or another num_bins."
        )


def _two_hot(scalar: Array, bins: Array, position: Array, slack: float) -> Array:
    """Weight on bins floor(position) and ceil(position), by the distance to each."""
    low, high = jnp.floor(position), jnp.ceil(position)
    low_value, high_value = (
        jnp.take(bins, x.astype(jnp.int32), mode="clip") for x in (low, high)
    )
    width = jnp.where(low == high, 1, high_value - low_value + slack)
    weight_low = ((high_value - scalar) / width)[..., None]
    index = jnp.arange(bins.size, dtype=low.dtype)
    index = index.reshape((1,) * scalar.ndim + (-1,))
    at_low, at_high = ((index == x[..., None]).astype(bins.dtype) for x in (low, high))
    return weight_low * at_low + (1 - weight_low) * at_high


def _two_hot_among(scalar: Array, bins: Array) -> Array:
    """Weight on the two bins around a scalar, wherever the bins lie."""
    scalar = jnp.clip(scalar, bins[0], bins[-1])
    above = jnp.searchsorted(bins, scalar, side="left")
    below = jnp.searchsorted(bins, scalar, side="right") - 1
    # Half way between two bins stands for "between": floor and ceil find both.
    position = (above + below).astype(scalar.dtype) / 2
    return _two_hot(scalar, bins, position, 0.0)


@shapes("scalar:real[...]")
def transform_to_2hot(
    scalar: ArrayLike, min_value: float, max_value: float, num_bins: int
) -> Array:
    """Spreads a scalar over the two evenly spaced bins around it.

    Args:
      scalar: `[...]`; clipped to [min_value, max_value].
      min_value: The lowest bin.
      max_value: The highest bin.
      num_bins: Number of bins, at least 2.

    Returns:
      Probabilities, `[..., num_bins]`; NaN for NaN.

    Raises:
      ContractError: If num_bins is below 2, or min_value not below max_value.

    Source: Schrittwieser et al. 2020, Mastering Atari, Go, Chess and Shogi by Planning
    with a Learned Model, arXiv 1911.08265, appendix F.

    Example:
      >>> print(rlax.transform_to_2hot(0.5, -1.0, 1.0, num_bins=3).round(2))
      [0.  0.5 0.5]
    """
    check_bins("transform_to_2hot", min_value, max_value, num_bins)
    scalar = jnp.clip(scalar, min_value, max_value)
    bins = jnp.linspace(min_value, max_value, num_bins, dtype=scalar.dtype)
    position = (scalar - min_value) / (max_value - min_value) * (num_bins - 1)
    return _two_hot(scalar, bins, position, _SLACK)


@shapes("probs:real[...]")
def transform_from_2hot(
    probs: ArrayLike, min_value: float, max_value: float, num_bins: int
) -> Array:
    """Computes the mean of a distribution over evenly spaced bins.

    Args:
      probs: `[..., num_bins]`.
      min_value: The lowest bin.
      max_value: The highest bin.
      num_bins: Number of bins, at least 2.

    Returns:
      `[...]`; `[1]` where probs has one axis.

    Raises:
      ContractError: If num_bins is below 2 or not the size of the last axis, or
        min_value not below max_value.

    Source: Schrittwieser et al. 2020, arXiv 1911.08265, appendix F.

    Example:
      >>> print(rlax.transform_from_2hot([0.0, 0.5, 0.5], -1.0, 1.0, num_bins=3))
      [0.5]
    """
    check_bins("transform_from_2hot", min_value, max_value, num_bins)
    (probs,) = known_arrays(probs)
    bins = jnp.linspace(min_value, max_value, num_bins, dtype=probs.dtype)
    return _mean("transform_from_2hot", probs, bins)


def _mean(op: str, probs: Array, bins: Array) -> Array:
    check_probs(op, probs, bins.size)
    probs = probs[None] if probs.ndim == 1 else probs
    return weighted_sum(probs, bins)


def weighted_sum(weights: Array, values: Array) -> Array:
    """Σ weights[..., i] values[i], unlike products of matrices in full precision."""
    values = values.reshape((1,) * (weights.ndim - 1) + (-1,))
    return jnp.sum(weights * values, axis=-1)


def muzero_pair(
    min_value: float, max_value: float, num_bins: int, tx: TxPair
) -> TxPair:
    """The pair of MuZero: transform a scalar, then two-hot encode it.

    Args:
      min_value: The lowest bin, in the transformed space.
      max_value: The highest bin, in the transformed space.
      num_bins: Number of bins, at least 2.
      tx: The transform of the scalars.

    Returns:
      A pair from scalars `[...]` to probabilities `[..., num_bins]`.

    Raises:
      ContractError: If num_bins is below 2, or min_value not below max_value.

    Source: Schrittwieser et al. 2020, arXiv 1911.08265, appendix F.

    Example:
      >>> pair = rlax.muzero_pair(-2.0, 2.0, 9, rlax.SIGNED_HYPERBOLIC_PAIR)
      >>> print(pair.apply_inv(pair.apply(jnp.array([3.0]))).round(2))
      [3.]
    """
    check_bins("muzero_pair", min_value, max_value, num_bins)

    def apply(scalar: ArrayLike) -> Array:
        return transform_to_2hot(tx.apply(scalar), min_value, max_value, num_bins)

    def apply_inv(probs: ArrayLike) -> Array:
        return tx.apply_inv(transform_from_2hot(probs, min_value, max_value, num_bins))

    return TxPair(apply, apply_inv)


def twohot_pair(min_value: float, max_value: float, num_bins: int) -> TxPair:
    """The pair of two-hot encoding, without a transform.

    Args:
      min_value: The lowest bin.
      max_value: The highest bin.
      num_bins: Number of bins, at least 2.

    Returns:
      A pair from scalars `[...]` to probabilities `[..., num_bins]`.

    Raises:
      ContractError: If num_bins is below 2, or min_value not below max_value.

    Source: Schrittwieser et al. 2020, arXiv 1911.08265, appendix F.

    Example:
      >>> pair = rlax.twohot_pair(-1.0, 1.0, 3)
      >>> print(pair.apply_inv(pair.apply(jnp.array([0.5]))).round(2))
      [0.5]
    """
    return muzero_pair(min_value, max_value, num_bins, IDENTITY_PAIR)


def unbiased_transform_pair(
    min_value: float, max_value: float, num_bins: int, tx: TxPair
) -> TxPair:
    """The two-hot pair with bins that are evenly spaced in a transformed space.

    The encoding is linear in the scalar, so its mean is unbiased, which the mean of a
    transformed scalar is not.

    Args:
      min_value: The lowest bin, in the transformed space.
      max_value: The highest bin, in the transformed space.
      num_bins: Number of bins, at least 2.
      tx: The transform that spaces the bins.

    Returns:
      A pair from scalars `[...]` to probabilities `[..., num_bins]`; one number counts
      as `[1]`.

    Raises:
      ContractError: If num_bins is below 2, or min_value not below max_value.

    Example:
      >>> pair = rlax.unbiased_transform_pair(-2.0, 2.0, 9, rlax.SIGNED_LOGP1_PAIR)
      >>> print(pair.apply_inv(pair.apply(jnp.array([3.0]))).round(2))
      [3.]
    """
    check_bins("unbiased_transform_pair", min_value, max_value, num_bins)

    def bins_of(dtype: np.dtype) -> Array:
        bins = jnp.linspace(min_value, max_value, num_bins, dtype=jnp.float32)
        return tx.apply_inv(bins).astype(dtype)

    @shapes("scalar:real[...]", "unbiased_transform_pair().apply")
    def apply(scalar: ArrayLike) -> Array:
        (scalar,) = known_arrays(scalar)
        bins = bins_of(scalar.dtype)
        return _two_hot_among(jnp.atleast_1d(scalar), bins)

    @shapes("probs:real[...]", "unbiased_transform_pair().apply_inv")
    def apply_inv(probs: ArrayLike) -> Array:
        (probs,) = known_arrays(probs)
        bins = bins_of(probs.dtype)
        return _mean("unbiased_transform_pair().apply_inv", probs, bins)

    return TxPair(apply, apply_inv)


def symexp_twohot_pair(
    min_value: float = -20.0, max_value: float = 20.0, num_bins: int = 255
) -> TxPair:
    """The pair of DreamerV3: a scalar on two of many bins, whose sizes grow with e^x.

    The bins are symexp(x) for evenly spaced x.

    Args:
      min_value: symlog of the lowest bin.
      max_value: symlog of the highest bin.
      num_bins: Number of bins, at least 2.

    Returns:
      A pair from scalars `[...]`, clipped to the bins, to probabilities
      `[..., num_bins]`, and back to their mean.

    Raises:
      ContractError: If num_bins is below 2, or min_value not below max_value.

    Source: Hafner et al. 2023, Mastering Diverse Domains through World Models, arXiv
    2301.04104, equations 10 and 11.

    Example:
      >>> pair = rlax.symexp_twohot_pair(-2.0, 2.0, 5)
      >>> print(pair.apply(0.0), pair.apply_inv(pair.apply(3.0)).round(2))
      [0. 0. 1. 0. 0.] 3.0
    """
    check_bins("symexp_twohot_pair", min_value, max_value, num_bins)
    evenly = np.linspace(min_value, max_value, num_bins)
    bins = np.sign(evenly) * np.expm1(np.abs(evenly))

    def bins_of(dtype: DTypeLike) -> Array:
        return jnp.asarray(bins, dtype)

    @shapes("scalar:real[...]", "symexp_twohot_pair().apply")
    def apply(scalar: ArrayLike) -> Array:
        (scalar,) = known_arrays(scalar)
        wide = at_least_single(scalar.dtype)
        weights = _two_hot_among(scalar.astype(wide), bins_of(wide))
        return weights.astype(scalar.dtype)

    @shapes("probs:real[...]", "symexp_twohot_pair().apply_inv")
    def apply_inv(probs: ArrayLike) -> Array:
        (probs,) = known_arrays(probs)
        check_probs("symexp_twohot_pair().apply_inv", probs, num_bins)
        wide = at_least_single(probs.dtype)
        weights, values = probs.astype(wide), bins_of(wide)
        if min_value == -max_value:
            # A bin and its mirror cancel exactly: they reach 5e8. A compiler that fuses
            # the difference with a softmax rounds its sides apart, even of equal ones.
            half = num_bins // 2
            right, left = (
                weights[..., num_bins - half :],
                weights[..., :half][..., ::-1],
            )
            weights, values = right - left, values[num_bins - half :]
            rounding = jnp.where(right == left, weights, 0)
            weights = weights - jax.lax.stop_gradient(rounding)
        return weighted_sum(weights, values).astype(probs.dtype)

    return TxPair(apply, apply_inv)
