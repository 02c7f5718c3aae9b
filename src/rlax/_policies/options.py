"""Options that learn when to end (option-critic)."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from rlax._core.arrays import pick
from rlax._core.contracts import shapes
from rlax._core.types import known_arrays

Array = jax.Array


class OptionOutput(NamedTuple):
    """Value and loss of `option_losses`.

    Attributes:
      arrival_value: Value of arriving at a state with an option, `[]`.
      termination_loss: A loss that trains when the option ends, `[]`.

    Example:
      >>> print(rlax.option_losses(0.5, [1.0, 3.0], 0).arrival_value)
      2.0
    """

    arrival_value: Array
    termination_loss: Array


@shapes("beta_t:unit[], q_t[K], o_tm1:index(K)[]")
def option_losses(
    beta_t: ArrayLike, q_t: ArrayLike, o_tm1: ArrayLike, *, cost: float = 0.0
) -> OptionOutput:
    """Computes the value of arriving with an option, and the loss of its termination.

        U = (1 - β) q[o] + β max_k q[k]
        loss = β sg(q[o] - max_k q[k] + cost)

    Args:
      beta_t: β, probability that the option ends in the state, in [0, 1], `[]`.
      q_t: Values of the options there, `[K]`.
      o_tm1: The option that ran, in 0 .. K - 1, `[]`; out of range gives NaN under
        jit.
      cost: What ending costs, so that options last.

    Returns:
      An `OptionOutput`.

    Gradient:
      The value reaches beta_t and q_t, the loss beta_t.

    Source: Bacon et al. 2017, The Option-Critic Architecture, arXiv 1609.05140,
    equation 3 and theorem 2; the cost: Harb et al. 2018, arXiv 1709.04571.

    Example:
      >>> print(rlax.option_losses(0.5, [1.0, 3.0], 0).termination_loss)
      -1.0
    """
    (beta,) = known_arrays(beta_t)
    q_option, q_best = pick(q_t, o_tm1), jnp.max(q_t)
    worse = jax.lax.stop_gradient(q_option - q_best + cost)
    return OptionOutput((1 - beta) * q_option + beta * q_best, beta * worse)
