"""One-step TD errors of scalar values; `vmap` them for a batch."""

from __future__ import annotations

import jax
from jax.typing import ArrayLike

from rlax._core.arrays import pick
from rlax._core.contracts import shapes
from rlax._core.errors import check_range
from rlax._values import next_value
from rlax._values.td_error import one_step_error

Array = jax.Array


@shapes("v_tm1[], r_t[], discount_t:unit[], v_t[]")
def td_learning(
    v_tm1: ArrayLike,
    r_t: ArrayLike,
    discount_t: ArrayLike,
    v_t: ArrayLike,
    stop_target_gradients: bool = True,
) -> Array:
    """Computes the TD error of a state value.

        r + γ v_t - v_tm1

    Args:
      v_tm1: Value of the source state, `[]`.
      r_t: Reward for the transition, `[]`.
      discount_t: Discount in [0, 1]; 0 where the destination is terminal, `[]`.
      v_t: Value of the destination, `[]`.
      stop_target_gradients: Whether to stop the gradient through the target.

    Returns:
      The TD error, `[]`.

    Gradient:
      Reaches v_tm1; r_t, discount_t and v_t too unless stopped.

    Source: Sutton 1988, Learning to Predict by the Methods of Temporal Differences.

    Example:
      >>> print(rlax.td_learning(v_tm1=1.0, r_t=0.5, discount_t=0.5, v_t=2.0))
      0.5
    """
    return one_step_error(v_tm1, r_t, discount_t, v_t, stop_target_gradients)


@shapes("q_tm1[A], a_tm1:index(A)[], r_t[], discount_t:unit[], q_t[A], a_t:index(A)[]")
def sarsa(
    q_tm1: ArrayLike,
    a_tm1: ArrayLike,
    r_t: ArrayLike,
    discount_t: ArrayLike,
    q_t: ArrayLike,
    a_t: ArrayLike,
    stop_target_gradients: bool = True,
) -> Array:
    """Computes the TD error of action values against the action taken next.

        r + γ q_t[a_t] - q_tm1[a_tm1]

    Args:
      q_tm1: Action values of the source state, `[A]`.
      a_tm1: Action taken there, in 0 .. A - 1, `[]`; out of range gives NaN under jit.
      r_t: Reward for the transition, `[]`.
      discount_t: Discount in [0, 1], `[]`.
      q_t: Action values of the destination, `[A]`.
      a_t: Action taken there, in 0 .. A - 1, `[]`.
      stop_target_gradients: Whether to stop the gradient through the target.

    Returns:
      The TD error, `[]`.

    Gradient:
      Reaches q_tm1; the target's inputs too unless stopped.

    Source: Rummery and Niranjan 1994, On-line Q-learning Using Connectionist Systems.

    Example:
      >>> print(rlax.sarsa([1.0, 2.0], 0, 1.0, 0.5, [3.0, 4.0], 1))
      2.0
    """
    qa_tm1, qa_t = pick(q_tm1, a_tm1), pick(q_t, a_t)
    return one_step_error(qa_tm1, r_t, discount_t, qa_t, stop_target_gradients)


@shapes(
    "q_tm1[A], a_tm1:index(A)[], r_t[], discount_t:unit[], q_t[A], probs_a_t:probs[A]"
)
def expected_sarsa(
    q_tm1: ArrayLike,
    a_tm1: ArrayLike,
    r_t: ArrayLike,
    discount_t: ArrayLike,
    q_t: ArrayLike,
    probs_a_t: ArrayLike,
    stop_target_gradients: bool = True,
) -> Array:
    """Computes the TD error of action values against a policy's expectation.

        r + γ Σ_a π(a) q_t[a] - q_tm1[a_tm1]

    Args:
      q_tm1: As in `sarsa`.
      a_tm1: As in `sarsa`.
      r_t: As in `sarsa`.
      discount_t: As in `sarsa`.
      q_t: As in `sarsa`.
      probs_a_t: Action probabilities at the destination, `[A]`.
      stop_target_gradients: As in `sarsa`.

    Returns:
      The TD error, `[]`.

    Gradient:
      Reaches q_tm1; the target's inputs too unless stopped.

    Source: van Seijen et al. 2009, A Theoretical and Empirical Analysis of Expected
    Sarsa.

    Example:
      >>> print(rlax.expected_sarsa([1.0, 2.0], 0, 1.0, 0.5, [3.0, 4.0], [0.5, 0.5]))
      1.75
    """
    qa_tm1, v_t = pick(q_tm1, a_tm1), next_value.expected_value(q_t, probs_a_t)
    return one_step_error(qa_tm1, r_t, discount_t, v_t, stop_target_gradients)


@shapes("q_tm1[A], a_tm1:index(A)[], r_t[], discount_t:unit[], q_t[A]")
def q_learning(
    q_tm1: ArrayLike,
    a_tm1: ArrayLike,
    r_t: ArrayLike,
    discount_t: ArrayLike,
    q_t: ArrayLike,
    stop_target_gradients: bool = True,
) -> Array:
    """Computes the TD error of action values against the greedy action.

        r + γ max_a q_t[a] - q_tm1[a_tm1]

    Args:
      q_tm1: As in `sarsa`.
      a_tm1: As in `sarsa`.
      r_t: As in `sarsa`.
      discount_t: As in `sarsa`.
      q_t: As in `sarsa`.
      stop_target_gradients: As in `sarsa`.

    Returns:
      The TD error, `[]`.

    Gradient:
      Reaches q_tm1; the target's inputs too unless stopped.

    Source: Watkins and Dayan 1992, Q-learning.

    Example:
      >>> q = jnp.array([[1.0, 2.0], [3.0, 4.0]])
      >>> a, r, discount = jnp.array([0, 1]), jnp.ones(2), jnp.full(2, 0.5)
      >>> print(jax.vmap(rlax.q_learning)(q, a, r, discount, q))
      [ 1. -1.]
    """
    qa_tm1, v_t = pick(q_tm1, a_tm1), next_value.greedy_value(q_t)
    return one_step_error(qa_tm1, r_t, discount_t, v_t, stop_target_gradients)


@shapes(
    "q_tm1[A], a_tm1:index(A)[], r_t[], discount_t:unit[],q_t_value[A], q_t_selector[A]"
)
def double_q_learning(
    q_tm1: ArrayLike,
    a_tm1: ArrayLike,
    r_t: ArrayLike,
    discount_t: ArrayLike,
    q_t_value: ArrayLike,
    q_t_selector: ArrayLike,
    stop_target_gradients: bool = True,
) -> Array:
    """Computes the TD error against an action that other values select.

        r + γ q_t_value[argmax_a q_t_selector[a]] - q_tm1[a_tm1]

    Args:
      q_tm1: As in `sarsa`.
      a_tm1: As in `sarsa`.
      r_t: As in `sarsa`.
      discount_t: As in `sarsa`.
      q_t_value: Action values that evaluate (the target network's), `[A]`.
      q_t_selector: Action values that select (the online network's), `[A]`.
      stop_target_gradients: As in `sarsa`.

    Returns:
      The TD error, `[]`; NaN if q_t_selector contains NaN.

    Gradient:
      Reaches q_tm1; r_t, discount_t and q_t_value too unless stopped.

    Source: van Hasselt et al. 2016, Deep Reinforcement Learning with Double Q-learning,
    arXiv 1509.06461.

    Example:
      >>> print(rlax.double_q_learning([1.0, 2.0], 0, 1.0, 0.5, [3.0, 4.0], [1.0, 0.0]))
      1.5
    """
    v_t = next_value.selected_value(q_t_value, q_t_selector)
    qa_tm1 = pick(q_tm1, a_tm1)
    return one_step_error(qa_tm1, r_t, discount_t, v_t, stop_target_gradients)


@shapes("q_tm1[A], a_tm1:index(A)[], r_t[], discount_t:unit[], q_t[A]")
def persistent_q_learning(
    q_tm1: ArrayLike,
    a_tm1: ArrayLike,
    r_t: ArrayLike,
    discount_t: ArrayLike,
    q_t: ArrayLike,
    action_gap_scale: float,
    stop_target_gradients: bool = True,
) -> Array:
    """Computes a TD error that widens the action gap by favouring the same action.

        r + γ ((1 - β) max_a q_t[a] + β q_t[a_tm1]) - q_tm1[a_tm1]

    Args:
      q_tm1: As in `sarsa`.
      a_tm1: As in `sarsa`.
      r_t: As in `sarsa`.
      discount_t: As in `sarsa`.
      q_t: As in `sarsa`.
      action_gap_scale: β, the weight of persisting, in [0, 1].
      stop_target_gradients: As in `sarsa`.

    Returns:
      The TD error, `[]`.

    Gradient:
      Reaches q_tm1; the target's inputs too unless stopped.

    Raises:
      ContractError: If action_gap_scale is out of [0, 1].

    Source: Bellemare et al. 2016, Increasing the Action Gap, arXiv 1512.04860.

    Example:
      >>> print(rlax.persistent_q_learning([1.0, 2.0], 0, 1.0, 0.5, [3.0, 4.0], 0.5))
      1.75
    """
    check_range("persistent_q_learning", "action_gap_scale", action_gap_scale, 0, 1)
    greedy = (1 - action_gap_scale) * next_value.greedy_value(q_t)
    v_t = greedy + action_gap_scale * pick(q_t, a_tm1)
    qa_tm1 = pick(q_tm1, a_tm1)
    return one_step_error(qa_tm1, r_t, discount_t, v_t, stop_target_gradients)


@shapes("q_tm1[A], a_tm1:index(A)[], r_t[], discount_t:unit[], v_t[]")
def qv_learning(
    q_tm1: ArrayLike,
    a_tm1: ArrayLike,
    r_t: ArrayLike,
    discount_t: ArrayLike,
    v_t: ArrayLike,
    stop_target_gradients: bool = True,
) -> Array:
    """Computes the TD error of action values against a separate state value.

        r + γ v_t - q_tm1[a_tm1]

    Args:
      q_tm1: As in `sarsa`.
      a_tm1: As in `sarsa`.
      r_t: As in `sarsa`.
      discount_t: As in `sarsa`.
      v_t: Value of the destination, `[]`.
      stop_target_gradients: As in `sarsa`.

    Returns:
      The TD error, `[]`.

    Gradient:
      Reaches q_tm1; the target's inputs too unless stopped.

    Source: Wiering 2005, QV(lambda)-learning.

    Example:
      >>> print(rlax.qv_learning([1.0, 2.0], 0, 1.0, 0.5, 3.0))
      1.5
    """
    qa_tm1 = pick(q_tm1, a_tm1)
    return one_step_error(qa_tm1, r_t, discount_t, v_t, stop_target_gradients)


@shapes("v_tm1[], r_t[], discount_t:unit[], q_t[A]")
def qv_max(
    v_tm1: ArrayLike,
    r_t: ArrayLike,
    discount_t: ArrayLike,
    q_t: ArrayLike,
    stop_target_gradients: bool = True,
) -> Array:
    """Computes the TD error of a state value against the greedy action value.

        r + γ max_a q_t[a] - v_tm1

    Args:
      v_tm1: Value of the source state, `[]`.
      r_t: As in `sarsa`.
      discount_t: As in `sarsa`.
      q_t: As in `sarsa`.
      stop_target_gradients: As in `sarsa`.

    Returns:
      The TD error, `[]`.

    Gradient:
      Reaches v_tm1; the target's inputs too unless stopped.

    Source: Wiering and van Hasselt 2009, The QV Family Compared to Other Reinforcement
    Learning Algorithms.

    Example:
      >>> print(rlax.qv_max(1.0, 1.0, 0.5, [3.0, 4.0]))
      2.0
    """
    v_t = next_value.greedy_value(q_t)
    return one_step_error(v_tm1, r_t, discount_t, v_t, stop_target_gradients)
