"""Successor features, and values of many policies for one task."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from rlax._core.arrays import pick_along
from rlax._core.contracts import shapes
from rlax._core.types import known_arrays
from rlax._values.td_error import td_error

Array = jax.Array


@shapes(
    "psi_tm1[A D], a_tm1:index(A)[], phi_t[D], discount_t:unit[], psi_t[A D],"
    "a_t:index(A)[]"
)
def successor_feature_td_error(
    psi_tm1: ArrayLike,
    a_tm1: ArrayLike,
    phi_t: ArrayLike,
    discount_t: ArrayLike,
    psi_t: ArrayLike,
    a_t: ArrayLike,
    stop_target_gradients: bool = True,
) -> Array:
    """Computes the TD errors of successor features, with features for rewards.

        φ + γ psi_t[a_t] - psi_tm1[a_tm1]

    Args:
      psi_tm1: Successor features of the source state's actions, `[A, D]`.
      a_tm1: Action taken there, in 0 .. A - 1, `[]`; out of range gives NaN under jit.
      phi_t: φ, features of the transition, `[D]`.
      discount_t: Discount in [0, 1], `[]`.
      psi_t: Successor features of the destination's actions, `[A, D]`.
      a_t: Action there, say the greedy one, in 0 .. A - 1, `[]`.
      stop_target_gradients: Whether to stop the gradient through the target.

    Returns:
      The TD error of every feature, `[D]`.

    Gradient:
      Reaches psi_tm1; the target's inputs too unless stopped.

    Source: Barreto et al. 2017, Successor Features for Transfer in Reinforcement
    Learning, arXiv 1606.05312, equation 4.

    Example:
      >>> psi = jnp.array([[1.0, 2.0], [3.0, 4.0]])  # [A, D]
      >>> print(rlax.successor_feature_td_error(psi, 0, [1.0, 1.0], 0.5, psi, 1))
      [1.5 1. ]
    """
    phi_t, discount_t = known_arrays(phi_t, discount_t)
    target = phi_t + discount_t * pick_along(psi_t, a_t, axis=0)
    return td_error(target, pick_along(psi_tm1, a_tm1, axis=0), stop_target_gradients)


@shapes("psi_t[M A D], w[D]")
def gpi_action_values(psi_t: ArrayLike, w: ArrayLike) -> Array:
    """Computes the action values of the best of many policies, for one task.

        max_i ψ[i, a]·w

    Args:
      psi_t: Successor features of M policies, `[M, A, D]`.
      w: The task: rewards are φ·w, `[D]`.

    Returns:
      `[A]`.

    Gradient:
      Reaches psi_t and w.

    Source: Barreto et al. 2017, arXiv 1606.05312, equations 7 and 8.

    Example:
      >>> psi = jnp.array([[[1.0, 0.0]], [[0.0, 1.0]]])  # [M, A, D]
      >>> print(rlax.gpi_action_values(psi, [2.0, 3.0]))
      [3.]
    """
    psi_t, w = known_arrays(psi_t, w)
    return jnp.max(jnp.sum(psi_t * w[None, None], axis=-1), axis=0)
