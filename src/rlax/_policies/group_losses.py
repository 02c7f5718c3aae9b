"""Losses of a group: G answers to one prompt, or a batch of them.

One loss, whose parts `grpo_loss` chooses; the others are known by name.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from rlax._core import ratios
from rlax._core.contracts import shapes
from rlax._core.errors import check_above, check_range
from rlax._core.types import known_arrays
from rlax._policies import packing
from rlax._policies.divergences import sampled_kl
from rlax._policies.groups import aggregate, check_known
from rlax._policies.tokens import check_token_options, token_losses

Array = jax.Array

_GROUP = "log_pi_t[G T], log_mu_t[G T], adv[G]|[G T], mask_t?:mask[G T], weight_t?[G T]"
_SEGMENTS = ", segments_t?:int[G T]"


def _group_loss(
    op: str,
    log_pi: ArrayLike,
    log_mu: ArrayLike,
    adv: ArrayLike,
    log_ref: ArrayLike | None = None,
    *,
    mask: ArrayLike | None,
    epsilon: float,
    epsilon_high: float | None,
    beta: float = 0.0,
    ratio_level: str = "token",
    clipping: str = "surrogate",
    aggregation: str,
    constant: float | None = None,
    weight: ArrayLike | None,
    segments: ArrayLike | None = None,
) -> Array:
    """The general loss: `aggregate_token_losses(token_policy_losses + β k3)`."""
    check_token_options(op, epsilon, epsilon_high, None, ratio_level, clipping)
    check_range(op, "beta", beta, 0, jnp.inf)
    answers = packing.answers_of(segments)
    (adv,) = known_arrays(adv)
    adv = adv[:, None] if adv.ndim == 1 else adv
    loss = token_losses(
        *(log_pi, log_mu, adv, mask, epsilon, epsilon_high),
        *(None, ratio_level, clipping, weight, answers),
    )
    if log_ref is not None:
        log_ratio = ratios.log_ratio(log_pi, jax.lax.stop_gradient(log_ref), mask)
        loss = loss + beta * sampled_kl(op, log_ratio, "k3")
    return aggregate(op, loss, mask, aggregation, constant, answers)


@shapes(_GROUP + ", log_ref_t?[G T]" + _SEGMENTS, empty=False)
def grpo_loss(
    log_pi_t: ArrayLike,
    log_mu_t: ArrayLike,
    adv: ArrayLike,
    log_ref_t: ArrayLike | None = None,
    *,
    mask_t: ArrayLike | None = None,
    epsilon: float = 0.2,
    epsilon_high: float | None = None,
    beta: float = 0.04,
    aggregation: str = "sequence_mean",
    constant: float | None = None,
    weight_t: ArrayLike | None = None,
    segments_t: ArrayLike | None = None,
) -> Array:
    """Computes the loss of group relative policy optimisation.

        mean_i mean_t (-w min(ρ adv, clip(ρ, 1 - ε, 1 + ε_high) adv) + β k3(π, π_ref))

    over answers i and their tokens t.

    Args:
      log_pi_t: Log probability of each token under the policy that learns, `[G, T]`.
      log_mu_t: The same under the policy that acted, `[G, T]`.
      adv: Advantage of each answer, `[G]`, or token, `[G, T]`; see `group_advantages`.
      log_ref_t: Log probability under the reference policy, `[G, T]`. Default: no KL
        term.
      mask_t: True at the tokens that the policy chose, `[G, T]`. NaN at others reaches
        neither loss nor gradient. Default: all.
      epsilon: ε, not negative.
      epsilon_high: ε_high, not negative. Default: epsilon.
      beta: β, not negative.
      aggregation: As in `aggregate_token_losses`.
      constant: As in `aggregate_token_losses`.
      weight_t: w, such as `truncated_importance_weights`, `[G, T]`. Default: 1.
      segments_t: As in `aggregate_token_losses`.

    Returns:
      The loss, `[]`; 0 where no token is kept.

    Gradient:
      Reaches log_pi_t.

    Raises:
      ContractError: If a number is negative, aggregation has another name, or G or T is
        0.

    Source: Shao et al. 2024, DeepSeekMath, arXiv 2402.03300, equations 3 and 4.

    Example:
      >>> new, old = jnp.log(jnp.array([[0.9, 0.5]])), jnp.log(jnp.array([[0.5, 0.5]]))
      >>> print(rlax.grpo_loss(new, old, jnp.array([1.0]), log_ref_t=new).round(2))
      -1.1
    """
    if aggregation == "constant":
        check_known("grpo_loss", "constant", constant, segments_t)
    return _group_loss(
        *("grpo_loss", log_pi_t, log_mu_t, adv, log_ref_t),
        mask=mask_t,
        epsilon=epsilon,
        epsilon_high=epsilon_high,
        beta=beta,
        aggregation=aggregation,
        constant=constant,
        weight=weight_t,
        segments=segments_t,
    )


@shapes(_GROUP, empty=False)
def dapo_loss(
    log_pi_t: ArrayLike,
    log_mu_t: ArrayLike,
    adv: ArrayLike,
    *,
    mask_t: ArrayLike | None = None,
    epsilon: float = 0.2,
    epsilon_high: float | None = 0.28,
    weight_t: ArrayLike | None = None,
) -> Array:
    """Computes DAPO's loss: `grpo_loss` with "clip higher", averaged over tokens.

    Rows with several answers need no segments here.

    Args:
      log_pi_t: As in `grpo_loss`.
      log_mu_t: As in `grpo_loss`.
      adv: As in `grpo_loss`.
      mask_t: As in `grpo_loss`.
      epsilon: As in `grpo_loss`.
      epsilon_high: As in `grpo_loss`.
      weight_t: As in `grpo_loss`.

    Returns:
      The loss, `[]`; 0 where no token is kept.

    Gradient:
      Reaches log_pi_t.

    Raises:
      ContractError: If an epsilon is negative, or G or T is 0.

    Source: Yu et al. 2025, DAPO: An Open-Source LLM Reinforcement Learning System at
    Scale, arXiv 2503.14476.

    Example:
      >>> new, old = jnp.log(jnp.array([[0.9, 0.5]])), jnp.log(jnp.array([[0.5, 0.5]]))
      >>> print(rlax.dapo_loss(new, old, jnp.array([1.0])).round(2))
      -1.14
    """
    return _group_loss(
        *("dapo_loss", log_pi_t, log_mu_t, adv),
        mask=mask_t,
        epsilon=epsilon,
        epsilon_high=epsilon_high,
        aggregation="token_mean",
        weight=weight_t,
    )


@shapes(_GROUP + _SEGMENTS, empty=False)
def dr_grpo_loss(
    log_pi_t: ArrayLike,
    log_mu_t: ArrayLike,
    adv: ArrayLike,
    *,
    mask_t: ArrayLike | None = None,
    epsilon: float = 0.2,
    epsilon_high: float | None = None,
    max_length: float | None = None,
    weight_t: ArrayLike | None = None,
    segments_t: ArrayLike | None = None,
) -> Array:
    """Computes Dr. GRPO's loss: `grpo_loss` without a bias to long answers.

    Every token has weight 1 / (G max_length). Advantages: `group_advantages` with scale
    "none".

    Args:
      log_pi_t: As in `grpo_loss`.
      log_mu_t: As in `grpo_loss`.
      adv: As in `grpo_loss`.
      mask_t: As in `grpo_loss`.
      epsilon: As in `grpo_loss`.
      epsilon_high: As in `grpo_loss`.
      max_length: Above 0; 1 gives the paper's bare sum over tokens. Default: T.
      weight_t: As in `grpo_loss`.
      segments_t: As in `aggregate_token_losses`.

    Returns:
      The loss, `[]`; 0 where no token is kept.

    Gradient:
      Reaches log_pi_t.

    Raises:
      ContractError: If an epsilon is negative, max_length isn't above 0 or is missing
        beside segments_t, or G or T is 0.

    Source: Liu et al. 2025, Understanding R1-Zero-Like Training: A Critical
    Perspective, arXiv 2503.20783, section 3.2.

    Example:
      >>> old, mask = jnp.log(jnp.array([[0.5, 0.5]])), jnp.array([[True, False]])
      >>> print(rlax.dr_grpo_loss(old, old, jnp.array([1.0]), mask_t=mask))
      -0.5
    """
    check_above("dr_grpo_loss", "max_length", max_length)
    check_known("dr_grpo_loss", "max_length", max_length, segments_t)
    return _group_loss(
        *("dr_grpo_loss", log_pi_t, log_mu_t, adv),
        mask=mask_t,
        epsilon=epsilon,
        epsilon_high=epsilon_high,
        aggregation="constant",
        constant=max_length,
        weight=weight_t,
        segments=segments_t,
    )


@shapes(_GROUP + _SEGMENTS, empty=False)
def gspo_loss(
    log_pi_t: ArrayLike,
    log_mu_t: ArrayLike,
    adv: ArrayLike,
    *,
    mask_t: ArrayLike | None = None,
    epsilon: float = 3e-4,
    epsilon_high: float | None = 4e-4,
    token_level: bool = False,
    weight_t: ArrayLike | None = None,
    segments_t: ArrayLike | None = None,
) -> Array:
    """Computes GSPO's loss: `grpo_loss` with one ratio for each answer.

        ρ = exp(mean_t (log π[t] - log μ[t]))

    Args:
      log_pi_t: As in `grpo_loss`.
      log_mu_t: As in `grpo_loss`.
      adv: As in `grpo_loss`.
      mask_t: As in `grpo_loss`.
      epsilon: As in `grpo_loss`.
      epsilon_high: As in `grpo_loss`.
      token_level: Whether each token's gradient is of its own log probability alone,
        for advantages of tokens (GSPO-token).
      weight_t: As in `grpo_loss`.
      segments_t: As in `aggregate_token_losses`.

    Returns:
      The loss, `[]`; 0 where no token is kept.

    Gradient:
      Reaches log_pi_t.

    Raises:
      ContractError: If an epsilon is negative, or G or T is 0.

    Source: Zheng et al. 2025, Group Sequence Policy Optimization, arXiv 2507.18071.

    Example:
      >>> new, old = jnp.log(jnp.array([[0.4, 0.5]])), jnp.log(jnp.array([[0.5, 0.5]]))
      >>> print(rlax.gspo_loss(new, old, jnp.array([1.0])).round(2))
      -0.89
    """
    return _group_loss(
        *("gspo_loss", log_pi_t, log_mu_t, adv),
        mask=mask_t,
        epsilon=epsilon,
        epsilon_high=epsilon_high,
        ratio_level="sequence_token" if token_level else "sequence",
        aggregation="sequence_mean",
        weight=weight_t,
        segments=segments_t,
    )


@shapes(_GROUP, empty=False)
def cispo_loss(
    log_pi_t: ArrayLike,
    log_mu_t: ArrayLike,
    adv: ArrayLike,
    *,
    mask_t: ArrayLike | None = None,
    epsilon: float = 1.0,
    epsilon_high: float | None = 4.0,
    weight_t: ArrayLike | None = None,
) -> Array:
    """Computes CISPO's loss: a policy gradient weighted by clipped, stopped ratios.

        -mean_t clip(ρ, 1 - ε, 1 + ε_high) adv log π

    Rows with several answers need no segments here.

    Args:
      log_pi_t: As in `grpo_loss`.
      log_mu_t: As in `grpo_loss`.
      adv: As in `grpo_loss`.
      mask_t: As in `grpo_loss`.
      epsilon: As in `grpo_loss`; 1 is no lower limit.
      epsilon_high: The upper limit is 1 + this.
      weight_t: As in `grpo_loss`.

    Returns:
      The loss, `[]`; 0 where no token is kept.

    Gradient:
      Reaches log_pi_t.

    Raises:
      ContractError: If an epsilon is negative, or G or T is 0.

    Source: MiniMax 2025, MiniMax-M1, arXiv 2506.13585.

    Example:
      >>> log_pi = jnp.log(jnp.array([[0.5, 0.5]]))
      >>> log_mu = jnp.log(jnp.array([[0.5, 0.25]]))
      >>> print(jax.grad(rlax.cispo_loss)(log_pi, log_mu, jnp.array([1.0])))
      [[-0.5 -1. ]]
    """
    return _group_loss(
        *("cispo_loss", log_pi_t, log_mu_t, adv),
        mask=mask_t,
        epsilon=epsilon,
        epsilon_high=epsilon_high,
        clipping="cispo",
        aggregation="token_mean",
        weight=weight_t,
    )
