"""`product`: the product of vectors with a matrix, in every layer that has weights."""

import math
from typing import Any

import jax
import jax.numpy as jnp

from haiku._layers.inputs import whole_on_cpu

__all__ = ["product"]


def product(x: jax.Array, w: jax.Array, precision: Any = None) -> jax.Array:
    """Returns ``x w`` for ``x [..., I]`` and ``w [I, O]``, as `jnp.dot` does.

    On a CPU the leading axes become one: from several, XLA's gradient of `w` takes up
    to twice as long. On a mesh they stay, for each may be split over devices.
    """
    leading = x.shape[:-1]
    if len(leading) < 2 or not whole_on_cpu(x, w):
        return jnp.dot(x, w, precision=precision)
    y = jnp.dot(x.reshape(math.prod(leading), x.shape[-1]), w, precision=precision)
    return y.reshape(*leading, w.shape[-1])
