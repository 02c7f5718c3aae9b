"""V-MPO: maximum a posteriori policy optimisation from on-policy advantages."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from rlax._core.all_sum import AllSum
from rlax._core.contracts import shapes
from rlax._core.errors import ContractError, check
from rlax._core.gradients import stop_gradient_if
from rlax._core.types import known_arrays
from rlax._policies.constraints import (
    LagrangePenalty,
    check_fit,
    compute_parametric_kl_penalty_and_dual_loss,
)
from rlax._policies.mpo import MpoOutputs, at_least_tiny

Array = jax.Array

_TINY = 1e-10


def top_k_weights(
    top_k_fraction: float,
    restarting_weights: Array,
    scaled_advantages: Array,
    axis_name: str | None = None,
) -> Array:
    """1 for the samples of highest advantage, 0 for the rest.

    Args:
      top_k_fraction: Their share of all samples, in (0, 1].
      restarting_weights: 0 at samples to leave out, of scaled_advantages' shape.
      scaled_advantages: `[...]`.
      axis_name: Mapped axis over which the samples are spread. Default: none.

    Returns:
      Of scaled_advantages' shape. Ties with the last chosen sample are chosen too.

    Raises:
      ContractError: If the fraction leaves no sample.
    """
    check(
        0 < top_k_fraction <= 1,
        f"vmpo: top_k_fraction must be in (0, 1], got {top_k_fraction}.",
    )
    valid = jnp.where(restarting_weights > 0, scaled_advantages, -jnp.inf)
    valid = jnp.where(jnp.isnan(scaled_advantages), jnp.nan, valid)
    everyone = valid.reshape(-1)
    if axis_name is not None:
        everyone = jax.lax.all_gather(everyone, axis_name=axis_name).reshape(-1)
    k = int(top_k_fraction * everyone.size)
    if k == 0:
        raise ContractError(
            f"vmpo: top_k_fraction {top_k_fraction} of {everyone.size} samples leaves "
            f"none; it must be at least {1 / everyone.size:.3g}."
        )
    if k == everyone.size:
        return jnp.ones_like(scaled_advantages)
    lowest = jax.lax.top_k(everyone, k)[0][-1]
    chosen = (valid >= lowest).astype(scaled_advantages.dtype)
    return jnp.where(jnp.isnan(lowest), jnp.nan, chosen)


@shapes("advantages[...], restarting_weights[...], importance_weights[...]")
def vmpo_compute_weights_and_temperature_loss(
    advantages: ArrayLike,
    restarting_weights: ArrayLike,
    importance_weights: ArrayLike,
    temperature_constraint: LagrangePenalty,
    projection_operator: Callable[[Array], Array],
    top_k_fraction: float,
    axis_name: str | None = None,
    use_stop_gradient: bool = True,
) -> tuple[Array, Array, Array]:
    """Computes the weights of the E-step, and the loss of its temperature.

        u = restarting importance e^(A / η) on the best samples, else 0;  w = u / Σ u
        loss = η (ε + log Σ u - log Σ restarting), the last sum over the best samples

    Args:
      advantages: Of the actions taken, `[...]`.
      restarting_weights: 0 at steps that begin an episode anew, else 1, `[...]`.
      importance_weights: Corrections for another behaviour policy, `[...]`.
      temperature_constraint: The temperature η, and ε, its bound.
      projection_operator: Keeps η valid.
      top_k_fraction: Share of samples, the best, to learn from, in (0, 1].
      axis_name: Mapped axis over which the samples are spread. Default: none.
      use_stop_gradient: Whether to stop the gradient through importance_weights and
        through the returned weights.

    Returns:
      (loss `[]`, weights `[...]`, number of samples `[]`).

    Gradient:
      The loss reaches the temperature, advantages and restarting_weights; unless
      stopped, importance_weights too, and the weights all of these.

    Raises:
      ContractError: If top_k_fraction is out of (0, 1] or leaves no sample.

    Source: Song et al. 2019, V-MPO, arXiv 1909.12238, section 4.1.

    Example:
      >>> temperature, ones = rlax.LagrangePenalty(alpha=1.0, epsilon=0.1), jnp.ones(4)
      >>> _, weights, _ = rlax.vmpo_compute_weights_and_temperature_loss(
      ...     [0.0, 1.0, 2.0, 2.0], ones, ones, temperature, jax.nn.relu, 0.5
      ... )
      >>> print(weights.round(2))
      [0.  0.  0.5 0.5]
    """
    all_sum = AllSum(axis_name)
    advantages, restarting_weights = known_arrays(advantages, restarting_weights)
    importance_weights = stop_gradient_if(use_stop_gradient, importance_weights)
    temperature = projection_operator(jnp.asarray(temperature_constraint.alpha))
    scaled = restarting_weights * advantages / temperature
    top_k = top_k_weights(top_k_fraction, restarting_weights, scaled, axis_name)
    used = top_k * restarting_weights

    # The largest of the used samples: then not all exponentials can vanish.
    highest = jnp.max(jnp.where(used == 0, -jnp.inf, jax.lax.stop_gradient(scaled)))
    if axis_name is not None:
        highest = jax.lax.pmax(highest, axis_name=axis_name)
    highest = jnp.where(jnp.isneginf(highest), 0, highest)
    # Unused samples may be larger; their exponentials must not overflow.
    exponent = jnp.where(used == 0, 0, scaled - highest)
    unnormalized = used * importance_weights * jnp.exp(exponent)
    total = all_sum(unnormalized) + _TINY
    num_samples = all_sum(used) + _TINY

    weights = stop_gradient_if(use_stop_gradient, unnormalized / total)
    log_mean = jnp.log(total) + highest - jnp.log(num_samples)
    loss = temperature * (temperature_constraint.epsilon + log_mean)
    return loss, weights, num_samples


@shapes(
    "sample_log_probs[...], advantages[...], restarting_weights?[...],"
    "importance_weights?[...]"
)
def vmpo_loss(
    sample_log_probs: ArrayLike,
    advantages: ArrayLike,
    temperature_constraint: LagrangePenalty,
    kl_constraints: Sequence[tuple[ArrayLike, LagrangePenalty]],
    projection_operator: Callable[[Array], Array] = at_least_tiny,
    restarting_weights: ArrayLike | None = None,
    importance_weights: ArrayLike | None = None,
    top_k_fraction: float = 0.5,
    policy_loss_weight: float = 1.0,
    temperature_loss_weight: float = 1.0,
    kl_loss_weight: float = 1.0,
    alpha_loss_weight: float = 1.0,
    axis_name: str | None = None,
    use_stop_gradient: bool = True,
) -> tuple[Array, MpoOutputs]:
    """Computes the V-MPO loss of policy, temperature and constraints.

    Args:
      sample_log_probs: Log probabilities of the actions taken under the policy that
        learns, `[...]`, such as `[T, B]`.
      advantages: Of those actions, `[...]`.
      temperature_constraint: As in `vmpo_compute_weights_and_temperature_loss`.
      kl_constraints: Pairs of a KL from the acting policy to the learning one, `[...]`
        (or `[..., D]` with per_dimension), and its penalty.
      projection_operator: Keeps temperature and multipliers valid.
      restarting_weights: As there. Default: ones.
      importance_weights: As there. Default: ones.
      top_k_fraction: As there.
      policy_loss_weight: Weight of the policy loss.
      temperature_loss_weight: Weight of the temperature loss.
      kl_loss_weight: Weight of the KL loss.
      alpha_loss_weight: Weight of the alpha loss.
      axis_name: As there.
      use_stop_gradient: Whether the weights count as constant in the policy loss; also
        passed to `compute_parametric_kl_penalty_and_dual_loss`.

    Returns:
      (loss of every sample `[...]`, its parts); its mean is the loss to minimise.

    Gradient:
      As in `mpo_loss`, with advantages for values.

    Raises:
      ContractError: If a KL is neither one number nor of the policy loss's shape; also
        as in `vmpo_compute_weights_and_temperature_loss`.

    Source: Song et al. 2019, V-MPO, arXiv 1909.12238.

    Example:
      >>> eta = rlax.LagrangePenalty(alpha=1.0, epsilon=0.1)
      >>> loss, parts = rlax.vmpo_loss([-1.0, -2.0], [1.0, 0.0], eta, kl_constraints=[])
      >>> print(parts.normalized_weights.round(2))
      [1. 0.]
    """
    (advantages,) = known_arrays(advantages)
    ones = jnp.ones_like(advantages)
    temperature_loss, weights, num_samples = vmpo_compute_weights_and_temperature_loss(
        advantages,
        ones if restarting_weights is None else restarting_weights,
        ones if importance_weights is None else importance_weights,
        temperature_constraint,
        projection_operator,
        top_k_fraction,
        axis_name,
        use_stop_gradient,
    )
    # Times the number of all samples, so that the mean of the loss is Σ w log π.
    devices = 1 if axis_name is None else jax.lax.psum(1, axis_name)
    policy_loss = -(math.prod(advantages.shape) * devices) * weights * sample_log_probs
    kl_loss, alpha_loss = compute_parametric_kl_penalty_and_dual_loss(
        kl_constraints, projection_operator, use_stop_gradient
    )
    check_fit("vmpo_loss", policy_loss, kl_loss, alpha_loss)
    parts = MpoOutputs(
        temperature_loss, policy_loss, kl_loss, alpha_loss, weights, num_samples
    )
    loss = (
        policy_loss_weight * policy_loss
        + temperature_loss_weight * temperature_loss
        + kl_loss_weight * kl_loss
        + alpha_loss_weight * alpha_loss
    )
    return loss, parts
