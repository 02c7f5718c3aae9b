"""Values as sets of quantiles (QR-DQN)."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero

from rlax._core.arrays import pick_along
from rlax._core.contracts import check_range, is_host, shapes
from rlax._core.gradients import stop_gradient_if
from rlax._values import next_value

Array = jax.Array


@shapes("dist_src[N], tau_src:unit[N], dist_target[M]")
def quantile_regression_loss(
    dist_src: Any,
    tau_src: Any,
    dist_target: Any,
    huber_param: float = 0.0,
    stop_target_gradients: bool = True,
) -> Array:
    """Computes the (Huber) quantile regression loss of samples against others.

        Σ_i mean_j |τ[i] - 1{δ < 0}| L(δ),    δ = target[j] - src[i]

    with L(δ) = |δ|, or the Huber loss where huber_param is above 0.

    Args:
      dist_src: Predicted quantiles, `[N]`.
      tau_src: Their levels in [0, 1], `[N]`.
      dist_target: Samples of the target, `[M]`.
      huber_param: Where the Huber loss turns linear, not negative.
      stop_target_gradients: Kept for the signature; without effect, as in the
        reference: stop dist_target's gradient before the call, as the losses below do.

    Returns:
      The loss, `[]`.

    Gradient:
      Reaches dist_src, tau_src and dist_target.

    Source: Dabney et al. 2018, Distributional Reinforcement Learning with Quantile
    Regression, arXiv 1710.10044, equation 10.
    """
    del stop_target_gradients
    return _quantile_loss(dist_src, tau_src, dist_target, huber_param)


def _quantile_loss(src: Array, tau: Array, target: Array, huber_param: Any) -> Array:
    check_range("quantile_regression_loss", "huber_param", huber_param, 0, jnp.inf)
    dtype = jnp.result_type(src, tau, target)
    src, tau, target = (x.astype(dtype) for x in (src, tau, target))
    if is_host(huber_param):
        return _pinball(float(huber_param), src, tau, target)
    # Known on the device alone: 0 must still mean the absolute loss.
    huber = _pinball_value(huber_param, src, tau, target)
    return jnp.where(huber_param == 0, _pinball(0.0, src, tau, target), huber)


# Of the pairs of predictions and targets, how many rows to sum in one step on a CPU.
_UNROLL = 8


def _sum_pairs(terms: Callable[..., tuple[Array, ...]], rows: Any, columns: Any) -> Any:
    """The sums of terms(row, columns) over all rows, elementwise in the columns."""
    if jax.default_backend() != "cpu":
        across = jax.vmap(terms, in_axes=(0, None))(rows, columns)
        return jax.tree.map(lambda x: jnp.sum(x, axis=0), across)
    # A CPU compiler fuses no such reduction: it would write out every pair. A loop over
    # the rows keeps to the columns, in single precision at least.
    first = jax.tree.map(lambda x: x[0], rows)
    start = jax.tree.map(
        lambda x: jnp.zeros(x.shape, jnp.promote_types(x.dtype, jnp.float32)),
        jax.eval_shape(terms, first, columns),
    )

    def add(totals, row):
        return jax.tree.map(jnp.add, totals, terms(row, columns)), None

    return jax.lax.scan(add, start, rows, unroll=_UNROLL)[0]


def _slope(kappa, delta, tau):
    """The loss's derivative in δ, and the loss divided by it."""
    weight = jnp.where(delta < 0, 1 - tau, tau)
    if is_host(kappa) and kappa == 0:
        return weight * jnp.where(delta < 0, -1, 1), delta
    near = jnp.clip(delta, -kappa, kappa)
    return weight * near, delta - 0.5 * near


def _pinball_value(kappa, src, tau, target):
    def terms(target_j, columns):
        src, tau = columns
        slope, rest = _slope(kappa, target_j - src, tau)
        return (slope * rest,)

    (losses,) = _sum_pairs(terms, target, (src, tau))
    return (jnp.sum(losses) / target.shape[0]).astype(src.dtype)


_pinball = jax.custom_jvp(_pinball_value, nondiff_argnums=(0,))


def _pinball_jvp(kappa, primals, tangents):
    # Each derivative is one more sum over the pairs; nothing of their size is kept.
    src, tau, target = primals
    src_dot, tau_dot, target_dot = tangents

    def for_src(target_j, columns):
        src, tau = columns
        delta = target_j - src
        slope, rest = _slope(kappa, delta, tau)
        loss = slope * rest
        # d loss / d τ: the loss without its weight, signed.
        unweighted, _ = _slope(kappa, delta, jnp.ones_like(tau) / 2)
        by_tau = 2 * unweighted * rest * jnp.where(delta < 0, -1, 1)
        return loss, slope + 0 * delta, by_tau

    def for_target(row, target):
        src_i, tau_i = row
        delta = target - src_i
        return (_slope(kappa, delta, tau_i)[0] + 0 * delta,)

    losses, by_src, by_tau = _sum_pairs(for_src, target, (src, tau))
    loss = (jnp.sum(losses) / target.shape[0]).astype(src.dtype)
    change = jnp.zeros_like(losses[0])
    if not isinstance(src_dot, SymbolicZero):
        change -= jnp.sum(src_dot * by_src)
    if not isinstance(tau_dot, SymbolicZero):
        change += jnp.sum(tau_dot * by_tau)
    if not isinstance(target_dot, SymbolicZero):
        (by_target,) = _sum_pairs(for_target, (src, tau), target)
        change += jnp.sum(target_dot * by_target)
    return loss, (change / target.shape[0]).astype(loss.dtype)


_pinball.defjvp(_pinball_jvp, symbolic_zeros=True)


@shapes(
    "dist_q_tm1[N A], tau_q_tm1:unit[N], a_tm1:index(A)[], r_t[], discount_t:unit[],"
    "dist_q_t[M A], probs_a_t:probs[A]"
)
def quantile_expected_sarsa(
    dist_q_tm1: Any,
    tau_q_tm1: Any,
    a_tm1: Any,
    r_t: Any,
    discount_t: Any,
    dist_q_t: Any,
    probs_a_t: Any,
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
      stop_target_gradients: Whether no gradient flows through the target.

    Returns:
      The loss, `[]`.

    Gradient:
      Reaches dist_q_tm1 and tau_q_tm1; the target's inputs too unless stopped.

    Source: Dabney et al. 2018, arXiv 1710.10044.
    """
    src = pick_along(dist_q_tm1, a_tm1, axis=1)
    targets = stop_gradient_if(stop_target_gradients, r_t + discount_t * dist_q_t)
    probs_a_t = stop_gradient_if(stop_target_gradients, probs_a_t)

    def loss(target: Array) -> Array:
        return _quantile_loss(src, tau_q_tm1, target, huber_param)

    return jnp.sum(probs_a_t * jax.vmap(loss, in_axes=1)(targets))


@shapes(
    "dist_q_tm1[N A], tau_q_tm1:unit[N], a_tm1:index(A)[], r_t[], discount_t:unit[],"
    "dist_q_t_selector[L B], dist_q_t[M B]"
)
def quantile_q_learning(
    dist_q_tm1: Any,
    tau_q_tm1: Any,
    a_tm1: Any,
    r_t: Any,
    discount_t: Any,
    dist_q_t_selector: Any,
    dist_q_t: Any,
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
      stop_target_gradients: Whether no gradient flows through the target.

    Returns:
      The loss, `[]`; NaN where dist_q_t_selector holds one.

    Gradient:
      Reaches dist_q_tm1 and tau_q_tm1; the target's inputs too unless stopped.

    Source: Dabney et al. 2018, arXiv 1710.10044, algorithm 1.
    """
    means = jnp.mean(dist_q_t_selector, axis=0)
    values = jnp.where(jnp.isnan(means).any(), jnp.nan, dist_q_t)
    v_t = pick_along(values, next_value.greedy_action(means), axis=1)
    target = stop_gradient_if(stop_target_gradients, r_t + discount_t * v_t)
    src = pick_along(dist_q_tm1, a_tm1, axis=1)
    return _quantile_loss(src, tau_q_tm1, target, huber_param)
