"""Values as sets of quantiles (QR-DQN)."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from rlax._core.arrays import pick_along
from rlax._core.contracts import shapes
from rlax._core.errors import check_range
from rlax._core.gradients import stop_gradient_if
from rlax._values import next_value
from rlax._values.pinball import pinball_loss

Array = jax.Array


@shapes("dist_src[N], tau_src:unit[N], dist_target[M]")
def quantile_regression_loss(
    dist_src: ArrayLike,
    tau_src: ArrayLike,
    dist_target: ArrayLike,
    huber_param: float = 0.0,
    stop_target_gradients: bool = True,
) -> Array:
    """Computes the (Huber) quantile regression loss of quantiles against samples.

        Σ_i mean_j |τ[i] - 1{δ < 0}| L(δ),    δ = target[j] - src[i]

    with L(δ) = |δ|, or the Huber loss where huber_param is above 0.

    Args:
      dist_src: Predicted quantiles, `[N]`.
      tau_src: Their levels in [0, 1], `[N]`.
      dist_target: Samples of the target, `[M]`.
      huber_param: Where the Huber loss turns linear, not negative.
      stop_target_gradients: Has no effect, as in the reference. Stop dist_target's
        gradient before the call, as the losses below do.

    Returns:
      The loss, `[]`.

    Gradient:
      Reaches dist_src, tau_src and dist_target.

    Raises:
      ContractError: If huber_param is negative.

    Source: Dabney et al. 2018, Distributional Reinforcement Learning with Quantile
    Regression, arXiv 1710.10044, equation 10.

    Example:
      >>> print(rlax.quantile_regression_loss([0.0, 1.0], [0.25, 0.75], [1.0]))
      0.25
    """
    del stop_target_gradients
    check_range("quantile_regression_loss", "huber_param", huber_param, 0, jnp.inf)
    return pinball_loss(dist_src, tau_src, dist_target, huber_param)


@shapes(
    "dist_q_tm1[N A], tau_q_tm1:unit[N], a_tm1:index(A)[], r_t[], discount_t:unit[],"
    "dist_q_t[M A], probs_a_t:probs[A]"
)
def quantile_expected_sarsa(
    dist_q_tm1: ArrayLike,
    tau_q_tm1: ArrayLike,
    a_tm1: ArrayLike,
    r_t: ArrayLike,
    discount_t: ArrayLike,
    dist_q_t: ArrayLike,
    probs_a_t: ArrayLike,
    huber_param: float = 0.0,
    stop_target_gradients: bool = True,
) -> Array:
    """Computes the quantile regression loss against a policy's mixture of targets.

        Σ_a π(a) loss(dist_q_tm1[:, a_tm1], r + γ dist_q_t[:, a])

    Args:
      dist_q_tm1: Predicted quantiles for every action, `[N, A]`.
      tau_q_tm1: Their levels in [0, 1], `[N]`.
      a_tm1: Action taken, in 0 .. A - 1, `[]`; out of range gives NaN under jit.
      r_t: Reward for the transition, `[]`.
      discount_t: Discount in [0, 1], `[]`.
      dist_q_t: Samples of the values at the destination, `[M, A]`.
      probs_a_t: Action probabilities at the destination, `[A]`.
      huber_param: As in `quantile_regression_loss`.
      stop_target_gradients: Whether to stop the gradient through the target.

    Returns:
      The loss, `[]`.

    Gradient:
      Reaches dist_q_tm1 and tau_q_tm1; the target's inputs too unless stopped.

    Raises:
      ContractError: If huber_param is negative.

    Source: Dabney et al. 2018, arXiv 1710.10044.

    Example:
      >>> q, tau = jnp.array([[0.0, 1.0], [2.0, 3.0]]), [0.25, 0.75]  # [N, A]
      >>> print(rlax.quantile_expected_sarsa(q, tau, 0, 1.0, 0.5, q, [0.5, 0.5]))
      0.625
    """
    check_range("quantile_expected_sarsa", "huber_param", huber_param, 0, jnp.inf)
    src = pick_along(dist_q_tm1, a_tm1, axis=1)
    targets = stop_gradient_if(stop_target_gradients, r_t + discount_t * dist_q_t)
    probs_a_t = stop_gradient_if(stop_target_gradients, probs_a_t)

    def loss(target: Array) -> Array:
        return pinball_loss(src, tau_q_tm1, target, huber_param)

    return jnp.sum(probs_a_t * jax.vmap(loss, in_axes=1)(targets))


@shapes(
    "dist_q_tm1[N A], tau_q_tm1:unit[N], a_tm1:index(A)[], r_t[], discount_t:unit[],"
    "dist_q_t_selector[L B], dist_q_t[M B]"
)
def quantile_q_learning(
    dist_q_tm1: ArrayLike,
    tau_q_tm1: ArrayLike,
    a_tm1: ArrayLike,
    r_t: ArrayLike,
    discount_t: ArrayLike,
    dist_q_t_selector: ArrayLike,
    dist_q_t: ArrayLike,
    huber_param: float = 0.0,
    stop_target_gradients: bool = True,
) -> Array:
    """Computes the quantile regression loss against the selected action's target.

        a* = argmax_a mean(dist_q_t_selector[:, a])

    Args:
      dist_q_tm1: As in `quantile_expected_sarsa`.
      tau_q_tm1: As in `quantile_expected_sarsa`.
      a_tm1: As in `quantile_expected_sarsa`.
      r_t: As in `quantile_expected_sarsa`.
      discount_t: As in `quantile_expected_sarsa`.
      dist_q_t_selector: Samples of the values that select, `[L, A]`; dist_q_t itself,
        or the online network's for double Q-learning.
      dist_q_t: Samples of the values that evaluate, `[M, A]`.
      huber_param: As in `quantile_regression_loss`.
      stop_target_gradients: Whether to stop the gradient through the target.

    Returns:
      The loss, `[]`; NaN if dist_q_t_selector contains NaN.

    Gradient:
      Reaches dist_q_tm1 and tau_q_tm1; the target's inputs too unless stopped.

    Raises:
      ContractError: If huber_param is negative.

    Source: Dabney et al. 2018, arXiv 1710.10044, algorithm 1.

    Example:
      >>> q = jnp.array([[0.0, 1.0], [2.0, 3.0]])  # [N, A]
      >>> print(rlax.quantile_q_learning(q, [0.25, 0.75], 0, 1.0, 0.5, q, q))
      0.75
    """
    check_range("quantile_q_learning", "huber_param", huber_param, 0, jnp.inf)
    v_t = selected_samples(dist_q_t_selector, dist_q_t)
    target = stop_gradient_if(stop_target_gradients, r_t + discount_t * v_t)
    src = pick_along(dist_q_tm1, a_tm1, axis=1)
    return pinball_loss(src, tau_q_tm1, target, huber_param)


def selected_samples(selector: ArrayLike, samples: ArrayLike) -> Array:
    """Samples [M, A] of the action with the highest mean of selector [L, A]."""
    means = jnp.mean(selector, axis=0)
    samples = jnp.where(jnp.isnan(means).any(), jnp.nan, samples)
    return pick_along(samples, next_value.greedy_action(means), axis=1)
