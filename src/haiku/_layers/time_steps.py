"""Initial time steps of state space models, log-uniform in a range."""

import math

import jax
import jax.numpy as jnp

from haiku.initializers import RandomUniform

__all__ = ["initial_log_time_step", "initial_time_step_bias"]


def initial_log_time_step(smallest: float, largest: float):
    """Initializer of log time steps, uniform between the logs of the bounds."""
    return RandomUniform(math.log(smallest), math.log(largest))


def initial_time_step_bias(smallest: float, largest: float, floor: float):
    """Initializer of biases whose softplus is log-uniform, and at least `floor`."""

    def init(shape, dtype) -> jax.Array:
        log = initial_log_time_step(smallest, largest)(shape, jnp.float32)
        time_step = jnp.maximum(jnp.exp(log), floor)
        # The inverse of softplus; without it, small steps would cancel.
        return (time_step + jnp.log(-jnp.expm1(-time_step))).astype(dtype)

    return init
