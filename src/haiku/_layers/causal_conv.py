"""A short causal convolution of each channel, with its last inputs as state."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from haiku._artifacts import in_artifacts
from haiku._core import Module, get_parameter
from haiku.initializers import TruncatedNormal

__all__ = ["CausalConv", "ConvState"]


@in_artifacts
class ConvState(NamedTuple):
    """State of a layer with a convolution before its recurrence.

    Attributes:
      inputs: The last inputs of the convolution, ``[B, conv_size - 1, C]``.
      hidden: The state of the recurrence.
    """

    inputs: jax.Array
    hidden: jax.Array


class CausalConv(Module):
    """Sums each channel's last `size` inputs, weighted.

        y_t = sum_k w_k x_(t - size + 1 + k) + b

    Args:
      size: Number of inputs that an output sees.
      with_bias: Whether to add `b`.
      name: Name of the module.
    """

    def __init__(self, size: int, with_bias: bool, name: str | None = None):
        super().__init__(name=name)
        self.size = size
        self.with_bias = with_bias

    def __call__(
        self, x: jax.Array, before: jax.Array, mask: jax.Array | None
    ) -> tuple[jax.Array, jax.Array]:
        """Convolves `x` after the inputs `before`.

        Args:
          x: ``[B, T, C]``.
          before: Earlier inputs, ``[B, size - 1, C]``.
          mask: True first and False at padded steps, ``[B, T]``.

        Returns:
          ``[B, T, C]``, and the last ``size - 1`` inputs that count.
        """
        size, channels = self.size, x.shape[2]
        init = TruncatedNormal(1 / math.sqrt(size))
        w = get_parameter("w", [size, 1, channels], x.dtype, init=init)
        inputs = jnp.concatenate([before.astype(x.dtype), x], axis=1)
        length = x.shape[1]
        y = inputs[:, :length] * w[:1]
        for k in range(1, size):
            y = y + inputs[:, k : k + length] * w[k : k + 1]
        if self.with_bias:
            b = get_parameter("b", [channels], x.dtype, init=jnp.zeros)
            y = y + b[None, None]
        if mask is None:
            return y, inputs[:, length:].astype(before.dtype)
        count = jnp.sum(mask, axis=1, keepdims=True, dtype=jnp.int32)
        last = count + jnp.arange(size - 1, dtype=jnp.int32)[None]
        after = jnp.take_along_axis(inputs, last[:, :, None], axis=1)
        return y, after.astype(before.dtype)
