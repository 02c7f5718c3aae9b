"""Shapes of windows: where the channels are, what is padded, what fits."""

import functools
import re

import jax

from haiku.pad import one_per_axis

__all__ = [
    "adjusted_padding",
    "conv_dimension_numbers",
    "get_channel_index",
    "one_per_axis",
    "transpose_padding",
]

_CHANNELS_LAST = re.compile(r"channels_last|N[^C]*C|(BT|TB)[^D]*D")
_CHANNELS_FIRST = re.compile(r"channels_first|NC[^C]*")


@functools.lru_cache(maxsize=256)
def get_channel_index(data_format: str) -> int:
    """The axis that holds the channels.

    Args:
      data_format: ``"channels_first"``, ``"channels_last"``, or one letter per axis:
        `N` and then, at the front or at the end, `C` (``"NCHW"``, ``"NHWC"``), or
        `B` and `T` with `D` at the end (``"BTD"``).

    Returns:
      1 or -1.

    Raises:
      ValueError: `data_format` is none of these.
    """
    if not isinstance(data_format, str):
        raise TypeError(f"data_format must be a string, got {data_format!r}")
    if _CHANNELS_FIRST.fullmatch(data_format):
        return 1
    if _CHANNELS_LAST.fullmatch(data_format):
        return -1
    raise ValueError(
        f"Unable to extract channel information from '{data_format}'. Valid formats "
        "are channels_first and channels_last, spatial ones such as NCHW and NHWC, and "
        "sequential ones such as BTD and BTHWD."
    )


@functools.lru_cache(maxsize=256)
def conv_dimension_numbers(
    num_spatial_dims: int, channel_index: int, transposed: bool
) -> jax.lax.ConvDimensionNumbers:
    """Where a convolution finds batch, channels and space in inputs and kernel.

    The kernel is ``[*space, in, out]``, or ``[*space, out, in]`` if transposed.
    """
    rank = num_spatial_dims + 2
    if channel_index == 1:
        image = tuple(range(rank))
    else:
        image = (0, rank - 1, *range(1, rank - 1))
    channels = (rank - 2, rank - 1) if transposed else (rank - 1, rank - 2)
    kernel = (*channels, *range(rank - 2))
    return jax.lax.ConvDimensionNumbers(image, kernel, image)


def adjusted_padding(
    input_size: int, output_size: int, kernel_size: int, stride: int, padding: str
) -> tuple[int, int]:
    """Zeros ``(before, after)`` for which a transposed convolution has `output_size`.

    Args:
      input_size: Size of the input along the axis.
      output_size: Wanted size of the output.
      kernel_size: Size of the kernel.
      stride: Stride.
      padding: ``"SAME"`` or ``"VALID"``: which forward convolution is inverted.

    Raises:
      ValueError: The forward convolution does not bring `output_size` to `input_size`,
        or `padding` is neither.
    """
    covered = {"VALID": output_size - kernel_size + 1, "SAME": output_size}
    if padding not in covered:
        raise ValueError(f"`padding` must be 'VALID' or 'SAME'. Passed: {padding}.")
    expected = -(-covered[padding] // stride)
    if input_size != expected:
        raise ValueError(
            "The expected input size with the current set of input parameters is "
            f"{expected} which doesn't match the actual input size {input_size}: a "
            f"{padding} convolution with kernel {kernel_size} and stride {stride} "
            f"brings the output_shape {output_size} to {expected}."
        )
    reach = (input_size - 1) * stride + kernel_size
    before = kernel_size - 1 - max(0, reach - output_size) // 2
    return before, output_size + 2 * (kernel_size - 1) - reach - before


def transpose_padding(
    spatial_shape: tuple[int, ...],
    output_shape: tuple[int, ...],
    kernel_shape: tuple[int, ...],
    stride: tuple[int, ...],
    padding: str,
) -> tuple[tuple[int, int], ...]:
    """`adjusted_padding` along every spatial axis."""
    return tuple(
        adjusted_padding(i, o, k, s, padding)
        for i, o, k, s in zip(spatial_shape, output_shape, kernel_shape, stride)
    )
