"""Munchausen Q-learning: the reward takes in the policy's own log probability."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from rlax._core.arrays import pick
from rlax._core.contracts import shapes
from rlax._core.errors import check_above, check_range
from rlax._core.probabilities import probabilities
from rlax._core.types import known_arrays
from rlax._values.next_value import greedy_value, soft_value
from rlax._values.td_error import one_step_error

Array = jax.Array


def _soft_policy(q: ArrayLike, temperature: float) -> tuple[Array, Array]:
    """softmax(q / τ) and its logarithm, exact to the last digits of q."""
    (q,) = known_arrays(q)
    return probabilities((q - jax.lax.stop_gradient(greedy_value(q))) / temperature)


@shapes("q_tm1[A], a_tm1:index(A)[], r_t[], discount_t:unit[], q_t[A], q_target_tm1[A]")
def munchausen_q_learning(
    q_tm1: ArrayLike,
    a_tm1: ArrayLike,
    r_t: ArrayLike,
    discount_t: ArrayLike,
    q_t: ArrayLike,
    q_target_tm1: ArrayLike,
    temperature: float = 0.03,
    munchausen: float = 0.9,
    *,
    log_clip: float = -1.0,
    stop_target_gradients: bool = True,
) -> Array:
    """Computes the TD error of soft Q-learning with the policy's bonus.

        r + m clip(τ log μ(a_tm1), c, 0) + γ Σ_a π(a) (q_t[a] - τ log π(a))
        - q_tm1[a_tm1]

    with μ = softmax(q_target_tm1 / τ) and π = softmax(q_t / τ).

    Args:
      q_tm1: Action values of the source state, `[A]`.
      a_tm1: Action taken there, in 0 .. A - 1, `[]`; out of range gives NaN under jit.
      r_t: Reward for the transition, `[]`.
      discount_t: Discount in [0, 1], `[]`.
      q_t: Action values of the destination, of the target network, `[A]`.
      q_target_tm1: Action values of the source state, of the target network, `[A]`.
      temperature: τ, above 0.
      munchausen: m, weight of the bonus, not negative; 0 is soft Q-learning.
      log_clip: c, the lowest bonus: it clips τ log μ, not above 0.
      stop_target_gradients: Whether to stop the gradient through the target.

    Returns:
      The TD error, `[]`.

    Gradient:
      Reaches q_tm1; the target's inputs too unless stopped.

    Raises:
      ContractError: If temperature, munchausen or log_clip is out of range.

    Source: Vieillard et al. 2020, Munchausen Reinforcement Learning, arXiv 2007.14430,
    equation 1; appendix B.1 for the stable logarithm.

    Example:
      >>> q = jnp.array([0.0, 0.0])
      >>> print(rlax.munchausen_q_learning(q, 0, 1.0, 0.0, q, q, 1.0, 1.0).round(2))
      0.31
    """
    op = "munchausen_q_learning"
    check_above(op, "temperature", temperature)
    check_range(op, "munchausen", munchausen, 0, jnp.inf)
    check_range(op, "log_clip", log_clip, -jnp.inf, 0)
    q_t, r_t = known_arrays(q_t, r_t)
    _, log_pi_tm1 = _soft_policy(q_target_tm1, temperature)
    bonus = jnp.clip(temperature * pick(log_pi_tm1, a_tm1), log_clip, 0)
    policy = _soft_policy(q_t, temperature)
    v_t = soft_value(*policy, jnp.where(jnp.isneginf(q_t), 0, q_t), temperature)
    return one_step_error(
        pick(q_tm1, a_tm1),
        r_t + munchausen * bonus,
        discount_t,
        v_t,
        stop_target_gradients,
    )
