"""Values of many agents together."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from rlax._core.arrays import pick
from rlax._core.contracts import shapes
from rlax._core.types import known_arrays
from rlax._values.next_value import expected_value

Array = jax.Array


@shapes("q_t[M], w_1[M E], b_1[E], w_2[E], b_2[]")
def qmix_value(
    q_t: ArrayLike, w_1: ArrayLike, b_1: ArrayLike, w_2: ArrayLike, b_2: ArrayLike
) -> Array:
    """Mixes the values of agents into one that rises with each of them.

        |w_2| elu(q |w_1| + b_1) + b_2

    Args:
      q_t: The value of each agent's action, `[M]`.
      w_1: Weights of the first layer, of a network that sees the state, `[M, E]`.
      b_1: Its bias, `[E]`.
      w_2: Weights of the second layer, `[E]`.
      b_2: Its bias, `[]`.

    Returns:
      The value of all actions together, `[]`.

    Gradient:
      Reaches all inputs.

    Source: Rashid et al. 2018, QMIX: Monotonic Value Function Factorisation for Deep
    Multi-Agent Reinforcement Learning, arXiv 1803.11485, section 4, equation 5.

    Example:
      >>> print(rlax.qmix_value([1.0, 2.0], [[1.0], [-1.0]], [0.0], [-2.0], 0.5))
      6.5
    """
    q_t, w_1, b_1, w_2, b_2 = known_arrays(q_t, w_1, b_1, w_2, b_2)
    hidden = jax.nn.elu(jnp.sum(q_t[:, None] * jnp.abs(w_1), axis=0) + b_1)
    return jnp.sum(jnp.abs(w_2) * hidden) + b_2


@shapes("q_t[A], a_t:index(A)[], pi_t:probs[A]")
def coma_advantage(q_t: ArrayLike, a_t: ArrayLike, pi_t: ArrayLike) -> Array:
    """Computes how much better one agent's action was than its policy on average.

        q[a] - Σ_b π(b) q[b]

    Args:
      q_t: Values of all of one agent's actions, those of others as they were, `[A]`.
      a_t: Its action, in 0 .. A - 1, `[]`; out of range gives NaN under jit.
      pi_t: Its policy, probabilities, `[A]`.

    Returns:
      The advantage, `[]`.

    Gradient:
      Reaches q_t and pi_t; `policy_gradient_loss` stops it.

    Source: Foerster et al. 2018, Counterfactual Multi-Agent Policy Gradients, arXiv
    1705.08926, equation 4.

    Example:
      >>> print(rlax.coma_advantage([1.0, 3.0], 1, [0.5, 0.5]))
      1.0
    """
    return pick(q_t, a_t) - expected_value(q_t, pi_t)
