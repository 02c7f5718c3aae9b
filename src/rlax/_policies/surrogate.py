"""The clipped surrogate of PPO, for every element; averages are the caller's."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from rlax._core.errors import check_above, check_range
from rlax._core.types import known_arrays

Array = jax.Array


def check_clip(
    op: str,
    epsilon: float,
    epsilon_high: float | None = None,
    dual_clip: float | None = None,
) -> None:
    """Raises unless the ε are not negative, and the dual clip is above 1."""
    check_range(op, "epsilon", epsilon, 0, jnp.inf)
    check_range(op, "epsilon_high", epsilon_high, 0, jnp.inf)
    check_above(op, "dual_clip", dual_clip, 1)


def clip_ratio(
    ratio: ArrayLike, epsilon: float, epsilon_high: float | None = None
) -> Array:
    """The ratio within [1 - ε, 1 + ε_high]; ε_high is ε by default."""
    high = epsilon if epsilon_high is None else epsilon_high
    return jnp.clip(ratio, 1 - epsilon, 1 + high)


def clipped_surrogate(
    ratio: ArrayLike,
    adv: ArrayLike,
    epsilon: float,
    epsilon_high: float | None = None,
    dual_clip: float | None = None,
) -> Array:
    """The loss of every element.

        -s,    s = min(ρ A, clip(ρ, 1 - ε, 1 + ε_high) A)

    Args:
      ratio: ρ = π(a) / π_old(a), `[...]`.
      adv: Advantage A of the action, `[...]`.
      epsilon: How far ρ may fall below 1.
      epsilon_high: How far it may rise above 1. Default: epsilon.
      dual_clip: Where A < 0, s is at least dual_clip A. Default: no such bound.

    Returns:
      `[...]`.

    Gradient:
      Reaches ratio where the clipped term isn't the smaller one, and adv.

    Source: Schulman et al. 2017, arXiv 1707.06347, equation 7; the second bound: Ye et
    al. 2020, arXiv 1912.09729, equation 5.
    """
    ratio, adv = known_arrays(ratio, adv)
    objective = jnp.minimum(ratio * adv, clip_ratio(ratio, epsilon, epsilon_high) * adv)
    if dual_clip is not None:
        bounded = jnp.maximum(objective, dual_clip * adv)
        objective = jnp.where(adv < 0, bounded, objective)
    return -objective
