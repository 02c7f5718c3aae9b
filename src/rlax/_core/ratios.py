"""Importance ratios from log probabilities."""

import math

import jax
import jax.numpy as jnp

from rlax._core.masks import zero_masked

Array = jax.Array


def log_ratio(log_p: Array, log_q: Array, mask: Array | None = None) -> Array:
    """Subtracts log q from log p; 0 where the mask is false, whatever stands there.

    Args:
      log_p: Log probabilities under one policy, `[...]`.
      log_q: Log probabilities under another, `[...]`.
      mask: True where an element counts. Default: everywhere.

    Returns:
      `[...]`.
    """
    return zero_masked(log_p, mask) - zero_masked(log_q, mask)


def finite_exp(x: Array) -> Array:
    """e^x, capped near the largest number of the dtype, with gradient 0 at the cap.

    An infinite ratio would turn into NaN when it meets an advantage of 0, and so would
    the gradient of a ratio that a clip takes out.
    """
    limits = jnp.finfo(x.dtype)
    return jnp.exp(jnp.minimum(x, math.log(limits.max) * (1 - float(limits.eps))))


def ratio(log_p: Array, log_q: Array, mask: Array | None = None) -> Array:
    """The finite ratio p / q, and 1 where the mask is false. Arguments: `log_ratio`."""
    return finite_exp(log_ratio(log_p, log_q, mask))
