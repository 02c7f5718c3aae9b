"""The TD error: target minus prediction, with the target's gradient stopped or not."""

from __future__ import annotations

import jax
from jax.typing import ArrayLike

from rlax._core.gradients import stop_gradient_if
from rlax._core.types import known_arrays


def td_error(target: ArrayLike, prediction: ArrayLike, stop: bool) -> jax.Array:
    """`target - prediction`, with the target's gradient stopped if `stop`."""
    target, prediction = known_arrays(target, prediction)
    return stop_gradient_if(stop, target) - prediction


def one_step_error(
    prediction: ArrayLike,
    r_t: ArrayLike,
    discount_t: ArrayLike,
    v_t: ArrayLike,
    stop: bool,
) -> jax.Array:
    """`r + γ v - prediction`."""
    r_t, discount_t, v_t = known_arrays(r_t, discount_t, v_t)
    return td_error(r_t + discount_t * v_t, prediction, stop)
