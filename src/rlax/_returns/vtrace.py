"""V-trace: importance-corrected value targets with clipped ratios."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from rlax._core import arrays, recurrence
from rlax._core.errors import check_range
from rlax._core.gradients import stop_gradient_if
from rlax._returns import streams

Array = jax.Array

_CONTRACT = (
    "v_tm1[T ...], v_t[T ...], r_t[T ...], discount_t:unit[T ...]|[T],"
    "rho_tm1:positive[T ...], lambda_:unit[]|[T ...]|[T], sample_mask?:bool[T ...]|[T]"
)


class VTraceOutput(NamedTuple):
    """V-trace for an actor-critic.

    Attributes:
      errors: Corrected target minus v_tm1, `[T, ...]`.
      pg_advantage: Weighted advantage for the policy gradient, `[T, ...]`.
      q_estimate: Estimate of the value of the action taken, `[T, ...]`.
    """

    errors: Array
    pg_advantage: Array
    q_estimate: Array


@streams.stream_op(_CONTRACT)
def vtrace(
    v_tm1: ArrayLike,
    v_t: ArrayLike,
    r_t: ArrayLike,
    discount_t: ArrayLike,
    rho_tm1: ArrayLike,
    lambda_: ArrayLike = 1.0,
    clip_rho_threshold: float = 1.0,
    stop_target_gradients: bool = True,
    sample_mask: ArrayLike | None = None,
    *,
    mask_t: ArrayLike | None = None,
    truncation_t: ArrayLike | None = None,
    bootstrap_t: ArrayLike | None = None,
    parallel: bool | None = None,
) -> Array:
    """Computes V-trace errors: corrected value targets minus v_tm1.

        E[t] = ρ̂[t] (r[t] + γ[t] v[t] - v_tm1[t]) + γ[t] c[t] E[t+1]
        ρ̂ = min(clip, ρ),    c = λ min(1, ρ)

    Equals `leaky_vtrace` with alpha 1.

    Args:
      v_tm1: Value of the state before step t, `[T, ...]`; further axes are batch.
      v_t: Value of the state at step t, `[T, ...]`.
      r_t: Reward for arriving at step t, `[T, ...]`.
      discount_t: Discount per step, in [0, 1], `[T, ...]`.
      rho_tm1: Importance ratio π(a) / μ(a) of the action before step t, `[T, ...]`.
      lambda_: Mixing parameter in [0, 1]: one number, `[T]` or `[T, ...]`.
      clip_rho_threshold: Upper limit of the ratios on the TD errors.
      stop_target_gradients: Whether to stop the gradient through the targets.
      sample_mask: Booleans, `[T, ...]`: false at steps to skip, whose error is that of
        the next step.
      mask_t: True at valid steps, `[T, ...]` or `[T]`. Default: all.
      truncation_t: True where an episode was cut short: the trace stops there and
        bootstraps from v_t. Default: nowhere.
      bootstrap_t: Value to bootstrap with at truncated steps. Default: v_t.
      parallel: Whether to compute all steps at once. Default: by backend and length.

    Returns:
      The errors, `[T, ...]`; 0 where mask_t is false.

    Gradient:
      Reaches only v_tm1 if targets are stopped, else all inputs.

    Raises:
      ContractError: If a threshold is negative.

    Source: Espeholt et al. 2018, IMPALA, arXiv 1802.01561, equation 1.

    Example:
      >>> v = jnp.array([0.0, 2.0, 4.0])
      >>> print(rlax.vtrace(v[:-1], v[1:], [1.0, 1.0], [0.5, 0.5], rho_tm1=[1.0, 2.0]))
      [2.5 1. ]
    """
    check_range("vtrace", "clip_rho_threshold", clip_rho_threshold, 0, jnp.inf)
    stream = streams.stream_of(r_t, mask_t, truncation_t, bootstrap_t, parallel)
    steps = _steps(stream, v_tm1, v_t, r_t, discount_t, rho_tm1, lambda_)
    ratios = _Ratios(1.0, clip_rho_threshold)
    return _errors(stream, steps, ratios, sample_mask, stop_target_gradients)


@streams.stream_op(_CONTRACT)
def leaky_vtrace(
    v_tm1: ArrayLike,
    v_t: ArrayLike,
    r_t: ArrayLike,
    discount_t: ArrayLike,
    rho_tm1: ArrayLike,
    alpha_: ArrayLike = 1.0,
    lambda_: ArrayLike = 1.0,
    clip_rho_threshold: float = 1.0,
    stop_target_gradients: bool = True,
    sample_mask: ArrayLike | None = None,
    *,
    mask_t: ArrayLike | None = None,
    truncation_t: ArrayLike | None = None,
    bootstrap_t: ArrayLike | None = None,
    parallel: bool | None = None,
) -> Array:
    """Computes V-trace errors whose clipped ratios leak a share of the full ones.

        E[t] = ρ̂[t] (r[t] + γ[t] v[t] - v_tm1[t]) + γ[t] c[t] E[t+1]
        ρ̂ = α min(clip, ρ) + (1 - α) ρ,    c = λ (α min(1, ρ) + (1 - α) ρ)

    Args:
      v_tm1: As in `vtrace`.
      v_t: As in `vtrace`.
      r_t: As in `vtrace`.
      discount_t: As in `vtrace`.
      rho_tm1: As in `vtrace`.
      alpha_: Share of the clipped ratios, in [0, 1]: one number, `[T]` or `[T, ...]`;
        1 is V-trace, 0 importance sampling.
      lambda_: As in `vtrace`.
      clip_rho_threshold: As in `vtrace`.
      stop_target_gradients: As in `vtrace`.
      sample_mask: As in `vtrace`.
      mask_t: As in `vtrace`.
      truncation_t: As in `vtrace`.
      bootstrap_t: As in `vtrace`.
      parallel: As in `vtrace`.

    Returns:
      The errors, `[T, ...]`; 0 where mask_t is false.

    Gradient:
      As in `vtrace`.

    Raises:
      ContractError: If alpha_ is out of [0, 1], or a threshold negative.

    Source: Zahavy et al. 2020, A Self-Tuning Actor-Critic Algorithm, arXiv 2002.12928,
    section 4.2.

    Example:
      >>> v, ones = jnp.array([0.0, 2.0, 4.0]), jnp.ones(2)
      >>> step = v[:-1], v[1:], ones, 0.5 * ones, 2 * ones
      >>> for alpha in 0.0, 0.5, 1.0:
      ...     print(rlax.leaky_vtrace(*step, alpha_=alpha))
      [6. 2.]
      [4.125 1.5  ]
      [2.5 1. ]
    """
    check_range("leaky_vtrace", "alpha_", alpha_, 0, 1)
    check_range("leaky_vtrace", "clip_rho_threshold", clip_rho_threshold, 0, jnp.inf)
    stream = streams.stream_of(r_t, mask_t, truncation_t, bootstrap_t, parallel)
    steps = _steps(stream, v_tm1, v_t, r_t, discount_t, rho_tm1, lambda_)
    ratios = _Ratios(_for_steps(alpha_, r_t), clip_rho_threshold)
    return _errors(stream, steps, ratios, sample_mask, stop_target_gradients)


@streams.stream_op(_CONTRACT)
def vtrace_td_error_and_advantage(
    v_tm1: ArrayLike,
    v_t: ArrayLike,
    r_t: ArrayLike,
    discount_t: ArrayLike,
    rho_tm1: ArrayLike,
    lambda_: ArrayLike = 1.0,
    clip_rho_threshold: float = 1.0,
    clip_pg_rho_threshold: float = 1.0,
    stop_target_gradients: bool = True,
    sample_mask: ArrayLike | None = None,
    *,
    mask_t: ArrayLike | None = None,
    truncation_t: ArrayLike | None = None,
    bootstrap_t: ArrayLike | None = None,
    parallel: bool | None = None,
) -> VTraceOutput:
    """Computes V-trace errors, and the advantages for an actor-critic.

    Equals `leaky_vtrace_td_error_and_advantage` with alpha 1.

    Args:
      v_tm1: As in `vtrace`.
      v_t: As in `vtrace`.
      r_t: As in `vtrace`.
      discount_t: As in `vtrace`.
      rho_tm1: As in `vtrace`.
      lambda_: As in `vtrace`.
      clip_rho_threshold: As in `vtrace`.
      clip_pg_rho_threshold: Upper limit of the ratios on the advantages.
      stop_target_gradients: As in `vtrace`.
      sample_mask: As in `vtrace`.
      mask_t: As in `vtrace`.
      truncation_t: As in `vtrace`.
      bootstrap_t: As in `vtrace`.
      parallel: As in `vtrace`.

    Returns:
      A tuple (errors, pg_advantage, q_estimate), each `[T, ...]`.

    Gradient:
      errors as in `vtrace`. The other two aren't stopped: stop them if you use them as
      targets, as `policy_gradient_loss` does.

    Raises:
      ContractError: If a threshold is negative.

    Source: Espeholt et al. 2018, IMPALA, arXiv 1802.01561, section 4.2.

    Example:
      >>> v = jnp.array([0.0, 2.0, 4.0])
      >>> out = rlax.vtrace_td_error_and_advantage(
      ...     v[:-1], v[1:], r_t=[1.0, 1.0], discount_t=[0.5, 0.5], rho_tm1=[1.0, 2.0]
      ... )
      >>> print(out.pg_advantage)
      [2.5 1. ]
    """
    op = "vtrace_td_error_and_advantage"
    check_range(op, "clip_rho_threshold", clip_rho_threshold, 0, jnp.inf)
    check_range(op, "clip_pg_rho_threshold", clip_pg_rho_threshold, 0, jnp.inf)
    stream = streams.stream_of(r_t, mask_t, truncation_t, bootstrap_t, parallel)
    steps = _steps(stream, v_tm1, v_t, r_t, discount_t, rho_tm1, lambda_)
    ratios = _Ratios(1.0, clip_rho_threshold, clip_pg_rho_threshold)
    errors = _errors(stream, steps, ratios, sample_mask, stop_target_gradients)
    return _with_advantage(stream, steps, ratios, errors)


@streams.stream_op(_CONTRACT)
def leaky_vtrace_td_error_and_advantage(
    v_tm1: ArrayLike,
    v_t: ArrayLike,
    r_t: ArrayLike,
    discount_t: ArrayLike,
    rho_tm1: ArrayLike,
    alpha: ArrayLike = 1.0,
    lambda_: ArrayLike = 1.0,
    clip_rho_threshold: float = 1.0,
    clip_pg_rho_threshold: float = 1.0,
    stop_target_gradients: bool = True,
    sample_mask: ArrayLike | None = None,
    *,
    mask_t: ArrayLike | None = None,
    truncation_t: ArrayLike | None = None,
    bootstrap_t: ArrayLike | None = None,
    parallel: bool | None = None,
) -> VTraceOutput:
    """Computes leaky V-trace errors, and the advantages for an actor-critic.

        Q[t] = r[t] + γ[t] (λ[t] (E[t+1] + v_tm1[t+1]) + (1 - λ[t]) v_tm1[t+1])
        A[t] = (α min(clip_pg, ρ[t]) + (1 - α) ρ[t]) (Q[t] - v_tm1[t])

    At the last step, and where a trace is cut, Q bootstraps from v_t.

    Args:
      v_tm1: As in `vtrace`.
      v_t: As in `vtrace`.
      r_t: As in `vtrace`.
      discount_t: As in `vtrace`.
      rho_tm1: As in `vtrace`.
      alpha: Share of the clipped ratios, in [0, 1]: one number, `[T]` or `[T, ...]`.
      lambda_: As in `vtrace`.
      clip_rho_threshold: As in `vtrace`.
      clip_pg_rho_threshold: Upper limit of the ratios on the advantages.
      stop_target_gradients: As in `vtrace`.
      sample_mask: As in `vtrace`.
      mask_t: As in `vtrace`.
      truncation_t: As in `vtrace`.
      bootstrap_t: As in `vtrace`.
      parallel: As in `vtrace`.

    Returns:
      A tuple (errors, pg_advantage, q_estimate), each `[T, ...]`.

    Gradient:
      As in `vtrace_td_error_and_advantage`.

    Raises:
      ContractError: If alpha is out of [0, 1], or a threshold negative.

    Source: Zahavy et al. 2020, arXiv 2002.12928, section 4.2.

    Example:
      >>> v, ones = jnp.array([0.0, 2.0, 4.0]), jnp.ones(2)
      >>> step = v[:-1], v[1:], ones, 0.5 * ones, 2 * ones
      >>> print(rlax.leaky_vtrace_td_error_and_advantage(*step, alpha=0.5).pg_advantage)
      [4.125 1.5  ]
    """
    op = "leaky_vtrace_td_error_and_advantage"
    check_range(op, "alpha", alpha, 0, 1)
    check_range(op, "clip_rho_threshold", clip_rho_threshold, 0, jnp.inf)
    check_range(op, "clip_pg_rho_threshold", clip_pg_rho_threshold, 0, jnp.inf)
    stream = streams.stream_of(r_t, mask_t, truncation_t, bootstrap_t, parallel)
    steps = _steps(stream, v_tm1, v_t, r_t, discount_t, rho_tm1, lambda_)
    ratios = _Ratios(_for_steps(alpha, r_t), clip_rho_threshold, clip_pg_rho_threshold)
    errors = _errors(stream, steps, ratios, sample_mask, stop_target_gradients)
    return _with_advantage(stream, steps, ratios, errors)


class _Steps(NamedTuple):
    """The steps of a stream: 0 in the padding, bootstrap values where truncated."""

    v_tm1: Array
    v_t: Array
    r_t: Array
    discount_t: Array
    rho_tm1: Array
    lambda_: Array


class _Ratios(NamedTuple):
    """How far importance ratios are clipped."""

    alpha: ArrayLike  # the share of the clipped ratios
    td_limit: ArrayLike
    advantage_limit: ArrayLike = 1.0

    def clipped(self, rho_tm1: Array, limit: ArrayLike) -> Array:
        """The ratios up to the limit, plus a share of the rest."""
        clipped = jnp.minimum(rho_tm1, limit)
        if isinstance(self.alpha, float | int) and self.alpha == 1:
            return clipped
        return clipped * self.alpha + rho_tm1 * (1 - self.alpha)


def _for_steps(alpha: ArrayLike, like: ArrayLike) -> ArrayLike:
    """Adds the axes of like to an alpha that differs between steps."""
    return arrays.align(jnp.asarray(alpha), like) if np.ndim(alpha) else alpha


def _steps(stream, v_tm1, v_t, r_t, discount_t, rho_tm1, lambda_):
    v_t = stream.bootstrap_values(v_t)
    discount_t, lambda_ = arrays.align(discount_t, r_t), arrays.align(lambda_, r_t)
    return _Steps(v_tm1, v_t, r_t, discount_t, rho_tm1, lambda_)


def _errors(stream, steps, ratios, sample_mask, stop):
    v_tm1, v_t, r_t, discount_t, rho_tm1, lambda_ = steps
    delta = ratios.clipped(rho_tm1, ratios.td_limit) * (r_t + discount_t * v_t - v_tm1)
    trace_ratios = ratios
    if jnp.ndim(ratios.alpha):  # one for each step, which a step of the scan can't use
        rho_tm1, trace_ratios = ratios.clipped(rho_tm1, 1.0), _Ratios(0.0, 1.0)
    inputs = (delta, discount_t, rho_tm1, stream.cut_trace(lambda_, r_t))
    if sample_mask is not None:
        sampled = jnp.broadcast_to(arrays.align(sample_mask, r_t), r_t.shape)
        inputs = (jnp.where(sampled, delta, 0), *inputs[1:], sampled)

    def step(error_next, delta, discount_t, rho_tm1, lambda_, sampled=None):
        follow = discount_t * (lambda_ * trace_ratios.clipped(rho_tm1, 1.0))
        if sampled is not None:
            follow = jnp.where(sampled, follow, 1)
        return delta + follow * error_next

    # Stopping the inputs, not the result, keeps the scan out of differentiation.
    inputs = stop_gradient_if(stop, inputs)
    errors = stream.solve(step, inputs, recurrence.zeros_after(r_t))
    return jax.lax.stop_gradient(errors + v_tm1) - v_tm1 if stop else errors


def _with_advantage(stream, steps, ratios, errors):
    v_tm1, v_t, r_t, discount_t, rho_tm1, lambda_ = steps
    lambda_ = jnp.broadcast_to(lambda_, r_t.shape)[:-1]
    targets_tm1 = errors + v_tm1
    ahead = lambda_ * targets_tm1[1:] + (1 - lambda_) * v_tm1[1:]
    if stream.cut is not None:
        ahead = jnp.where(stream.cut[:-1], v_t[:-1], ahead)
    q_estimate = r_t + discount_t * jnp.concatenate([ahead, v_t[-1:]])
    pg_rho_tm1 = ratios.clipped(rho_tm1, ratios.advantage_limit)
    pg_advantage = pg_rho_tm1 * (q_estimate - v_tm1)
    return VTraceOutput(
        errors, stream.zero_padding(pg_advantage), stream.zero_padding(q_estimate)
    )
