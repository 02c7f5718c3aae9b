"""Scalars as histograms of a Gaussian around them."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from rlax._core.arrays import at_least_single
from rlax._core.contracts import shapes
from rlax._core.errors import check_above
from rlax._core.types import known_arrays
from rlax._values.transforms import TxPair
from rlax._values.two_hot import check_bins, check_probs, weighted_sum

Array = jax.Array


def hl_gauss_pair(
    min_value: float, max_value: float, num_bins: int, sigma_ratio: float = 0.75
) -> TxPair:
    """The pair of HL-Gauss: a scalar as the histogram of a Gaussian around it.

        p[i] = (Φ((e[i+1] - y) / σ) - Φ((e[i] - y) / σ)) / Z,    σ = sigma_ratio width

    with Z the mass between min_value and max_value, so that p sums to 1.

    Args:
      min_value: The lowest edge e[0].
      max_value: The highest edge.
      num_bins: Number of bins, between num_bins + 1 evenly spaced edges; at least 2.
      sigma_ratio: Standard deviation in widths of a bin, above 0.

    Returns:
      A pair from scalars y `[...]`, clipped to [min_value, max_value], to
      probabilities `[..., num_bins]`, and back to the mean of the bins' centres.

    Raises:
      ContractError: If num_bins is below 2, min_value not below max_value, or
        sigma_ratio not above 0.

    Source: Farebrother et al. 2024, Stop Regressing: Training Value Functions via
    Classification for Scalable Deep RL, arXiv 2403.03950, equations 5 and 6, where
    edges, not centres, span the range.

    Example:
      >>> pair = rlax.hl_gauss_pair(-1.0, 1.0, 4)
      >>> print(pair.apply(0.0).round(2), pair.apply_inv(pair.apply(0.0)).round(2))
      [0.09 0.41 0.41 0.09] 0.0
    """
    check_bins("hl_gauss_pair", min_value, max_value, num_bins)
    check_above("hl_gauss_pair", "sigma_ratio", sigma_ratio)
    edges = np.linspace(min_value, max_value, num_bins + 1)
    centres = (edges[1:] + edges[:-1]) / 2
    sigma = sigma_ratio * (max_value - min_value) / num_bins

    @shapes("scalar:real[...]", "hl_gauss_pair().apply")
    def apply(scalar: ArrayLike) -> Array:
        (scalar,) = known_arrays(scalar)
        wide = at_least_single(scalar.dtype)
        y = jnp.clip(scalar.astype(wide), min_value, max_value)
        each = jnp.asarray(edges, wide).reshape((1,) * y.ndim + (-1,))
        distance = (each - y[..., None]) / sigma
        mass = _mass_between(distance[..., :-1], distance[..., 1:])
        total = _mass_between(distance[..., :1], distance[..., -1:])
        return (mass / total).astype(scalar.dtype)

    @shapes("probs:real[...]", "hl_gauss_pair().apply_inv")
    def apply_inv(probs: ArrayLike) -> Array:
        (probs,) = known_arrays(probs)
        check_probs("hl_gauss_pair().apply_inv", probs, num_bins)
        return weighted_sum(probs, jnp.asarray(centres, probs.dtype))

    return TxPair(apply, apply_inv)


def _mass_between(low: Array, high: Array) -> Array:
    """Φ(high) - Φ(low); above the mean by symmetry, since Φ rounds to 1 there."""
    above = low + high > 0
    low, high = jnp.where(above, -high, low), jnp.where(above, -low, high)
    return jax.scipy.special.ndtr(high) - jax.scipy.special.ndtr(low)
