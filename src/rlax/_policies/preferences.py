"""Losses of pairs of answers, one preferred; elementwise, averages are the caller's.

Log probabilities are sums over the tokens of an answer, unless an op says otherwise.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from rlax._core.contracts import shapes
from rlax._core.errors import check, check_above, check_choice, check_range, is_host
from rlax._core.types import known_arrays

Array = jax.Array

_PAIR = "log_pi_chosen[...], log_pi_rejected[...]"
_REFERENCES = ", log_ref_chosen[...], log_ref_rejected[...]"

# Of the margin h, and the probability ε that the labels are swapped.
_DPO = {
    "sigmoid": lambda h, e: (
        -((1 - e) * jax.nn.log_sigmoid(h) + e * jax.nn.log_sigmoid(-h))
    ),
    "robust": lambda h, e: (
        -((1 - e) * jax.nn.log_sigmoid(h) - e * jax.nn.log_sigmoid(-h)) / (1 - 2 * e)
    ),
    "hinge": lambda h, e: jax.nn.relu(1 - h),
}


def _margin(
    log_pi_chosen: ArrayLike,
    log_pi_rejected: ArrayLike,
    log_ref_chosen: ArrayLike,
    log_ref_rejected: ArrayLike,
) -> Array:
    """How much more the policy prefers the chosen answer than the reference does."""
    chosen, rejected = known_arrays(log_pi_chosen, log_pi_rejected)
    references = jax.lax.stop_gradient((log_ref_chosen, log_ref_rejected))
    return (chosen - references[0]) - (rejected - references[1])


@shapes(_PAIR + _REFERENCES)
def dpo_loss(
    log_pi_chosen: ArrayLike,
    log_pi_rejected: ArrayLike,
    log_ref_chosen: ArrayLike,
    log_ref_rejected: ArrayLike,
    beta: float = 0.1,
    *,
    label_smoothing: float = 0.0,
    variant: str = "sigmoid",
) -> Array:
    """Computes the loss of direct preference optimisation.

        -log σ(h),    h = β ((log π_c - log ref_c) - (log π_r - log ref_r))

    Args:
      log_pi_chosen: Log probability of the preferred answer under the policy, `[...]`.
      log_pi_rejected: That of the other answer, `[...]`.
      log_ref_chosen: Log probability of the preferred answer under the reference,
        `[...]`.
      log_ref_rejected: That of the other answer, `[...]`.
      beta: β, not negative.
      label_smoothing: ε in [0, 0.5): how often labels are thought to be swapped.
      variant: "sigmoid": -(1 - ε) log σ(h) - ε log σ(-h), conservative DPO where ε is
        above 0. "robust": (-(1 - ε) log σ(h) + ε log σ(-h)) / (1 - 2 ε), whose mean is
        the loss of the true labels. "hinge": max(0, 1 - h), which ignores ε.

    Returns:
      `[...]`.

    Gradient:
      Reaches log_pi_chosen and log_pi_rejected.

    Raises:
      ContractError: If beta is negative, label_smoothing is out of range, or the
        variant has another name.

    Source: Rafailov et al. 2023, Direct Preference Optimization, arXiv 2305.18290,
    equation 7; "robust": Chowdhury et al. 2024, Provably Robust DPO, arXiv 2403.00409;
    "hinge": Zhao et al. 2023, SLiC-HF, arXiv 2305.10425.

    Example:
      >>> print(rlax.dpo_loss(-10.0, -30.0, -20.0, -20.0, beta=0.1).round(2))
      0.13
    """
    check_range("dpo_loss", "beta", beta, 0, jnp.inf)
    check_choice("dpo_loss", "variant", variant, _DPO)
    check(
        not is_host(label_smoothing) or 0 <= label_smoothing < 0.5,
        f"dpo_loss: label_smoothing must be in [0, 0.5), got {label_smoothing}.",
    )
    h = beta * _margin(log_pi_chosen, log_pi_rejected, log_ref_chosen, log_ref_rejected)
    return _DPO[variant](h, label_smoothing)


@shapes(_PAIR + ", length_chosen:count[...], length_rejected:count[...]")
def simpo_loss(
    log_pi_chosen: ArrayLike,
    log_pi_rejected: ArrayLike,
    length_chosen: ArrayLike,
    length_rejected: ArrayLike,
    beta: float = 2.0,
    *,
    margin: float = 0.5,
) -> Array:
    """Computes SimPO's loss: mean log probabilities of tokens, without a reference.

        -log σ(β log π_c / length_c - β log π_r / length_r - margin)

    Args:
      log_pi_chosen: Log probability of the preferred answer, `[...]`.
      log_pi_rejected: That of the other answer, `[...]`.
      length_chosen: Number of tokens, at least 1, `[...]`.
      length_rejected: That of the other answer, `[...]`.
      beta: β, not negative.
      margin: The paper's γ, not its γ / β.

    Returns:
      `[...]`.

    Gradient:
      Reaches log_pi_chosen and log_pi_rejected.

    Raises:
      ContractError: If beta is negative, or a length is below 1.

    Source: Meng et al. 2024, SimPO, arXiv 2405.14734, equation 6.

    Example:
      >>> print(rlax.simpo_loss(-2.0, -6.0, 2, 3, margin=0.0).round(2))
      0.13
    """
    check_range("simpo_loss", "beta", beta, 0, jnp.inf)
    lengths = jax.lax.stop_gradient((length_chosen, length_rejected))
    chosen = known_arrays(log_pi_chosen)[0] / lengths[0]
    rejected = known_arrays(log_pi_rejected)[0] / lengths[1]
    return -jax.nn.log_sigmoid(beta * (chosen - rejected) - margin)


@shapes(_PAIR + _REFERENCES)
def ipo_loss(
    log_pi_chosen: ArrayLike,
    log_pi_rejected: ArrayLike,
    log_ref_chosen: ArrayLike,
    log_ref_rejected: ArrayLike,
    beta: float = 0.1,
) -> Array:
    """Computes the loss of identity preference optimisation.

        ((log π_c - log ref_c) - (log π_r - log ref_r) - 1 / (2 β))²

    Args:
      log_pi_chosen: As in `dpo_loss`; pass means over tokens for the variant that
        others compute.
      log_pi_rejected: As in `dpo_loss`.
      log_ref_chosen: As in `dpo_loss`.
      log_ref_rejected: As in `dpo_loss`.
      beta: The paper's τ, above 0.

    Returns:
      `[...]`.

    Gradient:
      Reaches log_pi_chosen and log_pi_rejected.

    Raises:
      ContractError: If beta isn't above 0.

    Source: Azar et al. 2023, A General Theoretical Paradigm to Understand Learning from
    Human Preferences, arXiv 2310.12036, equation 17.

    Example:
      >>> print(rlax.ipo_loss(-10.0, -12.0, -10.0, -10.0, beta=0.5))
      1.0
    """
    check_above("ipo_loss", "beta", beta)
    pair = log_pi_chosen, log_pi_rejected, log_ref_chosen, log_ref_rejected
    return jnp.square(_margin(*pair) - 1 / (2 * beta))


@shapes("log_pi[...], log_ref[...], desirable:bool[...], kl[...]")
def kto_loss(
    log_pi: ArrayLike,
    log_ref: ArrayLike,
    desirable: ArrayLike,
    beta: float = 0.1,
    *,
    kl: ArrayLike = 0.0,
    desirable_weight: float = 1.0,
    undesirable_weight: float = 1.0,
) -> Array:
    """Computes the Kahneman-Tversky loss of single answers, good or bad.

        w_D (1 - σ(β (ρ - z))),    ρ = log π - log ref,    z = max(kl, 0)

    of a good answer; of a bad one w_U (1 - σ(β (z - ρ))).

    Args:
      log_pi: Log probability of the answer under the policy, `[...]`.
      log_ref: The same under the reference, `[...]`.
      desirable: Whether the answer is good, booleans `[...]`.
      beta: β, not negative.
      kl: Estimate of KL(π || ref) over the batch, `[]` or `[...]`.
      desirable_weight: w_D, not negative.
      undesirable_weight: w_U, not negative.

    Returns:
      `[...]`.

    Gradient:
      Reaches log_pi.

    Raises:
      ContractError: If beta or a weight is negative.

    Source: Ethayarajh et al. 2024, KTO, arXiv 2402.01306.

    Example:
      >>> print(rlax.kto_loss([-1.0, -1.0], [-1.0, -21.0], [True, False]).round(2))
      [0.5  0.88]
    """
    for name, value in {
        "beta": beta,
        "desirable_weight": desirable_weight,
        "undesirable_weight": undesirable_weight,
    }.items():
        check_range("kto_loss", name, value, 0, jnp.inf)
    log_ref, kl = jax.lax.stop_gradient((log_ref, kl))
    gain = beta * (known_arrays(log_pi)[0] - log_ref - jax.nn.relu(kl))
    weight = jnp.where(desirable, desirable_weight, undesirable_weight)
    return weight.astype(gain.dtype) * jax.nn.sigmoid(jnp.where(desirable, -gain, gain))


@shapes(_PAIR)
def orpo_loss(
    log_pi_chosen: ArrayLike, log_pi_rejected: ArrayLike, lambda_: float = 0.1
) -> Array:
    """Computes the odds ratio loss, with the likelihood of the preferred answer.

        -l_c - λ log σ(o_c - o_r),    o = l - log(1 - e^l)

    Args:
      log_pi_chosen: Mean log probability l of the tokens of the preferred answer,
        `[...]`; taken to be at most -1e-6.
      log_pi_rejected: That of the other answer, `[...]`.
      lambda_: λ, any number not negative.

    Returns:
      `[...]`.

    Gradient:
      Reaches log_pi_chosen and log_pi_rejected.

    Raises:
      ContractError: If lambda_ is negative.

    Source: Hong et al. 2024, ORPO, arXiv 2403.07691, equations 6 and 7.

    Example:
      >>> print(rlax.orpo_loss(-0.5, -1.0, lambda_=0.1).round(2))
      0.53
    """
    check_range("orpo_loss", "lambda_", lambda_, 0, jnp.inf)
    pair = known_arrays(log_pi_chosen, log_pi_rejected)
    chosen, rejected = (jnp.minimum(x, -1e-6) for x in pair)
    odds, other_odds = (x - jnp.log(-jnp.expm1(x)) for x in (chosen, rejected))
    return -chosen - lambda_ * jax.nn.log_sigmoid(odds - other_odds)


@shapes("score_chosen[...], score_rejected[...], margin[...]")
def bradley_terry_loss(
    score_chosen: ArrayLike,
    score_rejected: ArrayLike,
    margin: ArrayLike = 0.0,
    *,
    center_coefficient: float = 0.0,
) -> Array:
    """Computes a reward model's loss: which of two answers is better.

        -log σ(c - r - margin) + coefficient (c + r)²

    Args:
      score_chosen: Score c of the preferred answer, `[...]`.
      score_rejected: Score r of the other one, `[...]`.
      margin: By how much the scores should differ, `[]` or `[...]`.
      center_coefficient: Keeps scores near 0, not negative.

    Returns:
      `[...]`.

    Gradient:
      Reaches score_chosen and score_rejected.

    Raises:
      ContractError: If center_coefficient is negative.

    Source: Bradley and Terry 1952, Rank Analysis of Incomplete Block Designs; Ouyang et
    al. 2022, arXiv 2203.02155, equation 1; margin: Touvron et al. 2023, Llama 2, arXiv
    2307.09288; centring: Eisenstein et al. 2023, Helping or Herding, arXiv 2312.09244.

    Example:
      >>> print(rlax.bradley_terry_loss(2.0, 0.0).round(2))
      0.13
    """
    check_range(
        "bradley_terry_loss", "center_coefficient", center_coefficient, 0, jnp.inf
    )
    chosen, rejected = known_arrays(score_chosen, score_rejected)
    margin = jax.lax.stop_gradient(margin)
    loss = -jax.nn.log_sigmoid(chosen - rejected - margin)
    return loss + center_coefficient * jnp.square(chosen + rejected)
