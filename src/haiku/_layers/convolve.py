"""`convolve`: the parameters, mask, bias and batch axis of every convolution."""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from haiku._core import get_parameter
from haiku._layers.inputs import as_array
from haiku.initializers import TruncatedNormal

__all__ = ["check_spatial_dims", "convolve"]


def check_spatial_dims(num_spatial_dims: int) -> None:
    """Raises unless there is a spatial axis."""
    if num_spatial_dims <= 0:
        raise ValueError(
            "A convolution slides over at least one spatial axis, got "
            f"num_spatial_dims={num_spatial_dims}: pass the number of input axes "
            "besides batch and channels, or use hk.Linear if there are none."
        )


def convolve(
    layer: Any,
    inputs: jax.Array,
    w_shape: Callable[[int], tuple[int, ...]],
    slide: Callable[[jax.Array, jax.Array], jax.Array],
    mask: Any = None,
    transposed: bool = False,
) -> jax.Array:
    """Applies a convolution, with or without a batch axis, a mask and a bias.

    Args:
      layer: The module, with `num_spatial_dims`, `channel_index`, `with_bias`,
        `w_init` and `b_init`.
      inputs: ``[B, *space, C]`` or ``[B, C, *space]``, with or without the batch axis.
      w_shape: Maps the number of input channels to the kernel's shape.
      slide: Maps batched inputs and the kernel to the output without bias.
      mask: Array of the kernel's shape that multiplies it.
      transposed: Whether the kernel is ``[*space, out, in]`` instead of
        ``[*space, in, out]``.

    Returns:
      The output, with a batch axis if `inputs` has one.

    Raises:
      ValueError: `inputs` has the wrong rank, or `mask` differs in shape from the
        kernel.
    """
    inputs = as_array(inputs)
    num_spatial_dims, channel_index = layer.num_spatial_dims, layer.channel_index
    missing = num_spatial_dims + 2 - len(inputs.shape)
    if missing not in (0, 1):
        raise ValueError(
            f"Input to {type(layer).__name__} needs to have rank in "
            f"[{num_spatial_dims + 1}, {num_spatial_dims + 2}], but input has shape "
            f"{inputs.shape}. {layer.module_name!r} has num_spatial_dims="
            f"{num_spatial_dims}: pass that many spatial axes, channels, and "
            "optionally a batch axis. hk.BatchApply handles more leading axes."
        )
    if missing:
        inputs = jnp.expand_dims(inputs, 0)
    shape = w_shape(inputs.shape[channel_index])
    if mask is not None and mask.shape != shape:
        raise ValueError(
            f"Mask needs to have the same shape as weights: {layer.module_name!r} got "
            f"a mask of shape {mask.shape} for weights of shape {shape}."
        )

    w_init = layer.w_init
    if w_init is None:
        fan_in = math.prod(shape[:-2]) * shape[-1 if transposed else -2]
        w_init = TruncatedNormal(1.0 / math.sqrt(fan_in) if fan_in else 0.0)
    w = get_parameter("w", shape, inputs.dtype, init=w_init)
    if mask is not None:
        floats = jnp.issubdtype(w.dtype, jnp.inexact)
        w = w * (jnp.asarray(mask, w.dtype) if floats else mask)
    out = slide(inputs, w)
    if layer.with_bias:
        output_channels = out.shape[channel_index]
        ones = () if channel_index == -1 else (1,) * num_spatial_dims
        b_shape = (output_channels, *ones)
        b = get_parameter("b", b_shape, inputs.dtype, init=layer.b_init)
        out = out + jnp.broadcast_to(b, out.shape)
    return jnp.squeeze(out, 0) if missing else out
