"""The one TD error: a target, through which a gradient may flow, minus a prediction."""

import jax

from rlax._core.gradients import stop_gradient_if


def td_error(target: jax.Array, prediction: jax.Array, stop: bool) -> jax.Array:
    """`target - prediction`; no gradient through the target if `stop`."""
    return stop_gradient_if(stop, target) - prediction


def one_step(r_t: jax.Array, discount_t: jax.Array, v_t: jax.Array) -> jax.Array:
    """The one-step target `r + γ v`."""
    return r_t + discount_t * v_t
