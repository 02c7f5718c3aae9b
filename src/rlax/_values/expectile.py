"""Values as sets of expectiles (ER-DQN)."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from rlax._core.arrays import pick_along
from rlax._core.contracts import shapes
from rlax._core.gradients import stop_gradient_if
from rlax._core.types import known_arrays
from rlax._learning.losses import asymmetric_square
from rlax._values.quantile import selected_samples

Array = jax.Array


@shapes(
    "dist_q_tm1[K A], tau_q_tm1:unit[K], a_tm1:index(A)[], r_t[], discount_t:unit[],"
    "dist_q_t_selector[L B], dist_q_t[M B]"
)
def expectile_q_learning(
    dist_q_tm1: ArrayLike,
    tau_q_tm1: ArrayLike,
    a_tm1: ArrayLike,
    r_t: ArrayLike,
    discount_t: ArrayLike,
    dist_q_t_selector: ArrayLike,
    dist_q_t: ArrayLike,
    stop_target_gradients: bool = True,
) -> Array:
    """Computes the expectile regression loss against the selected action's target.

        Σ_k mean_j |τ[k] - 1{δ < 0}| δ²,    δ = r + γ q_t[j, a*] - q_tm1[k, a_tm1]

    with a* = argmax_a mean(dist_q_t_selector[:, a]).

    Args:
      dist_q_tm1: Predicted expectiles for every action, `[K, A]`.
      tau_q_tm1: Their levels in [0, 1], `[K]`.
      a_tm1: Action taken, in 0 .. A - 1, `[]`; out of range gives NaN under jit.
      r_t: Reward for the transition, `[]`.
      discount_t: Discount in [0, 1], `[]`.
      dist_q_t_selector: Samples of the values that select, `[L, A]`; dist_q_t itself,
        or with L = 1 the expectile at level ½, which is the mean.
      dist_q_t: Samples of the values at the destination, `[M, A]`: of a distribution
        that has the target network's expectiles. Expectiles in place of samples make
        the learned distribution ever narrower.
      stop_target_gradients: Whether to stop the gradient through the target.

    Returns:
      The loss, `[]`; NaN if dist_q_t_selector contains NaN.

    Gradient:
      Reaches dist_q_tm1 and tau_q_tm1; the target's inputs too unless stopped.

    Source: Rowland et al. 2019, Statistics and Samples in Distributional Reinforcement
    Learning, arXiv 1902.08102, which also finds such samples (imputation).

    Example:
      >>> q = jnp.array([[0.0, 1.0], [2.0, 3.0]])  # [K, A]
      >>> print(rlax.expectile_q_learning(q, [0.25, 0.75], 0, 1.0, 0.5, q, q))
      1.1875
    """
    v_t = selected_samples(dist_q_t_selector, dist_q_t)
    target = stop_gradient_if(stop_target_gradients, r_t + discount_t * v_t)
    delta = target[None, :] - pick_along(dist_q_tm1, a_tm1, axis=1)[:, None]
    (levels,) = known_arrays(tau_q_tm1)
    return jnp.sum(jnp.mean(asymmetric_square(delta, levels[:, None]), axis=1))
