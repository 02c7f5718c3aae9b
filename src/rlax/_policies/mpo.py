"""Maximum a posteriori policy optimisation, from sampled actions and their values."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from rlax._core.contracts import shapes
from rlax._core.errors import check
from rlax._core.gradients import stop_gradient_if
from rlax._core.types import known_arrays
from rlax._policies.constraints import (
    LagrangePenalty,
    check_fit,
    compute_parametric_kl_penalty_and_dual_loss,
)

Array = jax.Array

at_least_tiny = functools.partial(jnp.clip, min=1e-10)


class MpoOutputs(NamedTuple):
    """The parts of an MPO or V-MPO loss.

    Attributes:
      temperature_loss: Loss of the temperature.
      policy_loss: Weighted maximum likelihood.
      kl_loss: Penalty of the KL constraints.
      alpha_loss: Loss of their multipliers.
      normalized_weights: Weights of the samples.
      num_samples: Number of samples that share the weights.
    """

    temperature_loss: Array
    policy_loss: Array
    kl_loss: ArrayLike
    alpha_loss: ArrayLike
    normalized_weights: Array
    num_samples: ArrayLike


@shapes("sample_q_values[...]")
def mpo_compute_weights_and_temperature_loss(
    sample_q_values: ArrayLike,
    temperature_constraint: LagrangePenalty,
    projection_operator: Callable[[Array], Array],
    sample_axis: int = 0,
) -> tuple[Array, Array, int]:
    """Computes the weights of the E-step, and the loss of its temperature.

        w = softmax(q / η),    loss = η (ε + log mean_samples e^(q / η))

    Args:
      sample_q_values: Values of sampled actions, `[N, ...]` along sample_axis.
      temperature_constraint: The temperature η, and ε, the bound on the KL to the
        sampling policy.
      projection_operator: Keeps η valid.
      sample_axis: The axis of the samples.

    Returns:
      (loss `[...]`, weights of sample_q_values' shape, N).

    Gradient:
      Loss and weights reach sample_q_values and the temperature.

    Raises:
      ContractError: If there are no samples, or sample_axis isn't an axis.

    Source: Abdolmaleki et al. 2018, Maximum a Posteriori Policy Optimisation, arXiv
    1806.06920, section 4.1.

    Example:
      >>> eta = rlax.LagrangePenalty(alpha=1.0, epsilon=0.1)
      >>> loss, weights, n = rlax.mpo_compute_weights_and_temperature_loss(
      ...     [0.0, 0.0], eta, lambda x: x
      ... )
      >>> print(weights)
      [0.5 0.5]
    """
    (sample_q_values,) = known_arrays(sample_q_values)
    check(
        -sample_q_values.ndim <= sample_axis < sample_q_values.ndim,
        f"mpo: sample_axis must be an axis of sample_q_values "
        f"{list(sample_q_values.shape)}, got {sample_axis}; pass that of the samples.",
    )
    num_samples = sample_q_values.shape[sample_axis]
    check(
        num_samples > 0,
        f"mpo: sample_q_values {list(sample_q_values.shape)} holds no samples along "
        f"sample_axis {sample_axis}; pass at least one.",
    )
    temperature = projection_operator(jnp.asarray(temperature_constraint.alpha))
    tempered = sample_q_values / temperature
    # Weights and log-sum-exp share their exponentials.
    highest = jnp.max(tempered, axis=sample_axis, keepdims=True)
    exponentials = jnp.exp(tempered - jax.lax.stop_gradient(highest))
    total = jnp.sum(exponentials, axis=sample_axis, keepdims=True)
    weights = exponentials / total
    log_mean = jnp.log(total) + jax.lax.stop_gradient(highest) - jnp.log(num_samples)
    loss = temperature * temperature_constraint.epsilon + temperature * jnp.squeeze(
        log_mean, axis=sample_axis
    )
    return loss, weights, num_samples


@shapes("sample_log_probs[...], sample_q_values[...]")
def mpo_loss(
    sample_log_probs: ArrayLike,
    sample_q_values: ArrayLike,
    temperature_constraint: LagrangePenalty,
    kl_constraints: Sequence[tuple[ArrayLike, LagrangePenalty]],
    projection_operator: Callable[[Array], Array] = at_least_tiny,
    policy_loss_weight: float = 1.0,
    temperature_loss_weight: float = 1.0,
    kl_loss_weight: float = 1.0,
    alpha_loss_weight: float = 1.0,
    sample_axis: int = 0,
    use_stop_gradient: bool = True,
) -> tuple[Array, MpoOutputs]:
    """Computes the MPO loss of policy, temperature and constraints.

    Args:
      sample_log_probs: Log probabilities of sampled actions under the policy that
        learns, `[N, ...]` along sample_axis.
      sample_q_values: Their values, of the same shape.
      temperature_constraint: As in `mpo_compute_weights_and_temperature_loss`.
      kl_constraints: Pairs of a KL from the sampling policy to the learning one,
        `[...]` (or `[..., D]` with per_dimension), and its penalty.
      projection_operator: Keeps temperature and multipliers valid.
      policy_loss_weight: Weight of the policy loss.
      temperature_loss_weight: Weight of the temperature loss.
      kl_loss_weight: Weight of the KL loss.
      alpha_loss_weight: Weight of the alpha loss.
      sample_axis: The axis of the samples.
      use_stop_gradient: Whether the weights count as constant in the policy loss; also
        passed to `compute_parametric_kl_penalty_and_dual_loss`.

    Returns:
      (loss `[...]`, its parts).

    Gradient:
      The policy loss reaches sample_log_probs, the temperature loss the temperature
      and sample_q_values, the KL loss the KLs, the alpha loss the multipliers. Without
      use_stop_gradient, each reaches all of its inputs.

    Raises:
      ContractError: If a KL is neither one number nor of the policy loss's shape; also
        as in `mpo_compute_weights_and_temperature_loss`.

    Source: Abdolmaleki et al. 2018, arXiv 1806.06920.

    Example:
      >>> eta = rlax.LagrangePenalty(alpha=1.0, epsilon=0.1)
      >>> loss, parts = rlax.mpo_loss([-1.0, -2.0], [0.0, 0.0], eta, kl_constraints=[])
      >>> print(parts.policy_loss)
      1.5
    """
    temperature_loss, weights, num_samples = mpo_compute_weights_and_temperature_loss(
        sample_q_values, temperature_constraint, projection_operator, sample_axis
    )
    weights = stop_gradient_if(use_stop_gradient, weights)
    policy_loss = -jnp.sum(weights * sample_log_probs, axis=sample_axis)
    kl_loss, alpha_loss = compute_parametric_kl_penalty_and_dual_loss(
        kl_constraints, projection_operator, use_stop_gradient
    )
    check_fit("mpo_loss", policy_loss, kl_loss, alpha_loss)
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
