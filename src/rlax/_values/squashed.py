"""Returns and TD errors of values that a network predicts in a transformed space.

    target = tx(return(r, γ, tx⁻¹(v)))

Sources: Pohlen et al. 2018, Observe and Look Further, arXiv 1805.11593; van
Hasselt et al. 2019, General Non-linear Bellman Equations, arXiv 1907.03687.
"""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable
from typing import Concatenate, ParamSpec

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from rlax._core import arrays
from rlax._core.errors import check_range, whole_number
from rlax._core.masks import zero_masked
from rlax._returns import multistep, off_policy, streams
from rlax._values import next_value
from rlax._values.td_error import td_error
from rlax._values.transforms import IDENTITY_PAIR, TxPair

Array = jax.Array


P = ParamSpec("P")


def _transformed(
    returns: Callable[P, Array], contract: str, name: str, *values: str, example: str
) -> Callable[Concatenate[TxPair, P], Array]:
    """The returns with a TxPair as first argument, and the named values transformed."""
    signature = inspect.signature(returns)
    unchecked = inspect.unwrap(returns)

    def wrapped(tx_pair: TxPair, *args: P.args, **kwargs: P.kwargs) -> Array:
        bound = signature.bind(*args, **kwargs)
        for value in values:
            if bound.arguments.get(value) is not None:
                bound.arguments[value] = tx_pair.apply_inv(bound.arguments[value])
        squashed = tx_pair.apply(unchecked(*bound.args, **bound.kwargs))
        return zero_masked(squashed, bound.arguments.get("mask_t"))

    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    pair = inspect.Parameter("tx_pair", kind, annotation="TxPair")
    shown = signature.replace(parameters=[pair, *signature.parameters.values()])
    wrapped.__signature__ = shown  # type: ignore[attr-defined]
    wrapped.__name__ = wrapped.__qualname__ = name
    explained = "".join(
        f"      {argument}: As in `{returns.__name__}`"
        f"{', transformed' if argument in values else ''}.\n"
        for argument in signature.parameters
    )
    wrapped.__doc__ = f"""Computes `{returns.__name__}` of transformed values.

        tx(G(..., tx⁻¹({values[0]}), ...))

    Args:
      tx_pair: The transform and its inverse.
{explained}
    Returns:
      As `{returns.__name__}`, transformed.

    Gradient:
      As `{returns.__name__}`.

    Source: Pohlen et al. 2018, Observe and Look Further, arXiv 1805.11593.

    Example:
{textwrap.indent(textwrap.dedent(example).strip(), " " * 6)}
    """
    return streams.stream_op(contract)(wrapped)


transformed_lambda_returns = _transformed(
    multistep.lambda_returns,
    multistep.LAMBDA_RETURNS,
    "transformed_lambda_returns",
    "v_t",
    "bootstrap_t",
    example="""
    >>> roots = rlax.TxPair(jnp.sqrt, jnp.square)  # values 4 and 6.25 as 2 and 2.5
    >>> r_t, discount_t, v_t = [0.0, 2.75], [1.0, 1.0], [2.0, 2.5]
    >>> print(rlax.transformed_lambda_returns(roots, r_t, discount_t, v_t, 1.0))
    [3. 3.]
    """,
)
transformed_n_step_returns = _transformed(
    multistep.n_step_bootstrapped_returns,
    multistep.N_STEP_RETURNS,
    "transformed_n_step_returns",
    "v_t",
    "bootstrap_t",
    example="""
    >>> roots = rlax.TxPair(jnp.sqrt, jnp.square)  # values 4 and 6.25 as 2 and 2.5
    >>> r_t, discount_t, v_t = [0.0, 2.75], [1.0, 1.0], [2.0, 2.5]
    >>> print(rlax.transformed_n_step_returns(roots, r_t, discount_t, v_t, n=1))
    [2. 3.]
    """,
)
transformed_general_off_policy_returns_from_action_values = _transformed(
    off_policy.general_off_policy_returns_from_action_values,
    off_policy.FROM_ACTION_VALUES,
    "transformed_general_off_policy_returns_from_action_values",
    "q_t",
    "bootstrap_t",
    example="""
    >>> returns = rlax.transformed_general_off_policy_returns_from_action_values
    >>> roots, pi = rlax.TxPair(jnp.sqrt, jnp.square), jnp.array([[0.0, 1.0]])
    >>> print(returns(roots, [[0.0, 2.5]], [1], [2.75], [1.0], c_t=[1.0], pi_t=pi))
    [3.]
    """,
)


@streams.stream_op(
    "q_tm1[T ... A], a_tm1:index(A)[T ...], r_t[T ...], discount_t:unit[T ...]|[T],"
    "q_t[T ... A], lambda_:unit[]|[T ...]|[T]"
)
def transformed_q_lambda(
    q_tm1: ArrayLike,
    a_tm1: ArrayLike,
    r_t: ArrayLike,
    discount_t: ArrayLike,
    q_t: ArrayLike,
    lambda_: ArrayLike,
    stop_target_gradients: bool = True,
    tx_pair: TxPair = IDENTITY_PAIR,
    *,
    mask_t: ArrayLike | None = None,
    truncation_t: ArrayLike | None = None,
    bootstrap_t: ArrayLike | None = None,
    parallel: bool | None = None,
) -> Array:
    """Computes `q_lambda` errors of transformed values.

    Args:
      q_tm1: Transformed action values before step t, `[T, ..., A]`.
      a_tm1: Action taken there, in 0 .. A - 1, `[T, ...]`; others give NaN under jit.
      r_t: Reward for arriving at step t, `[T, ...]`.
      discount_t: Discount per step, in [0, 1], `[T, ...]`.
      q_t: Transformed action values at step t, `[T, ..., A]`.
      lambda_: Mixing parameter in [0, 1]: one number, `[T]` or `[T, ...]`.
      stop_target_gradients: Whether to stop the gradient through the returns.
      tx_pair: The transform of the values.
      mask_t: As in `td_lambda`.
      truncation_t: As in `td_lambda`.
      bootstrap_t: As in `td_lambda`, transformed.
      parallel: As in `td_lambda`.

    Returns:
      The TD errors, `[T, ...]`, in the transformed space; 0 where mask_t is false.

    Gradient:
      Reaches q_tm1; all inputs unless stopped.

    Source: Pohlen et al. 2018, arXiv 1805.11593; Peng and Williams 1994.

    Example:
      >>> q = jnp.array([[1.0, 2.0], [3.0, 4.0]])
      >>> pair = rlax.SIGNED_HYPERBOLIC_PAIR
      >>> td = rlax.transformed_q_lambda(
      ...     q, [0, 1], [1.0, 1.0], [0.5, 0.5], q, lambda_=0.5, tx_pair=pair
      ... )
      >>> print(np.asarray(td).round(2))
      [ 0.69 -1.26]
    """
    stream = _stream(tx_pair, r_t, mask_t, truncation_t, bootstrap_t, parallel)
    v_t = tx_pair.apply_inv(next_value.greedy_value(q_t))
    returns = multistep.lambda_returns_of(
        stream, r_t, discount_t, v_t, lambda_, stop_target_gradients
    )
    qa_tm1 = arrays.pick(q_tm1, a_tm1)
    return _error(stream, tx_pair, returns, qa_tm1, stop_target_gradients)


@streams.stream_op(
    "q_tm1[T ... A], q_t[T ... A], a_tm1:index(A)[T ...], a_t:index(A)[T ...],"
    "r_t[T ...], discount_t:unit[T ...]|[T], pi_t:probs[T ... A],"
    "mu_t:probs[T ...], lambda_:share[]|[T ...]|[T]"
)
def transformed_retrace(
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
    tx_pair: TxPair = IDENTITY_PAIR,
    *,
    mask_t: ArrayLike | None = None,
    truncation_t: ArrayLike | None = None,
    bootstrap_t: ArrayLike | None = None,
    parallel: bool | None = None,
) -> Array:
    """Computes `retrace` errors of transformed values.

    Args:
      q_tm1: Transformed action values before step t, `[T, ..., A]`.
      q_t: Transformed action values at step t, `[T, ..., A]`.
      a_tm1: As in `retrace`.
      a_t: As in `retrace`.
      r_t: As in `retrace`.
      discount_t: As in `retrace`.
      pi_t: As in `retrace`.
      mu_t: As in `retrace`.
      lambda_: As in `retrace`.
      eps: As in `retrace`.
      stop_target_gradients: As in `retrace`.
      tx_pair: The transform of the values.
      mask_t: As in `td_lambda`.
      truncation_t: As in `td_lambda`.
      bootstrap_t: As in `td_lambda`, transformed.
      parallel: As in `td_lambda`.

    Returns:
      The TD errors, `[T, ...]`, in the transformed space; 0 where mask_t is false.

    Gradient:
      Reaches q_tm1; all inputs unless stopped.

    Raises:
      ContractError: If eps is negative.

    Source: Munos et al. 2016, arXiv 1606.02647.

    Example:
      >>> q, pi = jnp.array([[1.0, 2.0], [3.0, 4.0]]), jnp.full([2, 2], 0.5)
      >>> step = q, q, [0, 1], [1, 0], [1.0, 1.0], [0.5, 0.5], pi, [0.5, 0.5], 1.0
      >>> errors = rlax.transformed_retrace(*step, tx_pair=rlax.SIGNED_LOGP1_PAIR)
      >>> print(np.asarray(errors).round(2))
      [ 1.34 -1.  ]
    """
    check_range("transformed_retrace", "eps", eps, 0, jnp.inf)
    stream = _stream(tx_pair, r_t, mask_t, truncation_t, bootstrap_t, parallel)
    c_t = off_policy.retrace_coefficients(pi_t, mu_t, a_t, lambda_, eps)
    returns = off_policy.returns_from_action_values_of(
        stream,
        tx_pair.apply_inv(q_t),
        a_t,
        r_t,
        discount_t,
        c_t,
        pi_t,
        stop_target_gradients,
    )
    qa_tm1 = arrays.pick(q_tm1, a_tm1)
    return _error(stream, tx_pair, returns, qa_tm1, stop_target_gradients)


@streams.stream_op(
    "q_tm1[T ... A], a_tm1:index(A)[T ...], target_q_t[T ... A], a_t:index(A)[T ...],"
    "r_t[T ...], discount_t:unit[T ...]|[T]"
)
def transformed_n_step_q_learning(
    q_tm1: ArrayLike,
    a_tm1: ArrayLike,
    target_q_t: ArrayLike,
    a_t: ArrayLike,
    r_t: ArrayLike,
    discount_t: ArrayLike,
    n: int,
    stop_target_gradients: bool = True,
    tx_pair: TxPair = IDENTITY_PAIR,
    *,
    mask_t: ArrayLike | None = None,
    truncation_t: ArrayLike | None = None,
    bootstrap_t: ArrayLike | None = None,
) -> Array:
    """Computes n-step TD errors of transformed action values.

        tx(G[t]) - q_tm1[t, a_tm1[t]],    G the n-step return of tx⁻¹(target_q_t[a_t])

    With a_t the greedy action of other values this is double Q-learning.

    Args:
      q_tm1: Transformed action values before step t, `[T, ..., A]`.
      a_tm1: Action taken there, in 0 .. A - 1, `[T, ...]`; others give NaN under jit.
      target_q_t: Transformed action values at step t, `[T, ..., A]`.
      a_t: Action to bootstrap from, in 0 .. A - 1, `[T, ...]`.
      r_t: Reward for arriving at step t, `[T, ...]`.
      discount_t: Discount per step, in [0, 1], `[T, ...]`.
      n: Number of steps, at least 1.
      stop_target_gradients: Whether to stop the gradient through the returns.
      tx_pair: The transform of the values.
      mask_t: As in `td_lambda`.
      truncation_t: As in `td_lambda`.
      bootstrap_t: As in `td_lambda`, transformed.

    Returns:
      The TD errors, `[T, ...]`, in the transformed space; 0 where mask_t is false.

    Gradient:
      Reaches q_tm1; all inputs unless stopped.

    Raises:
      ContractError: If n isn't a whole number of at least 1.

    Source: Kapturowski et al. 2019, Recurrent Experience Replay in Distributed
    Reinforcement Learning (R2D2).

    Example:
      >>> q, pair = jnp.array([[1.0, 2.0], [3.0, 4.0]]), rlax.SIGNED_HYPERBOLIC_PAIR
      >>> step = q, [0, 1], q, [1, 1], [1.0, 1.0], [0.5, 0.5]
      >>> errors = rlax.transformed_n_step_q_learning(*step, n=2, tx_pair=pair)
      >>> print(np.asarray(errors).round(2))
      [ 0.91 -1.26]
    """
    n = whole_number("transformed_n_step_q_learning", "n", n)
    stream = _stream(tx_pair, r_t, mask_t, truncation_t, bootstrap_t)
    v_t = tx_pair.apply_inv(arrays.pick(target_q_t, a_t))
    returns = multistep.n_step_returns_of(
        stream, r_t, discount_t, v_t, n, jnp.asarray(1.0), stop_target_gradients
    )
    qa_tm1 = arrays.pick(q_tm1, a_tm1)
    return _error(stream, tx_pair, returns, qa_tm1, stop_target_gradients)


def _stream(tx_pair, r_t, mask_t, truncation_t, bootstrap_t, parallel=None):
    """The stream, with bootstrap values on the scale of the rewards."""
    if bootstrap_t is not None:
        bootstrap_t = tx_pair.apply_inv(bootstrap_t)
    return streams.stream_of(r_t, mask_t, truncation_t, bootstrap_t, parallel)


def _error(stream, tx_pair, returns, prediction, stop):
    target = stream.zero_padding(tx_pair.apply(returns))
    return td_error(target, prediction, stop)
