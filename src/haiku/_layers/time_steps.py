"""Initial time steps of state space models, log-uniform in a range."""

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp

from haiku.initializers import RandomUniform

__all__ = ["LogTimeStep", "TimeStepBias"]


@dataclasses.dataclass(frozen=True)
class LogTimeStep:
    """Initializer of log time steps, uniform between the logs of the bounds."""

    smallest: float
    largest: float

    def __call__(self, shape: Any, dtype: Any) -> jax.Array:
        bounds = math.log(self.smallest), math.log(self.largest)
        return RandomUniform(*bounds)(shape, jnp.float32).astype(dtype)


@dataclasses.dataclass(frozen=True)
class TimeStepBias:
    """Initializer of biases whose softplus is log-uniform, and at least `floor`."""

    smallest: float
    largest: float
    floor: float

    def __call__(self, shape: Any, dtype: Any) -> jax.Array:
        log = LogTimeStep(self.smallest, self.largest)(shape, jnp.float32)
        time_step = jnp.maximum(jnp.exp(log), self.floor)
        # The inverse of softplus, written so that small steps keep their digits.
        return (time_step + jnp.log(-jnp.expm1(-time_step))).astype(dtype)
