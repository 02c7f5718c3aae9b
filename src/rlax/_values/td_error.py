"""The one TD error: a target, through which a gradient may flow, minus a prediction."""

import jax

from rlax._core.gradients import stop_gradient_if
from rlax._returns.streams import Stream


def td_error(target: jax.Array, prediction: jax.Array, stop: bool) -> jax.Array:
    """`target - prediction`; no gradient through the target if `stop`."""
    return stop_gradient_if(stop, target) - prediction


def one_step_error(
    prediction: jax.Array,
    r_t: jax.Array,
    discount_t: jax.Array,
    v_t: jax.Array,
    stop: bool,
) -> jax.Array:
    """`r + γ v - prediction`."""
    return td_error(r_t + discount_t * v_t, prediction, stop)


def sequence_error(
    stream: Stream, returns: jax.Array, prediction: jax.Array, stop: bool
) -> jax.Array:
    """The errors of a stream, whose returns are 0 in the padding; 0 there too."""
    return td_error(returns, stream.zero_padding(prediction), stop)
