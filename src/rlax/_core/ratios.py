"""Importance ratios from log probabilities."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from rlax._core.masks import zero_masked
from rlax._core.types import known_arrays

Array = jax.Array


def log_ratio(
    log_p: ArrayLike, log_q: ArrayLike, mask: ArrayLike | None = None
) -> Array:
    """Subtracts log q from log p; 0 where the mask is false, whatever stands there.

    Args:
      log_p: Log probabilities under one policy, `[...]`.
      log_q: Log probabilities under another, `[...]`.
      mask: True where an element counts. Default: everywhere.

    Returns:
      `[...]`.
    """
    return zero_masked(log_p, mask) - zero_masked(log_q, mask)


def finite_exp(x: ArrayLike) -> Array:
    """e^x, capped near the largest number of the dtype, with gradient 0 at the cap.

    An infinite ratio would turn into NaN when it meets an advantage of 0, and so would
    the gradient of a ratio that a clip takes out.
    """
    (x,) = known_arrays(x)
    limit = largest_exponent(x.dtype)
    # The gradient of a minimum would be 0 times infinity.
    return jnp.exp(jnp.where(x > limit, limit, x))


def largest_exponent(dtype: np.dtype) -> float:
    """The largest x whose e^x is finite in a dtype."""
    limits = jnp.finfo(dtype)
    return math.log(limits.max) * (1 - float(limits.eps))


def ratio(log_p: ArrayLike, log_q: ArrayLike, mask: ArrayLike | None = None) -> Array:
    """The finite ratio p / q, and 1 where the mask is false. Arguments: `log_ratio`."""
    return finite_exp(log_ratio(log_p, log_q, mask))
