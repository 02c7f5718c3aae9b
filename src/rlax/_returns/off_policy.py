"""Returns of one policy from actions of another."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from rlax._core import arrays, recurrence
from rlax._core.gradients import stop_gradient_if
from rlax._core.types import known_arrays
from rlax._returns import streams

Array = jax.Array


@streams.stream_op(
    "r_t[T ...], q_t[T-1 ...], v_t[T ...], discount_t:unit[T ...]|[T],"
    "c_t:positive[T-1 ...]"
)
def general_off_policy_returns_from_q_and_v(
    q_t: ArrayLike,
    v_t: ArrayLike,
    r_t: ArrayLike,
    discount_t: ArrayLike,
    c_t: ArrayLike,
    stop_target_gradients: bool = False,
    *,
    mask_t: ArrayLike | None = None,
    truncation_t: ArrayLike | None = None,
    bootstrap_t: ArrayLike | None = None,
    parallel: bool | None = None,
) -> Array:
    """Estimates returns of one policy from actions of another, cutting traces by c.

        G[t] = r[t] + γ[t] (v[t] - c[t] q[t] + c[t] G[t+1]),
        G[T-1] = r[T-1] + γ[T-1] v[T-1]

    The algorithms differ in c: λ π(a) (tree backup), λ min(1, ρ) (Retrace), λ ρ
    (importance sampling), λ (Q(λ)).

    Args:
      q_t: Value of the action taken at step t, `[T - 1, ...]`; further axes are batch.
      v_t: Expected value under the target policy at step t, `[T, ...]`.
      r_t: Reward for arriving at step t, `[T, ...]`.
      discount_t: Discount per step, in [0, 1], `[T, ...]`.
      c_t: Trace coefficient, not negative, `[T - 1, ...]`.
      stop_target_gradients: Whether to stop the gradient through the returns.
      mask_t: True at valid steps, `[T, ...]` or `[T]`. Default: all.
      truncation_t: True where an episode was cut short: the trace stops there and
        bootstraps from v_t. Default: nowhere.
      bootstrap_t: Value to bootstrap with at truncated steps. Default: v_t.
      parallel: Whether to compute all steps at once. Default: by backend and length.

    Returns:
      The return at every step, `[T, ...]`; 0 where mask_t is false.

    Gradient:
      Reaches all inputs, unless stopped.

    Source: Munos et al. 2016, Safe and Efficient Off-Policy Reinforcement Learning,
    arXiv 1606.02647, equation 3.

    Example:
      >>> returns = rlax.general_off_policy_returns_from_q_and_v
      >>> print(returns([3.0], [2.0, 4.0], [1.0, 1.0], [0.5, 0.5], c_t=[0.0]))
      [2. 3.]
    """
    stream = streams.stream_of(r_t, mask_t, truncation_t, bootstrap_t, parallel)
    return returns_of(stream, q_t, v_t, r_t, discount_t, c_t, stop_target_gradients)


def returns_of(stream, q_t, v_t, r_t, discount_t, c_t, stop):
    """`general_off_policy_returns_from_q_and_v` of a stream, unchecked."""
    inputs = (q_t, stream.bootstrap_values(v_t), r_t, discount_t, c_t)
    q_t, v_t, r_t, discount_t, c_t = stop_gradient_if(stop, inputs)
    # The last step has no successor: its trace coefficient is 0.
    q_t, c_t = (jnp.concatenate([x, jnp.zeros_like(v_t[-1:])]) for x in (q_t, c_t))
    q_t, c_t = recurrence.zero_where(stream.cut, q_t), stream.cut_trace(c_t, r_t)
    inputs = (r_t, arrays.align(discount_t, r_t), v_t, q_t, c_t)
    return stream.solve(_correct, inputs, recurrence.zeros_after(v_t))


def _correct(return_next, r_t, discount_t, v_t, q_t, c_t):
    return r_t + discount_t * (v_t - c_t * q_t + c_t * return_next)


FROM_ACTION_VALUES = (
    "q_t[T ... A], a_t:index(A)[T ...], r_t[T ...], discount_t:unit[T ...]|[T],"
    "c_t:positive[T ...], pi_t:probs[T ... A]"
)


@streams.stream_op(FROM_ACTION_VALUES)
def general_off_policy_returns_from_action_values(
    q_t: ArrayLike,
    a_t: ArrayLike,
    r_t: ArrayLike,
    discount_t: ArrayLike,
    c_t: ArrayLike,
    pi_t: ArrayLike,
    stop_target_gradients: bool = False,
    *,
    mask_t: ArrayLike | None = None,
    truncation_t: ArrayLike | None = None,
    bootstrap_t: ArrayLike | None = None,
    parallel: bool | None = None,
) -> Array:
    """Estimates off-policy returns from the values of all actions.

    As `general_off_policy_returns_from_q_and_v`, with q[t] = q_t[t, a[t]] and
    v[t] = Σ_a π(a) q_t[t, a].

    Args:
      q_t: Action values at step t, `[T, ..., A]`.
      a_t: Action taken at step t, in 0 .. A - 1, `[T, ...]`.
      r_t: Reward for arriving at step t, `[T, ...]`.
      discount_t: Discount per step, in [0, 1], `[T, ...]`.
      c_t: Trace coefficient, not negative, `[T, ...]`; the last is not used.
      pi_t: Target policy's probabilities at step t, `[T, ..., A]`.
      stop_target_gradients: Whether to stop the gradient through the returns.
      mask_t: As in `general_off_policy_returns_from_q_and_v`.
      truncation_t: As in `general_off_policy_returns_from_q_and_v`.
      bootstrap_t: As in `general_off_policy_returns_from_q_and_v`.
      parallel: As in `general_off_policy_returns_from_q_and_v`.

    Returns:
      The return at every step, `[T, ...]`; an action out of range gives NaN.

    Gradient:
      Reaches all inputs, unless stopped.

    Source: Munos et al. 2016, arXiv 1606.02647.

    Example:
      >>> q, pi = jnp.array([[1.0, 3.0], [2.0, 4.0]]), jnp.full([2, 2], 0.5)
      >>> returns = rlax.general_off_policy_returns_from_action_values
      >>> print(returns(q, [0, 1], [1.0, 1.0], [0.5, 0.5], c_t=[1.0, 1.0], pi_t=pi))
      [2.75 2.5 ]
    """
    stream = streams.stream_of(r_t, mask_t, truncation_t, bootstrap_t, parallel)
    return returns_from_action_values_of(
        stream, q_t, a_t, r_t, discount_t, c_t, pi_t, stop_target_gradients
    )


def returns_from_action_values_of(stream, q_t, a_t, r_t, discount_t, c_t, pi_t, stop):
    """`general_off_policy_returns_from_action_values` of a stream, unchecked."""
    qa_t, v_t = arrays.pick(q_t, a_t), jnp.sum(pi_t * q_t, axis=-1)
    return returns_of(stream, qa_t[:-1], v_t, r_t, discount_t, c_t[:-1], stop)


def retrace_coefficients(
    pi_t: ArrayLike, mu_t: ArrayLike, a_t: ArrayLike, lambda_: ArrayLike, eps: float
) -> Array:
    """Retrace's trace coefficients, λ min(1, π(a) / (μ(a) + eps))."""
    ratio = jnp.minimum(1.0, arrays.pick(pi_t, a_t) / (mu_t + eps))
    return ratio * arrays.align(lambda_, ratio)


@streams.stream_op(
    "r_t[T ...], discount_t:unit[T ...]|[T], rho_tm1:positive[T ...],"
    "lambda_:unit[]|[T ...]|[T], values[T+1 ...]"
)
def importance_corrected_td_errors(
    r_t: ArrayLike,
    discount_t: ArrayLike,
    rho_tm1: ArrayLike,
    lambda_: ArrayLike,
    values: ArrayLike,
    stop_target_gradients: bool = False,
    *,
    mask_t: ArrayLike | None = None,
    truncation_t: ArrayLike | None = None,
    bootstrap_t: ArrayLike | None = None,
    parallel: bool | None = None,
) -> Array:
    """Sums TD errors, each weighted by the importance ratios up to it.

        E[t] = ρ[t] (δ[t] + γ[t] λ[t] E[t+1]),    δ[t] = r[t] + γ[t] v[t+1] - v[t]

    Args:
      r_t: Reward for arriving at step t, `[T, ...]`; further axes are batch.
      discount_t: Discount per step, in [0, 1], `[T, ...]`.
      rho_tm1: Importance ratio π(a) / μ(a) of the action before step t, `[T, ...]`.
      lambda_: Mixing parameter in [0, 1]: one number, `[T]` or `[T, ...]`.
      values: Value before the first step and after every step, `[T + 1, ...]`.
      stop_target_gradients: Whether to stop the gradient through the bootstrapped
        targets; it then reaches only values[:-1].
      mask_t: As in `lambda_returns`.
      truncation_t: As in `lambda_returns`.
      bootstrap_t: As in `truncated_generalized_advantage_estimation`.
      parallel: As in `lambda_returns`.

    Returns:
      The error at every step, `[T, ...]`; 0 where mask_t is false.

    Gradient:
      Reaches values[:-1]; all inputs unless stopped.

    Source: Precup et al. 2000, Eligibility Traces for Off-Policy Policy Evaluation.

    Example:
      >>> errors = rlax.importance_corrected_td_errors
      >>> print(errors([1.0, 1.0], [0.5, 0.5], [1.0, 2.0], 1.0, values=[0.0, 2.0, 4.0]))
      [3. 2.]
    """
    stream = streams.stream_of(r_t, mask_t, truncation_t, bootstrap_t, parallel)
    r_t, values = known_arrays(r_t, values)
    v_tm1 = stream.zero_padding(values[:-1])
    v_t = stream.bootstrap_values(values[1:])
    discount_t = arrays.align(discount_t, r_t)
    delta = rho_tm1 * (r_t + discount_t * v_t - v_tm1)
    trace = rho_tm1 * stream.cut_trace(lambda_, r_t)
    inputs = stop_gradient_if(stop_target_gradients, (delta, discount_t, trace))
    errors = stream.solve(recurrence.trace_step, inputs, recurrence.zeros_after(r_t))
    if stop_target_gradients:
        return jax.lax.stop_gradient(errors + v_tm1) - v_tm1
    return errors
