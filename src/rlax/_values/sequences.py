"""TD errors of whole sequences: lambda versions and Retrace."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from rlax._core import arrays
from rlax._core.errors import check_range
from rlax._core.ratios import finite_exp
from rlax._returns import multistep, off_policy, streams
from rlax._values import next_value
from rlax._values.td_error import td_error

Array = jax.Array


@streams.stream_op(
    "v_tm1[T ...], r_t[T ...], discount_t:unit[T ...]|[T], v_t[T ...],"
    "lambda_:unit[]|[T ...]|[T]"
)
def td_lambda(
    v_tm1: ArrayLike,
    r_t: ArrayLike,
    discount_t: ArrayLike,
    v_t: ArrayLike,
    lambda_: ArrayLike,
    stop_target_gradients: bool = True,
    *,
    mask_t: ArrayLike | None = None,
    truncation_t: ArrayLike | None = None,
    bootstrap_t: ArrayLike | None = None,
    parallel: bool | None = None,
) -> Array:
    """Computes the TD errors of state values against lambda returns.

        G[t] - v_tm1[t],    G as in `lambda_returns`

    Args:
      v_tm1: Value of the state before step t, `[T, ...]`; further axes are batch.
      r_t: Reward for arriving at step t, `[T, ...]`.
      discount_t: Discount per step, in [0, 1], `[T, ...]`.
      v_t: Value of the state at step t, `[T, ...]`.
      lambda_: Mixing parameter in [0, 1]: one number, `[T]` or `[T, ...]`.
      stop_target_gradients: Whether to stop the gradient through the returns.
      mask_t: True at valid steps, `[T, ...]` or `[T]`. Default: all.
      truncation_t: True where an episode was cut short: the trace stops there and
        bootstraps. Default: nowhere.
      bootstrap_t: Value to bootstrap with at truncated steps. Default: v_t.
      parallel: Whether to compute all steps at once. Default: by backend and length.

    Returns:
      The TD errors, `[T, ...]`; 0 where mask_t is false.

    Gradient:
      Reaches v_tm1; all inputs unless stopped.

    Source: Sutton 1988, Learning to Predict by the Methods of Temporal Differences.

    Example:
      >>> v = jnp.array([0.0, 2.0, 4.0])
      >>> print(rlax.td_lambda(v[:-1], [1.0, 1.0], [0.5, 0.5], v[1:], lambda_=1.0))
      [2.5 1. ]
    """
    stream = streams.stream_of(r_t, mask_t, truncation_t, bootstrap_t, parallel)
    returns = multistep.lambda_returns_of(
        stream, r_t, discount_t, v_t, lambda_, stop_target_gradients
    )
    return td_error(returns, v_tm1, stop_target_gradients)


@streams.stream_op(
    "q_tm1[T ... A], a_tm1:index(A)[T ...], r_t[T ...], discount_t:unit[T ...]|[T],"
    "q_t[T ... A], a_t:index(A)[T ...], lambda_:unit[]|[T ...]|[T]"
)
def sarsa_lambda(
    q_tm1: ArrayLike,
    a_tm1: ArrayLike,
    r_t: ArrayLike,
    discount_t: ArrayLike,
    q_t: ArrayLike,
    a_t: ArrayLike,
    lambda_: ArrayLike,
    stop_target_gradients: bool = True,
    *,
    mask_t: ArrayLike | None = None,
    truncation_t: ArrayLike | None = None,
    bootstrap_t: ArrayLike | None = None,
    parallel: bool | None = None,
) -> Array:
    """Computes the TD errors of action values against returns of the actions taken.

        G[t] - q_tm1[t, a_tm1[t]],    G = lambda_returns(r, γ, q_t[a_t], λ)

    Args:
      q_tm1: Action values before step t, `[T, ..., A]`; axes between are batch.
      a_tm1: Action taken there, in 0 .. A - 1, `[T, ...]`; others give NaN under jit.
      r_t: As in `td_lambda`.
      discount_t: As in `td_lambda`.
      q_t: Action values at step t, `[T, ..., A]`.
      a_t: Action taken there, in 0 .. A - 1, `[T, ...]`.
      lambda_: As in `td_lambda`.
      stop_target_gradients: As in `td_lambda`.
      mask_t: As in `td_lambda`.
      truncation_t: As in `td_lambda`.
      bootstrap_t: As in `td_lambda`.
      parallel: As in `td_lambda`.

    Returns:
      The TD errors, `[T, ...]`; 0 where mask_t is false.

    Gradient:
      Reaches q_tm1; all inputs unless stopped.

    Source: Rummery and Niranjan 1994, On-line Q-learning Using Connectionist Systems.

    Example:
      >>> q = jnp.array([[1.0, 2.0], [3.0, 4.0]])
      >>> step = q, [0, 1], [1.0, 1.0], [0.5, 0.5], q, [1, 0]
      >>> print(rlax.sarsa_lambda(*step, lambda_=0.0))
      [ 1.  -1.5]
    """
    stream = streams.stream_of(r_t, mask_t, truncation_t, bootstrap_t, parallel)
    qa_tm1, qa_t = arrays.pick(q_tm1, a_tm1), arrays.pick(q_t, a_t)
    returns = multistep.lambda_returns_of(
        stream, r_t, discount_t, qa_t, lambda_, stop_target_gradients
    )
    return td_error(returns, qa_tm1, stop_target_gradients)


@streams.stream_op(
    "q_tm1[T ... A], a_tm1:index(A)[T ...], r_t[T ...], discount_t:unit[T ...]|[T],"
    "q_t[T ... A], lambda_:unit[]|[T ...]|[T]"
)
def q_lambda(
    q_tm1: ArrayLike,
    a_tm1: ArrayLike,
    r_t: ArrayLike,
    discount_t: ArrayLike,
    q_t: ArrayLike,
    lambda_: ArrayLike,
    stop_target_gradients: bool = True,
    *,
    mask_t: ArrayLike | None = None,
    truncation_t: ArrayLike | None = None,
    bootstrap_t: ArrayLike | None = None,
    parallel: bool | None = None,
) -> Array:
    """Computes the TD errors of action values against greedy lambda returns.

        G[t] - q_tm1[t, a_tm1[t]],    G = lambda_returns(r, γ, max_a q_t[a], λ)

    Equals `transformed_q_lambda` with the identity pair. This is Peng's version, which
    doesn't cut traces at exploratory actions; for Watkins', set lambda_ to 0 there.

    Args:
      q_tm1: As in `sarsa_lambda`.
      a_tm1: As in `sarsa_lambda`.
      r_t: As in `td_lambda`.
      discount_t: As in `td_lambda`.
      q_t: As in `sarsa_lambda`.
      lambda_: As in `td_lambda`.
      stop_target_gradients: As in `td_lambda`.
      mask_t: As in `td_lambda`.
      truncation_t: As in `td_lambda`.
      bootstrap_t: As in `td_lambda`.
      parallel: As in `td_lambda`.

    Returns:
      The TD errors, `[T, ...]`; 0 where mask_t is false.

    Gradient:
      Reaches q_tm1; all inputs unless stopped.

    Source: Peng and Williams 1994, Incremental Multi-Step Q-Learning.

    Example:
      >>> q = jnp.array([[1.0, 2.0], [3.0, 4.0]])
      >>> print(rlax.q_lambda(q, [0, 1], [1.0, 1.0], [0.5, 0.5], q, lambda_=0.0))
      [ 1. -1.]
    """
    stream = streams.stream_of(r_t, mask_t, truncation_t, bootstrap_t, parallel)
    qa_tm1, v_t = arrays.pick(q_tm1, a_tm1), next_value.greedy_value(q_t)
    returns = multistep.lambda_returns_of(
        stream, r_t, discount_t, v_t, lambda_, stop_target_gradients
    )
    return td_error(returns, qa_tm1, stop_target_gradients)


@streams.stream_op(
    "q_tm1[T ... A], q_t[T ... A], a_tm1:index(A)[T ...], a_t:index(A)[T ...],"
    "r_t[T ...], discount_t:unit[T ...]|[T], pi_t:probs[T ... A],"
    "mu_t:probs[T ...], lambda_:share[]|[T ...]|[T]"
)
def retrace(
    q_tm1: ArrayLike,
    q_t: ArrayLike,
    a_tm1: ArrayLike,
    a_t: ArrayLike,
    r_t: ArrayLike,
    discount_t: ArrayLike,
    pi_t: ArrayLike,
    mu_t: ArrayLike,
    lambda_: ArrayLike,
    eps: float = 1e-8,
    stop_target_gradients: bool = True,
    *,
    mask_t: ArrayLike | None = None,
    truncation_t: ArrayLike | None = None,
    bootstrap_t: ArrayLike | None = None,
    parallel: bool | None = None,
) -> Array:
    """Computes the TD errors of action values against Retrace returns.

    Off-policy returns with trace coefficients c = λ min(1, π(a) / (μ(a) + eps)).
    Equals `transformed_retrace` with the identity pair.

    Args:
      q_tm1: Action values before step t, `[T, ..., A]`; axes between are batch.
      q_t: Action values at step t, `[T, ..., A]`.
      a_tm1: Action taken before step t, in 0 .. A - 1, `[T, ...]`.
      a_t: Action taken at step t, in 0 .. A - 1, `[T, ...]`.
      r_t: Reward for arriving at step t, `[T, ...]`.
      discount_t: Discount per step, in [0, 1], `[T, ...]`.
      pi_t: Target policy's probabilities at step t, `[T, ..., A]`.
      mu_t: Behaviour policy's probability of a_t, `[T, ...]`.
      lambda_: Mixing parameter in [0, 1]: one number, `[T]` or `[T, ...]`.
      eps: Added to mu_t before the division.
      stop_target_gradients: Whether to stop the gradient through the returns.
      mask_t: As in `td_lambda`.
      truncation_t: As in `td_lambda`.
      bootstrap_t: As in `td_lambda`.
      parallel: As in `td_lambda`.

    Returns:
      The TD errors, `[T, ...]`; 0 where mask_t is false.

    Gradient:
      Reaches q_tm1; all inputs unless stopped.

    Raises:
      ContractError: If eps is negative.

    Source: Munos et al. 2016, Safe and Efficient Off-Policy Reinforcement Learning,
    arXiv 1606.02647.

    Example:
      >>> q, pi = jnp.array([[1.0, 2.0], [3.0, 4.0]]), jnp.full([2, 2], 0.5)
      >>> step = q, q, [0, 1], [1, 0], [1.0, 1.0], [0.5, 0.5], pi
      >>> print(rlax.retrace(*step, mu_t=[0.5, 0.5], lambda_=1.0))
      [ 1.125 -1.25 ]
      >>> print(rlax.retrace(*step, mu_t=[0.5, 0.5], lambda_=0.0))
      [ 0.75 -1.25]
    """
    check_range("retrace", "eps", eps, 0, jnp.inf)
    stream = streams.stream_of(r_t, mask_t, truncation_t, bootstrap_t, parallel)
    c_t = off_policy.retrace_coefficients(pi_t, mu_t, a_t, lambda_, eps)
    returns = off_policy.returns_from_action_values_of(
        stream, q_t, a_t, r_t, discount_t, c_t, pi_t, stop_target_gradients
    )
    qa_tm1 = arrays.pick(q_tm1, a_tm1)
    return td_error(returns, qa_tm1, stop_target_gradients)


@streams.stream_op(
    "q_tm1[T ...], q_t[T-1 ...], v_t[T ...], r_t[T ...], discount_t:unit[T ...]|[T],"
    "log_rhos[T-1 ...], lambda_:share[]|[T-1 ...]|[T-1]"
)
def retrace_continuous(
    q_tm1: ArrayLike,
    q_t: ArrayLike,
    v_t: ArrayLike,
    r_t: ArrayLike,
    discount_t: ArrayLike,
    log_rhos: ArrayLike,
    lambda_: ArrayLike,
    stop_target_gradients: bool = True,
    *,
    mask_t: ArrayLike | None = None,
    truncation_t: ArrayLike | None = None,
    bootstrap_t: ArrayLike | None = None,
    parallel: bool | None = None,
) -> Array:
    """Computes Retrace errors for continuous actions.

    Off-policy returns with trace coefficients c = λ min(1, e^log_rho).

    Args:
      q_tm1: Value of the action taken before step t, `[T, ...]`; further axes are
        batch.
      q_t: Value of the action taken at step t, `[T - 1, ...]`.
      v_t: Expected value under the target policy at step t, `[T, ...]`.
      r_t: Reward for arriving at step t, `[T, ...]`.
      discount_t: Discount per step, in [0, 1], `[T, ...]`.
      log_rhos: log π(a) - log μ(a) of the action at step t, `[T - 1, ...]`.
      lambda_: Mixing parameter in [0, 1]: one number, `[T - 1]` or `[T - 1, ...]`.
      stop_target_gradients: Whether to stop the gradient through the returns.
      mask_t: As in `td_lambda`.
      truncation_t: As in `td_lambda`.
      bootstrap_t: As in `td_lambda`.
      parallel: As in `td_lambda`.

    Returns:
      The TD errors, `[T, ...]`; 0 where mask_t is false.

    Gradient:
      Reaches q_tm1; all inputs unless stopped.

    Source: Munos et al. 2016, arXiv 1606.02647.

    Example:
      >>> step = [1.0, 2.0], [2.0], [1.0, 2.0], [1.0, 1.0], [0.5, 0.5]
      >>> print(rlax.retrace_continuous(*step, log_rhos=[0.0], lambda_=1.0))
      [0.5 0. ]
    """
    stream = streams.stream_of(r_t, mask_t, truncation_t, bootstrap_t, parallel)
    c_t = jnp.minimum(1.0, finite_exp(log_rhos)) * arrays.align(lambda_, log_rhos)
    returns = off_policy.returns_of(
        stream, q_t, v_t, r_t, discount_t, c_t, stop_target_gradients
    )
    return td_error(returns, q_tm1, stop_target_gradients)
