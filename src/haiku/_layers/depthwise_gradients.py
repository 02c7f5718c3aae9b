"""Depthwise convolutions of images whose kernels' gradients are quick on a CPU."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

__all__ = ["depthwise_conv", "explicit_padding"]


@functools.partial(jax.custom_jvp, nondiff_argnums=(2, 3, 4))
def depthwise_conv(
    x: jax.Array,
    w: jax.Array,
    stride: tuple[int, int],
    padding: tuple[tuple[int, int], ...],
    rate: tuple[int, int],
) -> jax.Array:
    """Convolves each channel of `x` with its kernel; gradients are sums and products.

    On a CPU, XLA has no quick convolution for a kernel's gradient: inside a loop, as in
    a stack of layers, it takes some fifty times as long as these.

    Args:
      x: ``[B, H, W, C]``.
      w: ``[height, width, 1, C]``.
      stride: Step of the kernel along each axis.
      padding: Zeros before and after each axis.
      rate: Distance between the inputs that the kernel reads, along each axis.
    """
    return _convolution(x, w, stride, padding, rate)


@depthwise_conv.defjvp
def _derivative(stride, padding, rate, primals, tangents):
    (x, w), (dx, dw) = primals, tangents
    options = stride, padding, rate
    return _sum_of_shifts(x, w, *options), (
        _convolution(dx, w, *options) + _product_with_bands(x, dw, *options)
    )


def _convolution(x, w, stride, padding, rate):
    return jax.lax.conv_general_dilated(
        x,
        w,
        stride,
        padding,
        rhs_dilation=rate,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=x.shape[-1],
    )


def explicit_padding(layer: Any, x: jax.Array) -> tuple[tuple[int, int], ...] | None:
    """The padding of a layer's convolution, if `depthwise_conv` is the quicker one.

    That is on a CPU, for floats, where an image isn't so wide that a band of the
    kernel's width would be mostly zeros, and its size is known.
    """
    ordinary = layer.channel_multiplier == 1 and layer.channel_index == -1
    if layer.num_spatial_dims != 2 or not ordinary:
        return None
    if not jnp.issubdtype(x.dtype, jnp.floating) or jax.default_backend() != "cpu":
        return None
    if not all(isinstance(n, int) for n in x.shape[1:3]):  # symbols, in an export
        return None
    pairs = zip(layer.kernel_shape, layer.rhs_dilation)
    spans = [(size - 1) * rate + 1 for size, rate in pairs]
    padding = layer.padding
    if isinstance(padding, str):
        padding = jax.lax.padtype_to_pads(x.shape[1:3], spans, layer.stride, padding)
    padded = [n + sum(pair) for n, pair in zip(x.shape[1:3], padding)]
    fits = all(n >= span for n, span in zip(padded, spans))
    if not fits or padded[1] > 16 * layer.kernel_shape[1]:
        return None
    return tuple((int(before), int(after)) for before, after in padding)


def _rows_from(x, i, height, stride, rate):
    """The padded rows that row `i` of the kernel reads, one for each of the output."""
    number = (x.shape[1] - (height - 1) * rate[0] - 1) // stride[0] + 1
    start = i * rate[0]
    return x[:, start : start + (number - 1) * stride[0] + 1 : stride[0]]


def _padded(x, padding):
    """`x` with zeros around, in single precision at least."""
    wide = jnp.promote_types(x.dtype, jnp.float32)
    zero = jnp.zeros([], wide)
    edges = [(0, 0, 0), *((*pair, 0) for pair in padding), (0, 0, 0)]
    return jax.lax.pad(x.astype(wide), zero, edges)


def _sum_of_shifts(x, w, stride, padding, rate):
    """The convolution, one product for each place of the kernel."""
    height, width = w.shape[:2]
    padded, y = _padded(x, padding), 0
    columns = (padded.shape[2] - (width - 1) * rate[1] - 1) // stride[1] + 1
    for i in range(height):
        rows = _rows_from(padded, i, height, stride, rate)
        for j in range(width):
            stop = j * rate[1] + (columns - 1) * stride[1] + 1
            shifted = rows[:, :, j * rate[1] : stop : stride[1]]
            y = y + shifted * w[i : i + 1, j : j + 1]
    return jnp.asarray(y, jnp.result_type(x, w))


def _product_with_bands(x, w, stride, padding, rate):
    """The convolution, as products of its rows with matrices that have `w` on bands.

    Its transpose is quick: products again, and sums over the bands.
    """
    height, width = w.shape[:2]
    padded = _padded(x, padding)
    columns = (padded.shape[2] - (width - 1) * rate[1] - 1) // stride[1] + 1
    bands = np.zeros([width, padded.shape[2], columns], padded.dtype)
    for j in range(width):
        bands[j, j * rate[1] + stride[1] * np.arange(columns), np.arange(columns)] = 1
    matrices = jnp.einsum("ijc,juv->iuvc", w[:, :, 0].astype(padded.dtype), bands)
    y = sum(
        jnp.einsum(
            "bhuc,uvc->bhvc", _rows_from(padded, i, height, stride, rate), matrix
        )
        for i, matrix in enumerate(matrices)
    )
    return jnp.asarray(y, jnp.result_type(x, w))
