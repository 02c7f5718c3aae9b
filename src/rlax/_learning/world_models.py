"""Losses and scales of agents that learn in a world model (DreamerV3)."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from rlax._core.arrays import at_least_single
from rlax._core.contracts import shapes
from rlax._core.errors import check, check_not_empty, check_range, is_host
from rlax._core.probabilities import kl_divergence
from rlax._core.types import known_arrays

Array = jax.Array


class PercentileScaleState(NamedTuple):
    """Moving averages of two percentiles.

    Attributes:
      low: Average of the lower one, `[]`.
      high: Average of the upper one, `[]`.

    Example:
      >>> rlax.PercentileScaleState()
      PercentileScaleState(low=0.0, high=0.0)
    """

    low: ArrayLike = 0.0
    high: ArrayLike = 0.0


@shapes("x:real[...]")
def percentile_scale(
    x: ArrayLike,
    state: PercentileScaleState,
    *,
    low: float = 0.05,
    high: float = 0.95,
    decay: float = 0.99,
    minimum: float = 1.0,
    axis_name: str | None = None,
) -> tuple[Array, PercentileScaleState]:
    """Averages the range of returns over time, to divide advantages by it.

        scale = max(minimum, high' - low'),    low' = decay low + (1 - decay) quantile

    Args:
      x: Returns, any shape; their quantiles are taken over all, interpolated linearly.
      state: The averages so far; `PercentileScaleState()` at first. They aren't
        debiased.
      low: Level of the lower quantile, in [0, 1].
      high: Level of the upper quantile, in [0, 1], not below low.
      decay: Weight of the past, in [0, 1].
      minimum: The smallest scale, not negative; small returns aren't scaled up.
      axis_name: Mapped axis to average the quantiles over. Default: none.

    Returns:
      (scale `[]`, the new state). The state is in float32 or wider.

    Gradient:
      Reaches nothing.

    Raises:
      ContractError: If x is empty, or an option out of range.

    Source: Hafner et al. 2023, Mastering Diverse Domains through World Models, arXiv
    2301.04104, equation 7.

    Example:
      >>> state = rlax.PercentileScaleState()
      >>> x = jnp.linspace(0.0, 10.0, 101)
      >>> scale, state = rlax.percentile_scale(x, state, decay=0.0)
      >>> print(scale.round(2))
      9.0
    """
    op = "percentile_scale"
    check_not_empty(op, "x", x)
    for name, value in {"low": low, "high": high, "decay": decay}.items():
        check_range(op, name, value, 0, 1)
    check_range(op, "minimum", minimum, 0, jnp.inf)
    if is_host(low) and is_host(high):
        check(low <= high, f"{op}: low must not exceed high, got {low} and {high}.")
    (x,) = known_arrays(jax.lax.stop_gradient(x))
    wide = at_least_single(x.dtype)
    levels = jnp.asarray([low, high], wide)
    quantiles = jnp.quantile(x.astype(wide).reshape(-1), levels)
    if axis_name is not None:
        quantiles = jax.lax.pmean(quantiles, axis_name)

    def moved(average: ArrayLike, quantile: Array) -> Array:
        average = jax.lax.stop_gradient(jnp.asarray(average, wide))
        return decay * average + (1 - decay) * quantile

    state = PercentileScaleState(*map(moved, state, quantiles))
    scale = jnp.maximum(minimum, jnp.subtract(state.high, state.low))
    return scale.astype(x.dtype), state


@shapes("post_logits[C K]|[K], prior_logits[C K]|[K]")
def balanced_kl_loss(
    post_logits: ArrayLike,
    prior_logits: ArrayLike,
    *,
    free_nats: float = 1.0,
    dynamics_weight: float = 1.0,
    representation_weight: float = 0.1,
) -> Array:
    """Computes the loss between a world model's prediction and what it then saw.

        w_dyn max(f, KL(sg(post) || prior)) + w_rep max(f, KL(post || sg(prior)))

    Args:
      post_logits: Logits of the posterior, which saw the step, of C categoricals,
        `[C, K]`, or `[K]` of one.
      prior_logits: Logits of the prediction, as post_logits.
      free_nats: f: below it, the sum of the C divergences gives no gradient. Not
        negative.
      dynamics_weight: Of the term that trains the prediction, not negative.
      representation_weight: Of the term that trains the posterior, not negative.

    Returns:
      The loss, `[]`.

    Gradient:
      Reaches post_logits and prior_logits where the divergence exceeds free_nats.

    Raises:
      ContractError: If the shapes differ or have other axes, or a number is negative.

    Source: Hafner et al. 2023, arXiv 2301.04104, equations 4 and 5. DreamerV2 (Hafner
    et al. 2021, arXiv 2010.02193) has weights 0.8 and 0.2, and no free nats.

    Example:
      >>> post, prior = jnp.array([[0.0, 9.0]]), jnp.array([[9.0, 0.0]])
      >>> print(rlax.balanced_kl_loss(post, prior).round(2))
      9.9
    """
    op = "balanced_kl_loss"
    post, prior = known_arrays(post_logits, prior_logits)
    check(
        post.ndim == prior.ndim,
        f"{op}: post_logits and prior_logits must both be [C, K] or [K], got "
        f"{list(post.shape)} and {list(prior.shape)}.",
    )
    for name, value in {
        "free_nats": free_nats,
        "dynamics_weight": dynamics_weight,
        "representation_weight": representation_weight,
    }.items():
        check_range(op, name, value, 0, jnp.inf)

    def divergence(post: Array, prior: Array) -> Array:
        return jnp.maximum(free_nats, jnp.sum(kl_divergence(post, prior)))

    stop = jax.lax.stop_gradient
    dynamics, representation = (
        divergence(stop(post), prior),
        divergence(post, stop(prior)),
    )
    return dynamics_weight * dynamics + representation_weight * representation


@shapes("logits[... K]")
def uniform_mix(logits: ArrayLike, fraction: float = 0.01) -> Array:
    """Mixes a categorical distribution with the uniform one.

        log((1 - f) softmax(logits) + f / K)

    Args:
      logits: `[..., K]`.
      fraction: f, the share of the uniform distribution, in [0, 1].

    Returns:
      Log probabilities, `[..., K]`: logits whose softmax is the mixture.

    Gradient:
      Reaches logits.

    Raises:
      ContractError: If fraction is out of [0, 1].

    Source: Hafner et al. 2023, arXiv 2301.04104, section on the world model.

    Example:
      >>> print(jnp.exp(rlax.uniform_mix([1e4, 0.0], 0.1)).round(2))
      [0.95 0.05]
    """
    check_range("uniform_mix", "fraction", fraction, 0, 1)
    (logits,) = known_arrays(logits)
    share = jnp.asarray(fraction, logits.dtype)
    policy = jax.nn.log_softmax(logits) + jnp.log1p(-share)
    return jnp.logaddexp(policy, jnp.log(share / logits.shape[-1]))
