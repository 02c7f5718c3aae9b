"""Losses, weights, rewards and advantages of the tokens of a language model.

Each op takes one sequence; prompts, tool output and padding are masked. `segments_t`
lets a row hold several answers (`packing.py`), with the same result as for each alone.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from rlax._core import ratios
from rlax._core.contracts import shapes
from rlax._core.errors import check_choice, check_range
from rlax._core.gradients import stop_gradient_if
from rlax._core.masks import kept_of, zero_masked
from rlax._core.recurrence import linear_recurrence, zeros_after
from rlax._core.types import known_arrays
from rlax._policies import packing
from rlax._policies.divergences import sampled_kl
from rlax._policies.surrogate import check_clip, clip_ratio, clipped_surrogate

Array = jax.Array

_TOKENS = "log_pi_t[T], log_mu_t[T], mask_t?:mask[T], segments_t?:int[T]"
_RATIO_LEVELS = ("token", "sequence", "sequence_token")
_CLIPPINGS = ("surrogate", "cispo", "none")


@shapes(_TOKENS + ", adv_t[T]|[], weight_t?[T]|[]", empty=False)
def token_policy_losses(
    log_pi_t: ArrayLike,
    log_mu_t: ArrayLike,
    adv_t: ArrayLike,
    *,
    mask_t: ArrayLike | None = None,
    epsilon: float = 0.2,
    epsilon_high: float | None = None,
    dual_clip: float | None = None,
    ratio_level: str = "token",
    clipping: str = "surrogate",
    weight_t: ArrayLike | None = None,
    segments_t: ArrayLike | None = None,
) -> Array:
    """Computes the policy loss of every token of a sequence.

        -w min(ρ adv, clip(ρ, 1 - ε, 1 + ε_high) adv)

    with ρ = π / μ of the token, or e to the mean of log π - log μ over the sequence.

    Args:
      log_pi_t: Log probability of each token under the policy that learns, `[T]`.
      log_mu_t: The same under the policy that acted, `[T]`.
      adv_t: Advantage of each token, `[T]`, or one of the sequence, `[]`.
      mask_t: True at the tokens that the policy chose, `[T]`. Others have loss 0, and
        NaN there reaches no gradient. Default: all.
      epsilon: ε, not negative.
      epsilon_high: ε_high, not negative. Default: epsilon.
      dual_clip: c above 1: where adv < 0, the minimum is at least c adv. Default: no
        such bound.
      ratio_level: "token": a ratio for each token. "sequence": one for all, whose
        gradient reaches all tokens. "sequence_token": its value, with the gradient of
        the token's own log probability.
      clipping: "surrogate", as above. "cispo": -clip(ρ) adv log π, with the ratio
        stopped. "none": -ρ adv.
      weight_t: w, such as `truncated_importance_weights`, `[T]` or `[]`. Default: 1.
      segments_t: Number of the answer that each token belongs to, `[T]`; a sequence is
        then a run of equal numbers. Default: all tokens are one sequence.

    Returns:
      The losses, `[T]`.

    Gradient:
      Reaches log_pi_t.

    Raises:
      ContractError: If an epsilon is negative, dual_clip isn't above 1, an option has
        another name, or T is 0.

    Source: Shao et al. 2024, DeepSeekMath, arXiv 2402.03300; sequence ratios: Zheng et
    al. 2025, Group Sequence Policy Optimization, arXiv 2507.18071; "cispo": MiniMax
    2025, MiniMax-M1, arXiv 2506.13585.

    Example:
      >>> losses = rlax.token_policy_losses
      >>> print(losses([-1.0, -1.0], [-1.0, -2.0], 1.0, mask_t=[True, True]))
      [-1.  -1.2]
    """
    check_token_options(
        "token_policy_losses", epsilon, epsilon_high, dual_clip, ratio_level, clipping
    )
    return token_losses(
        *(log_pi_t, log_mu_t, adv_t, mask_t, epsilon, epsilon_high),
        *(dual_clip, ratio_level, clipping, weight_t),
        packing.answers_of(segments_t),
    )


def check_token_options(
    op: str,
    epsilon: float,
    epsilon_high: float | None,
    dual_clip: float | None,
    ratio_level: str,
    clipping: str,
) -> None:
    """Raises where an option of `token_losses` is out of range or unknown."""
    check_clip(op, epsilon, epsilon_high, dual_clip)
    check_choice(op, "ratio_level", ratio_level, _RATIO_LEVELS)
    check_choice(op, "clipping", clipping, _CLIPPINGS)


def token_losses(
    log_pi: ArrayLike,
    log_mu: ArrayLike,
    adv: ArrayLike,
    mask: ArrayLike | None,
    epsilon: float,
    epsilon_high: float | None,
    dual_clip: float | None,
    ratio_level: str,
    clipping: str,
    weight: ArrayLike | None,
    answers: Array | None,
) -> Array:
    """`token_policy_losses`, unchecked, of any number of rows, `[..., T]`."""
    log_mu, adv, weight = jax.lax.stop_gradient((log_mu, adv, weight))
    (log_pi,) = known_arrays(log_pi)
    adv = zero_masked(jnp.broadcast_to(adv, log_pi.shape), mask)
    ratio = _ratio(ratio_level, log_pi, log_mu, mask, answers)
    if clipping == "surrogate":
        loss = clipped_surrogate(ratio, adv, epsilon, epsilon_high, dual_clip)
    elif clipping == "cispo":
        clipped = jax.lax.stop_gradient(clip_ratio(ratio, epsilon, epsilon_high))
        loss = -clipped * adv * zero_masked(log_pi, mask)
    else:
        loss = -ratio * adv
    return loss if weight is None else zero_masked(weight, mask) * loss


def _ratio(level, log_pi, log_mu, mask, answers):
    """ρ at each token `[..., T]`, or one of each row, `[..., 1]`."""
    log_ratio = ratios.log_ratio(log_pi, log_mu, mask)
    if level == "token":
        return ratios.finite_exp(log_ratio)
    ratio = ratios.finite_exp(packing.answer_mean(log_ratio, mask, answers))
    if level == "sequence":
        return ratio
    log_pi = zero_masked(log_pi, mask)
    one = jnp.exp(log_pi - jax.lax.stop_gradient(log_pi))
    return jax.lax.stop_gradient(ratio) * one


@shapes(_TOKENS, empty=False)
def truncated_importance_weights(
    log_pi_t: ArrayLike,
    log_mu_t: ArrayLike,
    *,
    mask_t: ArrayLike | None = None,
    level: str = "token",
    max_weight: float = 2.0,
    min_weight: float = 0.0,
    outside: str = "clip",
    segments_t: ArrayLike | None = None,
) -> Array:
    """Computes weights that correct for a rollout engine with other probabilities.

        clip(π / μ, low, high)

    Args:
      log_pi_t: Log probability of each token under the policy that acted, as the
        trainer computes it, `[T]`.
      log_mu_t: The same as the rollout engine computed it, `[T]`.
      mask_t: As in `token_policy_losses`; the weight of others is 0.
      level: "token": of each token. "sequence": the product over the sequence, at each
        of its tokens. "geometric": the geometric mean over the sequence.
      max_weight: The limit high, not below min_weight.
      min_weight: The limit low, not negative.
      outside: "clip": to the limits. "zero": weights outside of them become 0.
      segments_t: As in `token_policy_losses`.

    Returns:
      The weights, `[T]`.

    Gradient:
      None.

    Raises:
      ContractError: If a limit is out of range, an option has another name, or T is 0.

    Source: Yao et al. 2025, Your Efficient RL Framework Secretly Brings You Off-Policy
    RL Training; Liu and Li 2025, When Speed Kills Stability; "zero" of tokens
    (IcePop): Ling Team 2025, arXiv 2510.18855.

    Example:
      >>> weights = rlax.truncated_importance_weights
      >>> print(weights([-1.0, -1.0, -1.0], [-1.0, -3.0, -1.5]).round(2))
      [1.   2.   1.65]
    """
    op = "truncated_importance_weights"
    check_choice(op, "level", level, ("token", "sequence", "geometric"))
    check_choice(op, "outside", outside, ("clip", "zero"))
    check_range(op, "min_weight", min_weight, 0, jnp.inf)
    lowest = 0 if isinstance(min_weight, jax.Array) else min_weight
    check_range(op, "max_weight", max_weight, lowest, jnp.inf)
    log_ratio = jax.lax.stop_gradient(ratios.log_ratio(log_pi_t, log_mu_t, mask_t))
    answers = packing.answers_of(segments_t)
    exponent = {
        "token": lambda: log_ratio,
        "sequence": lambda: packing.answer_sum(log_ratio, answers),
        "geometric": lambda: packing.answer_mean(log_ratio, mask_t, answers),
    }[level]()
    weight = ratios.finite_exp(exponent)
    if outside == "clip":
        weight = jnp.clip(weight, min_weight, max_weight)
    else:
        inside = (weight >= min_weight) & (weight <= max_weight)
        weight = jnp.where(inside, weight, 0)
    return zero_masked(jnp.broadcast_to(weight, log_ratio.shape), mask_t)


@shapes(
    "log_pi_t[T], log_ref_t[T], reward:real[]|[T], mask_t?:mask[T], segments_t?:int[T]",
    empty=False,
)
def rlhf_rewards(
    reward: ArrayLike,
    log_pi_t: ArrayLike,
    log_ref_t: ArrayLike,
    beta: float,
    *,
    mask_t: ArrayLike | None = None,
    estimator: str = "k1",
    reward_clip: float | None = None,
    segments_t: ArrayLike | None = None,
) -> Array:
    """Computes rewards per token: a KL penalty, and at the end the answer's reward.

        r[t] = -β k(log π[t], log π_ref[t]) + [t is the last kept token] reward

    Args:
      reward: Of the whole answer, `[]`; with segments_t also `[T]`, read at the last
        kept token of each answer.
      log_pi_t: Log probability of each token under the policy that acted, `[T]`.
      log_ref_t: The same under the reference policy, `[T]`.
      beta: β, not negative.
      mask_t: As in `token_policy_losses`; others have reward 0.
      estimator: k, as in `sampled_kl_divergence`.
      reward_clip: The reward is clipped to ± this, not negative. Default: not at all.
      segments_t: As in `token_policy_losses`; each answer gets its reward.

    Returns:
      The rewards, `[T]`; all 0 where no token is kept.

    Gradient:
      None.

    Raises:
      ContractError: If beta or reward_clip is negative, the estimator has another name,
        or T is 0.

    Source: Ziegler et al. 2019, Fine-Tuning Language Models from Human Preferences,
    arXiv 1909.08593; Ouyang et al. 2022, Training language models to follow
    instructions with human feedback, arXiv 2203.02155.

    Example:
      >>> print(rlax.rlhf_rewards(1.0, [-1.0, -1.0], [-2.0, -1.0], beta=0.5))
      [-0.5  1. ]
    """
    check_range("rlhf_rewards", "beta", beta, 0, jnp.inf)
    check_range("rlhf_rewards", "reward_clip", reward_clip, 0, jnp.inf)
    log_ratio = ratios.log_ratio(log_pi_t, log_ref_t, mask_t)
    penalty = beta * sampled_kl("rlhf_rewards", log_ratio, estimator)
    if reward_clip is not None:
        reward = jnp.clip(reward, -reward_clip, reward_clip)
    keep = kept_of(log_ratio, mask_t)
    following = packing.next_kept(keep, packing.answers_of(segments_t))
    ends = keep & (following == keep.shape[0])
    return jax.lax.stop_gradient(jnp.where(ends, reward, 0) - penalty)


@shapes(
    "r_t[T], v_tm1[T], lambda_:share[]|[T], discount_t:unit[]|[T], mask_t?:mask[T],"
    "bootstrap[]|[T], segments_t?:int[T]",
    empty=False,
)
def token_advantages(
    r_t: ArrayLike,
    v_tm1: ArrayLike,
    lambda_: ArrayLike = 1.0,
    *,
    discount_t: ArrayLike = 1.0,
    mask_t: ArrayLike | None = None,
    bootstrap: ArrayLike = 0.0,
    stop_target_gradients: bool = False,
    segments_t: ArrayLike | None = None,
) -> Array:
    """Estimates advantages of the kept tokens, as if the others were not there.

        A[j] = δ[j] + γ λ A[j+1],    δ[j] = R[j] + γ v[j+1] - v[j]

    over the kept tokens j. R[j] is the sum of the rewards from a kept token up to the
    next, so that a reward on a tool's or an end token is not lost. Rewards before the
    first kept token are dropped. (`truncated_generalized_advantage_estimation` ends the
    stream at a masked step instead.)

    Args:
      r_t: Reward of each token, `[T]`; read at masked tokens too.
      v_tm1: Value before each token is chosen, `[T]`.
      lambda_: λ in [0, 1], `[]` or `[T]`.
      discount_t: γ in [0, 1], `[]` or `[T]`.
      mask_t: As in `token_policy_losses`; others have advantage 0.
      bootstrap: Value after the last kept token, `[]`: 0 of a finished answer, or the
        value where the answer was cut off. With segments_t also `[T]`, read at the last
        kept token of each answer.
      stop_target_gradients: Whether to stop the gradient.
      segments_t: As in `token_policy_losses`; no answer sees the one behind it.

    Returns:
      The advantages, `[T]`.

    Gradient:
      Reaches r_t, v_tm1, lambda_, discount_t and bootstrap, unless stopped.

    Raises:
      ContractError: If lambda_ or discount_t is out of [0, 1], or T is 0.

    Source: Schulman et al. 2016, High-Dimensional Continuous Control Using Generalized
    Advantage Estimation, arXiv 1506.02438.

    Example:
      >>> rewards, values = [0.0, 0.0, 1.0], [0.5, 9.0, 0.25]
      >>> print(rlax.token_advantages(rewards, values, mask_t=[True, False, True]))
      [0.5  0.   0.75]
    """
    r_t, v_tm1, lambda_, discount_t, bootstrap = stop_gradient_if(
        stop_target_gradients,
        known_arrays(r_t, v_tm1, lambda_, discount_t, bootstrap),
    )
    (r_t,) = known_arrays(r_t)
    keep = kept_of(r_t, mask_t)
    v_tm1, lambda_, discount_t, bootstrap = (
        zero_masked(x, keep) for x in (v_tm1, lambda_, discount_t, bootstrap)
    )
    answers = packing.answers_of(segments_t)
    last = None if answers is None else _last_of_answer(answers)
    next_is_kept = jnp.concatenate([keep[1:], jnp.zeros_like(keep[:1])])
    following = packing.next_kept(keep, answers)
    v_t = v_tm1.at[following].get(mode="fill", fill_value=0)
    v_t = jnp.where(following == keep.shape[0], bootstrap, v_t)
    zero = zeros_after(r_t)
    reward = linear_recurrence(
        lambda later, r: r + later,
        *((r_t,), zero),
        cut=next_is_kept if last is None else next_is_kept | last,
    )
    delta = jnp.where(keep, reward + discount_t * v_t - v_tm1, 0)
    decay = jnp.where(keep, discount_t * lambda_, 1)
    advantages = linear_recurrence(
        lambda later, delta, decay: delta + decay * later,
        *((delta, decay), zero),
        cut=last,
    )
    return zero_masked(advantages, keep)


def _last_of_answer(answers: Array) -> Array:
    """Whether a token is the last of its answer, `[T]`."""
    return jnp.concatenate([answers[1:] != answers[:-1], jnp.ones((1,), bool)])
