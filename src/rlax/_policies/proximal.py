"""PPO: clipped losses of policy and value, advantages, and the KL coefficient."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from rlax._core import ratios
from rlax._core.contracts import shapes
from rlax._core.errors import check_above, check_choice, check_range
from rlax._core.gradients import stop_gradient_if
from rlax._core.masks import (
    masked_differences,
    masked_mean,
    over_deviation,
    zero_masked,
)
from rlax._core.types import known_arrays
from rlax._policies.surrogate import check_clip, clipped_surrogate

Array = jax.Array

_MASK = ", mask_t?:mask[T ...]|[T]"


@shapes("prob_ratios_t:positive[T ...], adv_t[T ...]" + _MASK)
def clipped_surrogate_pg_loss(
    prob_ratios_t: ArrayLike,
    adv_t: ArrayLike,
    epsilon: float,
    use_stop_gradient: bool = True,
    *,
    mask_t: ArrayLike | None = None,
    epsilon_high: float | None = None,
    dual_clip: float | None = None,
) -> Array:
    """Computes the clipped surrogate loss of PPO.

        -mean_t min(ρ adv, clip(ρ, 1 - ε, 1 + ε_high) adv)

    Args:
      prob_ratios_t: π(a) / π_old(a), `[T, ...]`; further axes are batch.
      adv_t: Advantage of the action taken, `[T, ...]`.
      epsilon: ε, not negative.
      use_stop_gradient: Whether to stop the gradient through adv_t.
      mask_t: As in `policy_gradient_loss`.
      epsilon_high: ε_high, not negative; above ε, it is DAPO's "clip higher". Default:
        epsilon.
      dual_clip: c above 1: where adv < 0, the minimum is at least c adv. Default: no
        such bound.

    Returns:
      The loss, `[...]`.

    Gradient:
      Reaches prob_ratios_t where the clipped term isn't the smaller one; adv_t too
      unless stopped.

    Raises:
      ContractError: If epsilon or epsilon_high is negative, or dual_clip isn't above 1.

    Source: Schulman et al. 2017, Proximal Policy Optimization Algorithms, arXiv
    1707.06347, equation 7; ε_high: Yu et al. 2025, DAPO, arXiv 2503.14476; dual clip:
    Ye et al. 2020, Mastering Complex Control in MOBA Games with Deep Reinforcement
    Learning, arXiv 1912.09729.

    Example:
      >>> print(rlax.clipped_surrogate_pg_loss([0.5, 2.0], [1.0, 1.0], epsilon=0.5))
      -1.0
    """
    check_clip("clipped_surrogate_pg_loss", epsilon, epsilon_high, dual_clip)
    ratios_t, adv_t = (zero_masked(x, mask_t) for x in (prob_ratios_t, adv_t))
    adv_t = stop_gradient_if(use_stop_gradient, adv_t)
    loss = clipped_surrogate(ratios_t, adv_t, epsilon, epsilon_high, dual_clip)
    return masked_mean(loss, mask_t, axis=0)


@shapes(
    "log_pi_t[T ...], log_prox_t[T ...], log_mu_t[T ...], adv_t[T ...]" + _MASK,
    empty=False,
)
def decoupled_surrogate_pg_loss(
    log_pi_t: ArrayLike,
    log_prox_t: ArrayLike,
    log_mu_t: ArrayLike,
    adv_t: ArrayLike,
    epsilon: float,
    use_stop_gradient: bool = True,
    *,
    mask_t: ArrayLike | None = None,
    epsilon_high: float | None = None,
    max_weight: float | None = None,
) -> Array:
    """Computes PPO's loss around another policy than the one that acted.

        -mean_t w min(ρ adv, clip(ρ, 1 - ε, 1 + ε_high) adv)

    with ρ = π / π_prox and w = π_prox / μ. With π_prox = μ it is
    `clipped_surrogate_pg_loss`.

    Args:
      log_pi_t: Log probability of the action under the policy, `[T, ...]`; further
        axes are batch.
      log_prox_t: The same under the policy to stay close to, `[T, ...]`.
      log_mu_t: The same under the policy that acted, `[T, ...]`.
      adv_t: Advantage of the action, `[T, ...]`.
      epsilon: As in `clipped_surrogate_pg_loss`.
      use_stop_gradient: Whether to stop the gradient through adv_t.
      mask_t: As in `policy_gradient_loss`.
      epsilon_high: As in `clipped_surrogate_pg_loss`.
      max_weight: Upper limit of w, not negative. Default: none.

    Returns:
      The loss, `[...]`.

    Gradient:
      Reaches log_pi_t where the clipped term isn't the smaller one; adv_t too unless
      stopped.

    Raises:
      ContractError: If epsilon, epsilon_high or max_weight is negative, or T is 0.

    Source: Hilton et al. 2021, Batch size-invariance for policy optimization, arXiv
    2110.00641; the limit: Fu et al. 2025, AReaL, arXiv 2505.24298.

    Example:
      >>> old = jnp.array([0.0, 0.0])
      >>> print(rlax.decoupled_surrogate_pg_loss(old, old, old - 1, old + 1, 0.2))
      -2.7182817
    """
    op = "decoupled_surrogate_pg_loss"
    check_clip(op, epsilon, epsilon_high)
    check_range(op, "max_weight", max_weight, 0, jnp.inf)
    log_prox_t, log_mu_t = jax.lax.stop_gradient((log_prox_t, log_mu_t))
    adv_t = stop_gradient_if(use_stop_gradient, zero_masked(adv_t, mask_t))
    ratio = ratios.ratio(log_pi_t, log_prox_t, mask_t)
    weight = ratios.ratio(log_prox_t, log_mu_t, mask_t)
    if max_weight is not None:
        weight = jnp.minimum(weight, max_weight)
    loss = weight * clipped_surrogate(ratio, adv_t, epsilon, epsilon_high)
    return masked_mean(loss, mask_t, axis=0)


_COMBINE = {
    "max": jnp.maximum,
    "min": jnp.minimum,
    "clipped": lambda _, clipped: clipped,
}


@shapes(
    "v_tm1[T ...], v_old_tm1[T ...], target_tm1[T ...]" + _MASK,
    empty=False,
)
def clipped_value_loss(
    v_tm1: ArrayLike,
    v_old_tm1: ArrayLike,
    target_tm1: ArrayLike,
    epsilon: float,
    *,
    combine: str = "max",
    mask_t: ArrayLike | None = None,
) -> Array:
    """Computes a value loss that limits how far values move from their old ones.

        mean_t max(½ (v - target)², ½ (v_clip - target)²)

    with v_clip = v_old + clip(v - v_old, -ε, ε).

    Args:
      v_tm1: Value under the parameters that learn, `[T, ...]`; further axes are batch.
      v_old_tm1: Value when the data was collected, `[T, ...]`.
      target_tm1: The return to predict, `[T, ...]`.
      epsilon: ε, not negative.
      combine: "max" takes the larger square; "min" the smaller one; "clipped" always
        that of v_clip, whose gradient is 0 beyond ε.
      mask_t: As in `policy_gradient_loss`.

    Returns:
      The loss, `[...]`.

    Gradient:
      Reaches v_tm1.

    Raises:
      ContractError: If epsilon is negative, combine has another name, or T is 0.

    Source: Engstrom et al. 2020, Implementation Matters in Deep Policy Gradients, arXiv
    2005.12729, section 3. Others leave the ½ out.

    Example:
      >>> print(rlax.clipped_value_loss([1.0], [0.0], [1.0], epsilon=0.5))
      0.125
    """
    check_range("clipped_value_loss", "epsilon", epsilon, 0, jnp.inf)
    check_choice("clipped_value_loss", "combine", combine, _COMBINE)
    v, v_old, target = (zero_masked(x, mask_t) for x in (v_tm1, v_old_tm1, target_tm1))
    v_old, target = jax.lax.stop_gradient((v_old, target))
    v_clip = v_old + jnp.clip(v - v_old, -epsilon, epsilon)
    error, clipped = (0.5 * jnp.square(x - target) for x in (v, v_clip))
    return masked_mean(_COMBINE[combine](error, clipped), mask_t, axis=0)


@shapes("adv_t[T ...]" + _MASK, empty=False)
def normalize_advantages(
    adv_t: ArrayLike,
    *,
    mask_t: ArrayLike | None = None,
    center: bool = True,
    epsilon: float = 1e-8,
    ddof: int = 0,
    axis_name: str | Sequence[str] | None = None,
) -> Array:
    """Scales advantages to mean 0 and standard deviation 1.

        (adv - mean) / (std + ε)

    Args:
      adv_t: Advantages, `[T, ...]`; mean and deviation are over all axes.
      mask_t: True where an element counts, `[T, ...]` or `[T]`. NaN at others reaches
        neither result nor gradient. Default: everywhere.
      center: Whether to subtract the mean.
      epsilon: ε, not negative; added to the deviation, not to the variance.
      ddof: The variance divides by the number of elements minus ddof, at least 1: 0, or
        1 as PyTorch's.
      axis_name: Mapped axis, or several, over which to pool the elements too. Default:
        none.

    Returns:
      `[T, ...]`; 0 where mask_t is false, and where all elements are equal.

    Gradient:
      Reaches adv_t, through the mean and the deviation too.

    Raises:
      ContractError: If epsilon or ddof is negative, or T is 0.

    Source: Andrychowicz et al. 2021, What Matters for On-Policy Deep Actor-Critic
    Methods, arXiv 2006.05990.

    Example:
      >>> print(rlax.normalize_advantages([1.0, 2.0, 3.0, 9.0], mask_t=[1, 1, 1, 0]))
      [-1.2247448  0.         1.2247448  0.       ]
    """
    check_range("normalize_advantages", "epsilon", epsilon, 0, jnp.inf)
    check_range("normalize_advantages", "ddof", ddof, 0, jnp.inf)
    adv = zero_masked(adv_t, mask_t)
    # In at least single precision: half has no 1e-8.
    centered, deviation = masked_differences(
        adv, mask_t, ddof=ddof, axis_name=axis_name
    )
    numerator = centered if center else adv.astype(centered.dtype)
    return over_deviation(numerator, deviation, epsilon).astype(adv.dtype)


@shapes("coefficient[], kl[]")
def adaptive_kl_coefficient(
    coefficient: ArrayLike,
    kl: ArrayLike,
    target_kl: float,
    *,
    rule: str = "ppo",
    tolerance: float = 1.5,
    factor: float = 2.0,
    gain: float = 0.1,
    error_clip: float = 0.2,
) -> Array:
    """Adapts the coefficient of a KL penalty to the divergence that was measured.

    "ppo" divides it by a factor where kl < target / tolerance, and multiplies it where
    kl > target tolerance. "proportional" takes

        coefficient (1 + gain clip(kl / target - 1, -c, c))

    Args:
      coefficient: The coefficient so far, `[]`.
      kl: Mean KL divergence of the last update, `[]`.
      target_kl: The divergence wanted, above 0.
      rule: "ppo" or "proportional".
      tolerance: For "ppo": how far kl may be from its target, as a factor above 0.
      factor: For "ppo": the step, above 0.
      gain: For "proportional": the step per relative error.
      error_clip: For "proportional": c, the limit of the relative error, not negative.

    Returns:
      The next coefficient, `[]`.

    Gradient:
      None.

    Raises:
      ContractError: If target_kl, tolerance or factor isn't above 0, error_clip is
        negative, or the rule has another name.

    Source: Schulman et al. 2017, Proximal Policy Optimization Algorithms, arXiv
    1707.06347, section 4; "proportional": Ziegler et al. 2019, Fine-Tuning Language
    Models from Human Preferences, arXiv 1909.08593, section 2.2.

    Example:
      >>> print(rlax.adaptive_kl_coefficient(1.0, kl=0.05, target_kl=0.01))
      2.0
    """
    op = "adaptive_kl_coefficient"
    check_choice(op, "rule", rule, ("ppo", "proportional"))
    for name, value in {
        "target_kl": target_kl,
        "tolerance": tolerance,
        "factor": factor,
    }.items():
        check_above(op, name, value)
    check_range(op, "error_clip", error_clip, 0, jnp.inf)
    coefficient, kl = known_arrays(*jax.lax.stop_gradient((coefficient, kl)))
    if rule == "proportional":
        error = jnp.clip(kl / target_kl - 1, -error_clip, error_clip)
        return coefficient * (1 + gain * error)
    raised = jnp.where(kl > target_kl * tolerance, coefficient * factor, coefficient)
    return jnp.where(kl < target_kl / tolerance, coefficient / factor, raised)
