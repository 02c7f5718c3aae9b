"""On-policy returns: discounted, n-step, lambda, and generalised advantages."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from rlax._core import arrays, recurrence
from rlax._core.errors import check, whole_number
from rlax._core.gradients import stop_gradient_if
from rlax._core.types import known_arrays
from rlax._returns import streams

Array = jax.Array


LAMBDA_RETURNS = (
    "r_t[T ...], discount_t:unit[T ...]|[T], v_t[T ...], lambda_:unit[]|[T ...]|[T]"
)
N_STEP_RETURNS = LAMBDA_RETURNS.replace("lambda_", "lambda_t")


@streams.stream_op(LAMBDA_RETURNS)
def lambda_returns(
    r_t: ArrayLike,
    discount_t: ArrayLike,
    v_t: ArrayLike,
    lambda_: ArrayLike = 1.0,
    stop_target_gradients: bool = False,
    *,
    mask_t: ArrayLike | None = None,
    truncation_t: ArrayLike | None = None,
    bootstrap_t: ArrayLike | None = None,
    parallel: bool | None = None,
) -> Array:
    """Blends every n-step return of a trajectory, weighting longer ones by lambda.

        G[t] = r[t] + γ[t] ((1 - λ[t]) v[t] + λ[t] G[t+1]),    G[T] = v[T-1]

    Args:
      r_t: Reward for arriving at step t, `[T, ...]`; further axes are batch.
      discount_t: Discount per step, in [0, 1]; 0 ends the episode. `[T, ...]`.
      v_t: Value of the state at step t, `[T, ...]`.
      lambda_: Mixing parameter in [0, 1]: one number, `[T]` or `[T, ...]`.
      stop_target_gradients: Whether to stop the gradient through the returns.
      mask_t: True at valid steps, `[T, ...]` or `[T]`. Default: all.
      truncation_t: True where an episode was cut short: the trace stops there and
        bootstraps. Default: nowhere.
      bootstrap_t: Value to bootstrap with at truncated steps. Default: v_t.
      parallel: Whether to compute all steps at once. Default: by backend and length.

    Returns:
      The return at every step, `[T, ...]`; 0 where mask_t is false.

    Gradient:
      Reaches all inputs, unless stopped.

    Source: Sutton and Barto 2018, Reinforcement Learning, chapter 12.

    Example:
      >>> print(rlax.lambda_returns([1.0, 1.0], [0.5, 0.5], [2.0, 4.0], 1.0))
      [2.5 3. ]
    """
    stream = streams.stream_of(r_t, mask_t, truncation_t, bootstrap_t, parallel)
    return lambda_returns_of(
        stream, r_t, discount_t, v_t, lambda_, stop_target_gradients
    )


def lambda_returns_of(stream, r_t, discount_t, v_t, lambda_, stop):
    """`lambda_returns` of a stream, unchecked."""
    inputs = (r_t, discount_t, stream.bootstrap_values(v_t), lambda_)
    r_t, discount_t, v_t, lambda_ = stop_gradient_if(stop, inputs)
    discount_t, lambda_ = arrays.align(discount_t, r_t), stream.cut_trace(lambda_, r_t)
    return stream.solve(_mix, (r_t, discount_t, v_t, lambda_), recurrence.last_of(v_t))


def _mix(return_next, r_t, discount_t, v_t, lambda_):
    return r_t + discount_t * ((1 - lambda_) * v_t + lambda_ * return_next)


@streams.stream_op("r_t[T ...], discount_t:unit[T ...]|[T], v_t[T ...]|[...]")
def discounted_returns(
    r_t: ArrayLike,
    discount_t: ArrayLike,
    v_t: ArrayLike,
    stop_target_gradients: bool = False,
    *,
    mask_t: ArrayLike | None = None,
    truncation_t: ArrayLike | None = None,
    bootstrap_t: ArrayLike | None = None,
    parallel: bool | None = None,
) -> Array:
    """Sums the discounted rewards to the end of a trajectory, and bootstraps there.

        G[t] = r[t] + γ[t] G[t+1],    G[T] = v[T-1]

    Args:
      r_t: Reward for arriving at step t, `[T, ...]`; further axes are batch.
      discount_t: Discount per step, in [0, 1], `[T, ...]`.
      v_t: Values `[T, ...]`, of which only the last and those at truncated steps are
        used; or only the last, `[...]`.
      stop_target_gradients: Whether to stop the gradient through the returns.
      mask_t: As in `lambda_returns`.
      truncation_t: As in `lambda_returns`.
      bootstrap_t: As in `lambda_returns`.
      parallel: As in `lambda_returns`.

    Returns:
      The return at every step, `[T, ...]`; 0 where mask_t is false.

    Gradient:
      Reaches all inputs, unless stopped.

    Raises:
      ContractError: If v_t is the last value alone, and truncated steps have no
        bootstrap_t.

    Source: Sutton and Barto 2018, Reinforcement Learning, chapter 3.

    Example:
      >>> print(rlax.discounted_returns([1.0, 1.0], [0.5, 0.5], v_t=4.0))
      [2.5 3. ]
    """
    check(
        truncation_t is None
        or bootstrap_t is not None
        or jnp.ndim(v_t) == jnp.ndim(r_t),
        "discounted_returns: v_t must hold a value for every step of r_t "
        f"{list(jnp.shape(r_t))} to bootstrap truncated steps, got the last value "
        f"alone, {list(jnp.shape(v_t))}; pass bootstrap_t for them.",
    )
    stream = streams.stream_of(r_t, mask_t, truncation_t, bootstrap_t, parallel)
    v_t = stream.zero_padding(jnp.broadcast_to(v_t, jnp.shape(r_t)))
    return lambda_returns_of(
        stream, r_t, discount_t, v_t, jnp.asarray(1.0), stop_target_gradients
    )


@streams.stream_op(N_STEP_RETURNS)
def n_step_bootstrapped_returns(
    r_t: ArrayLike,
    discount_t: ArrayLike,
    v_t: ArrayLike,
    n: int,
    lambda_t: ArrayLike = 1.0,
    stop_target_gradients: bool = False,
    *,
    mask_t: ArrayLike | None = None,
    truncation_t: ArrayLike | None = None,
    bootstrap_t: ArrayLike | None = None,
) -> Array:
    """Sums n discounted rewards, or fewer near the end, and bootstraps.

        G[t] = r[t] + γ[t] r[t+1] + ... + γ[t] ... γ[t+n-1] v[t+n-1]

    With `lambda_t` below 1 the shorter returns within the n steps are blended in, as in
    `lambda_returns`. Takes log2 n vectorised passes, not n.

    Args:
      r_t: Reward for arriving at step t, `[T, ...]`; further axes are batch.
      discount_t: Discount per step, in [0, 1], `[T, ...]`.
      v_t: Value of the state at step t, `[T, ...]`.
      n: Number of steps, at least 1; a larger n than T acts as T.
      lambda_t: Mixing parameter in [0, 1]: one number, `[T]` or `[T, ...]`.
      stop_target_gradients: Whether to stop the gradient through the returns.
      mask_t: As in `lambda_returns`.
      truncation_t: As in `lambda_returns`.
      bootstrap_t: As in `lambda_returns`.

    Returns:
      The return at every step, `[T, ...]`; 0 where mask_t is false.

    Gradient:
      Reaches all inputs, unless stopped.

    Raises:
      ContractError: If n isn't a whole number of at least 1.

    Source: Watkins 1989, Learning from Delayed Rewards; Sutton and Barto 2018,
    chapter 7.

    Example:
      >>> r, discount, v = [1.0, 1.0], [0.5, 0.5], [2.0, 4.0]
      >>> print(rlax.n_step_bootstrapped_returns(r, discount, v, n=1))
      [2. 3.]
    """
    n = whole_number("n_step_bootstrapped_returns", "n", n)
    stream = streams.stream_of(r_t, mask_t, truncation_t, bootstrap_t)
    return n_step_returns_of(
        stream, r_t, discount_t, v_t, n, lambda_t, stop_target_gradients
    )


def n_step_returns_of(stream, r_t, discount_t, v_t, n, lambda_t, stop):
    """`n_step_bootstrapped_returns` of a stream, unchecked."""
    if isinstance(r_t.shape[0], int):
        n = max(1, min(n, r_t.shape[0]))
    inputs = (r_t, discount_t, stream.bootstrap_values(v_t), lambda_t)
    r_t, discount_t, v_t, lambda_t = stop_gradient_if(stop, inputs)
    discount_t, lambda_t = (
        arrays.align(discount_t, r_t),
        stream.cut_trace(lambda_t, r_t),
    )
    term = r_t + discount_t * (1 - lambda_t) * v_t
    decay = jnp.broadcast_to(discount_t * lambda_t, r_t.shape)
    term, decay, cut = _n_fold((term, decay, stream.cut), n)  # pyright: ignore
    # Windows that reach past the end bootstrap from the last value.
    last = jnp.broadcast_to(recurrence.last_of(v_t), (n - 1, *v_t.shape[1:]))
    ends = jnp.concatenate([v_t, last])[n - 1 :]
    return stream.zero_padding(term + decay * recurrence.zero_where(cut, ends))


def _n_fold(step, n):
    """The map of n successive steps from every t, by doubling: log2 n compositions."""
    whole, covered, double, width = None, 0, step, 1
    while True:
        if n % 2:
            ahead = _ahead(double, covered)
            whole = ahead if whole is None else recurrence.compose(whole, ahead)
            covered += width
        n //= 2
        if not n:
            return whole
        double = recurrence.compose(double, _ahead(double, width))
        width *= 2


def _ahead(maps, steps):
    """The maps `steps` later, and the identity past the end."""
    term, decay, cut = maps

    def shifted(x, fill):
        # In this order a symbolic length stays the same symbol.
        identity = jnp.full((steps, *x.shape[1:]), fill, x.dtype)
        return jnp.concatenate([x, identity])[steps:]

    return (
        shifted(term, 0),
        shifted(decay, 1),
        None if cut is None else shifted(cut, False),
    )


@streams.stream_op(
    "r_t[T ...], discount_t:unit[T ...]|[T], lambda_:share[]|[T ...]|[T],"
    "values[T+1 ...]"
)
def truncated_generalized_advantage_estimation(
    r_t: ArrayLike,
    discount_t: ArrayLike,
    lambda_: ArrayLike,
    values: ArrayLike,
    stop_target_gradients: bool = False,
    *,
    mask_t: ArrayLike | None = None,
    truncation_t: ArrayLike | None = None,
    bootstrap_t: ArrayLike | None = None,
    parallel: bool | None = None,
) -> Array:
    """Estimates advantages by a decaying sum of TD errors, up to the end of the array.

        A[t] = δ[t] + γ[t] λ[t] A[t+1],    δ[t] = r[t] + γ[t] v[t+1] - v[t]

    Args:
      r_t: Reward for arriving at step t, `[T, ...]`; further axes are batch.
      discount_t: Discount per step, in [0, 1], `[T, ...]`.
      lambda_: Mixing parameter in [0, 1]: one number, `[T]` or `[T, ...]`.
      values: Value of the state before the first step and after every step,
        `[T + 1, ...]`.
      stop_target_gradients: Whether to stop the gradient through the advantages.
      mask_t: As in `lambda_returns`.
      truncation_t: As in `lambda_returns`.
      bootstrap_t: Value of the state in which a truncated step ended, `[T, ...]`.
        Default: values[1:], which is right if the array holds that state.
      parallel: As in `lambda_returns`.

    Returns:
      The advantage at every step, `[T, ...]`; 0 where mask_t is false.

    Gradient:
      Reaches all inputs, unless stopped.

    Source: Schulman et al. 2016, High-Dimensional Continuous Control Using Generalized
    Advantage Estimation, arXiv 1506.02438, equation 11 and 16.

    Example:
      >>> advantages = rlax.truncated_generalized_advantage_estimation
      >>> print(advantages([1.0, 1.0], [0.5, 0.5], 1.0, values=[0.0, 2.0, 4.0]))
      [2.5 1. ]
    """
    stream = streams.stream_of(r_t, mask_t, truncation_t, bootstrap_t, parallel)
    (values,) = known_arrays(values)
    v_tm1, v_t = values[:-1], stream.bootstrap_values(values[1:])
    inputs = (r_t, discount_t, v_t, v_tm1, lambda_)
    inputs = stop_gradient_if(stop_target_gradients, inputs)
    r_t, discount_t, v_t, v_tm1, lambda_ = known_arrays(*inputs)
    discount_t, lambda_ = arrays.align(discount_t, r_t), stream.cut_trace(lambda_, r_t)
    delta = r_t + discount_t * v_t - v_tm1
    trace = jnp.broadcast_to(lambda_, r_t.shape)
    inputs = (delta, discount_t, trace)
    return stream.solve(recurrence.trace_step, inputs, recurrence.zeros_after(delta))
