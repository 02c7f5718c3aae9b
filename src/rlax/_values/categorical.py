"""Values as categorical distributions over fixed atoms (C51)."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from rlax._core.arrays import pick_along
from rlax._core.contracts import shapes
from rlax._core.gradients import stop_gradient_if
from rlax._core.types import known_arrays
from rlax._learning.losses import categorical_cross_entropy
from rlax._values import next_value

Array = jax.Array


@shapes("z_p[N], probs[N], z_q:rising[K]")
def categorical_l2_project(z_p: ArrayLike, probs: ArrayLike, z_q: ArrayLike) -> Array:
    """Projects a categorical distribution onto other atoms.

    The mass of every atom of z_p goes to the two atoms of z_q that enclose it, by the
    distance to each; mass beyond the ends goes to the end.

    Args:
      z_p: Atoms, `[N]`, in any order.
      probs: Weight of each atom, `[N]`.
      z_q: Atoms to project onto, strictly increasing, `[K]`.

    Returns:
      Weight of each atom of z_q, `[K]`; NaN where z_q does not increase (an error where
      it is a NumPy array).

    Raises:
      ContractError: If z_q is a NumPy array that does not increase.

    Source: Bellemare et al. 2017, A Distributional Perspective on Reinforcement
    Learning, arXiv 1707.06887, equation 7.

    Example:
      >>> print(rlax.categorical_l2_project([0.5, 2.0], [0.4, 0.6], [0.0, 1.0, 2.0]))
      [0.2 0.2 0.6]
    """
    return _project(z_p, probs, z_q)


def _project(z_p: ArrayLike, probs: ArrayLike, z_q: ArrayLike) -> Array:
    z_p, probs, z_q = known_arrays(z_p, probs, z_q)
    if z_q.shape[0] == 1:
        return jnp.sum(probs, keepdims=True) + 0 * (z_q + z_p.sum())
    # Each atom touches only two others: finding them costs less than all pairs.
    gaps = jnp.diff(z_q)
    z_p = jnp.clip(z_p, z_q[0], z_q[-1])
    below = jnp.searchsorted(z_q, z_p, side="right") - 1
    below = jnp.clip(below, 0, gaps.shape[0] - 1)
    share_above = (z_p - z_q[below]) / gaps[below]
    probs = jnp.where(jnp.all(gaps > 0), probs, jnp.nan)
    projected = jnp.zeros(z_q.shape, jnp.result_type(probs, share_above))
    projected = projected.at[below].add(probs * (1 - share_above))
    return projected.at[below + 1].add(probs * share_above)


@shapes(
    "v_atoms_tm1[K], v_logits_tm1[K], r_t[], discount_t:unit[],"
    "v_atoms_t[N], v_logits_t[N]"
)
def categorical_td_learning(
    v_atoms_tm1: ArrayLike,
    v_logits_tm1: ArrayLike,
    r_t: ArrayLike,
    discount_t: ArrayLike,
    v_atoms_t: ArrayLike,
    v_logits_t: ArrayLike,
    stop_target_gradients: bool = True,
) -> Array:
    """Computes the cross entropy of a state value distribution and its TD target.

    The target puts softmax(v_logits_t) on the atoms r + γ v_atoms_t, projected onto
    v_atoms_tm1.

    Args:
      v_atoms_tm1: Atoms of the prediction, strictly increasing, `[K]`.
      v_logits_tm1: Logits of the prediction, `[K]`.
      r_t: Reward for the transition, `[]`.
      discount_t: Discount in [0, 1], `[]`.
      v_atoms_t: Atoms at the destination, `[N]`.
      v_logits_t: Logits at the destination, `[N]`.
      stop_target_gradients: Whether to stop the gradient through the target.

    Returns:
      The loss, `[]`.

    Gradient:
      Reaches v_logits_tm1; the target's inputs too unless stopped.

    Source: Bellemare et al. 2017, arXiv 1707.06887.

    Example:
      >>> atoms, logits = jnp.linspace(-1.0, 1.0, 3), jnp.zeros(3)
      >>> loss = rlax.categorical_td_learning(atoms, logits, 0.5, 0.9, atoms, logits)
      >>> print(loss.round(2))
      1.1
    """
    return _loss(
        v_atoms_tm1,
        v_logits_tm1,
        r_t + discount_t * v_atoms_t,
        jax.nn.softmax(v_logits_t),
        stop_target_gradients,
    )


def _loss(atoms, logits, target_atoms, target_probs, stop):
    inputs = stop_gradient_if(stop, (target_atoms, target_probs, atoms))
    return categorical_cross_entropy(_project(*inputs), logits)


@shapes(
    "q_atoms_tm1[K], q_logits_tm1[A K], a_tm1:index(A)[], r_t[], discount_t:unit[],"
    "q_atoms_t[N], q_logits_t[B N]"
)
def categorical_q_learning(
    q_atoms_tm1: ArrayLike,
    q_logits_tm1: ArrayLike,
    a_tm1: ArrayLike,
    r_t: ArrayLike,
    discount_t: ArrayLike,
    q_atoms_t: ArrayLike,
    q_logits_t: ArrayLike,
    stop_target_gradients: bool = True,
) -> Array:
    """Computes the cross entropy of an action value distribution and its greedy target.

    The action is greedy with respect to the means of q_logits_t.

    Args:
      q_atoms_tm1: Atoms of the prediction, strictly increasing, `[K]`.
      q_logits_tm1: Logits of the prediction for every action, `[A, K]`.
      a_tm1: Action taken, in 0 .. A - 1, `[]`; out of range gives NaN under jit.
      r_t: Reward for the transition, `[]`.
      discount_t: Discount in [0, 1], `[]`.
      q_atoms_t: Atoms at the destination, `[N]`.
      q_logits_t: Logits at the destination for every action, `[A, N]`.
      stop_target_gradients: Whether to stop the gradient through the target.

    Returns:
      The loss, `[]`.

    Gradient:
      Reaches q_logits_tm1; the target's inputs too unless stopped.

    Source: Bellemare et al. 2017, arXiv 1707.06887, algorithm 1.

    Example:
      >>> z = jnp.linspace(-1.0, 1.0, 3)  # action 0 gives 1, action 1 gives -1
      >>> logits = jnp.array([[0.0, 0.0, 9.0], [9.0, 0.0, 0.0]])
      >>> for a in 0, 1:
      ...     loss = rlax.categorical_q_learning(z, logits, a, 0.0, 1.0, z, logits)
      ...     print(loss.round(1))
      0.0
      9.0
    """
    probs_t = jax.nn.softmax(q_logits_t)
    (q_atoms_t,) = known_arrays(q_atoms_t)
    q_t = jnp.sum(probs_t * q_atoms_t[None], axis=-1)
    return _loss(
        q_atoms_tm1,
        pick_along(q_logits_tm1, a_tm1, axis=0),
        r_t + discount_t * q_atoms_t,
        pick_along(probs_t, next_value.greedy_action(q_t), axis=0),
        stop_target_gradients,
    )


@shapes(
    "q_atoms_tm1[K], q_logits_tm1[A K], a_tm1:index(A)[], r_t[], discount_t:unit[],"
    "q_atoms_t[N], q_logits_t[B N], q_t_selector[B]"
)
def categorical_double_q_learning(
    q_atoms_tm1: ArrayLike,
    q_logits_tm1: ArrayLike,
    a_tm1: ArrayLike,
    r_t: ArrayLike,
    discount_t: ArrayLike,
    q_atoms_t: ArrayLike,
    q_logits_t: ArrayLike,
    q_t_selector: ArrayLike,
    stop_target_gradients: bool = True,
) -> Array:
    """Computes `categorical_q_learning` with an action that other values select.

    Args:
      q_atoms_tm1: As in `categorical_q_learning`.
      q_logits_tm1: As in `categorical_q_learning`.
      a_tm1: As in `categorical_q_learning`.
      r_t: As in `categorical_q_learning`.
      discount_t: As in `categorical_q_learning`.
      q_atoms_t: As in `categorical_q_learning`.
      q_logits_t: As in `categorical_q_learning`.
      q_t_selector: Action values that select, `[A]`.
      stop_target_gradients: As in `categorical_q_learning`.

    Returns:
      The loss, `[]`; NaN if q_t_selector contains NaN.

    Gradient:
      Reaches q_logits_tm1; the target's inputs too unless stopped, but never
      q_t_selector.

    Source: Bellemare et al. 2017, arXiv 1707.06887; van Hasselt et al. 2016, arXiv
    1509.06461.

    Example:
      >>> z = jnp.linspace(-1.0, 1.0, 3)  # action 0 gives 1, action 1 gives -1
      >>> logits = jnp.array([[0.0, 0.0, 9.0], [9.0, 0.0, 0.0]])
      >>> for selector in [1.0, 0.0], [0.0, 1.0]:
      ...     step = z, logits, 0, 0.0, 1.0, z, logits, selector
      ...     print(rlax.categorical_double_q_learning(*step).round(1))
      0.0
      9.0
    """
    a_t = next_value.greedy_action(q_t_selector)
    probs_t = jax.nn.softmax(pick_along(q_logits_t, a_t, axis=0))
    return _loss(
        q_atoms_tm1,
        pick_along(q_logits_tm1, a_tm1, axis=0),
        r_t + discount_t * q_atoms_t,
        jnp.where(jnp.isnan(q_t_selector).any(), jnp.nan, probs_t),
        stop_target_gradients,
    )
