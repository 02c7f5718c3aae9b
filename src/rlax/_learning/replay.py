"""Prioritised replay: what to draw, how to correct for it, and new priorities."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from rlax._core.contracts import shapes
from rlax._core.errors import check_choice, check_not_empty, check_range
from rlax._core.masks import masked_mean, zero_masked
from rlax._core.types import known_arrays

Array = jax.Array


@shapes("priority:positive[K], mask?:mask[K]")
def prioritized_probabilities(
    priority: ArrayLike, exponent: float = 0.6, *, mask: ArrayLike | None = None
) -> Array:
    """Computes the probabilities to draw transitions with.

        p[i]^α / Σ_k p[k]^α

    Args:
      priority: Not negative, `[K]`.
      exponent: α, not negative; 0 draws uniformly.
      mask: True at the transitions that may be drawn, `[K]`. Default: all.

    Returns:
      `[K]`: 0 where mask is false; uniform where all priorities are 0.

    Gradient:
      Reaches nothing.

    Raises:
      ContractError: If exponent or a priority is negative.

    Source: Schaul et al. 2016, Prioritized Experience Replay, arXiv 1511.05952,
    equation 1.

    Example:
      >>> print(rlax.prioritized_probabilities([1.0, 3.0], exponent=1.0))
      [0.25 0.75]
    """
    check_range("prioritized_probabilities", "exponent", exponent, 0, jnp.inf)
    priority = jax.lax.stop_gradient(zero_masked(priority, mask))
    largest = jnp.max(priority)
    # Divided by the largest, which may be near the limit of the dtype.
    share = jnp.where(largest == 0, 1, priority / jnp.where(largest == 0, 1, largest))
    power = zero_masked(share**exponent, mask)
    return power / jnp.maximum(jnp.sum(power), 1)


@shapes("probability:positive[K]")
def importance_sampling_weights(
    probability: ArrayLike,
    exponent: float = 0.4,
    *,
    size: float | None = None,
    normalize: str = "max",
) -> Array:
    """Computes the weights that correct losses for prioritised drawing.

        w[i] = (size p[i])^-β,    divided by the largest

    Args:
      probability: Of drawing each transition, `[K]`.
      exponent: β, not negative; 1 corrects in full.
      size: Number of transitions in the buffer, at least 1, if probability holds
        those of a batch. Default: K.
      normalize: "max" divides by the largest weight of probability, "none" doesn't.

    Returns:
      `[K]`; 0 where the probability is 0, which isn't the largest weight.

    Gradient:
      Reaches nothing.

    Raises:
      ContractError: If an option is out of range, or normalize not one of these.

    Source: Schaul et al. 2016, arXiv 1511.05952, section 3.4.

    Example:
      >>> print(rlax.importance_sampling_weights([0.25, 0.5], exponent=1.0))
      [1.  0.5]
    """
    op = "importance_sampling_weights"
    check_range(op, "exponent", exponent, 0, jnp.inf)
    check_range(op, "size", size, 1, jnp.inf)
    check_choice(op, "normalize", normalize, ("max", "none"))
    (probability,) = known_arrays(jax.lax.stop_gradient(probability))
    possible = probability != 0
    safe = jnp.where(possible, probability, 1)
    if normalize == "max":
        ratio = jnp.min(jnp.where(possible, probability, jnp.inf)) / safe
    else:
        size = probability.shape[0] if size is None else size
        ratio = 1 / (jnp.asarray(size, safe.dtype) * safe)
    return jnp.where(possible, ratio**exponent, 0)


@shapes("td_error_t[T], mask_t?:mask[T]")
def r2d2_priority(
    td_error_t: ArrayLike, eta: float = 0.9, *, mask_t: ArrayLike | None = None
) -> Array:
    """Computes the priority of a sequence from its TD errors.

        η max_t |δ[t]| + (1 - η) mean_t |δ[t]|

    Args:
      td_error_t: δ, `[T]`.
      eta: η, weight of the largest error, in [0, 1].
      mask_t: True at the steps that count, `[T]`. Default: all.

    Returns:
      The priority, `[]`; 0 where no step counts.

    Gradient:
      Reaches nothing.

    Raises:
      ContractError: If eta is out of [0, 1], or T is 0.

    Source: Kapturowski et al. 2019, Recurrent Experience Replay in Distributed
    Reinforcement Learning, ICLR, section 2.3.

    Example:
      >>> print(rlax.r2d2_priority([1.0, -3.0], eta=0.5))
      2.5
    """
    check_range("r2d2_priority", "eta", eta, 0, 1)
    check_not_empty("r2d2_priority", "td_error_t", td_error_t)
    size = jnp.abs(jax.lax.stop_gradient(zero_masked(td_error_t, mask_t)))
    return eta * jnp.max(size) + (1 - eta) * masked_mean(size, mask_t)
