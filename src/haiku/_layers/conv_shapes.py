"""Layouts and paddings of convolutions."""

import functools
import re
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from haiku import pad

__all__ = [
    "IntOrSequence",
    "Padding",
    "conv_dimension_numbers",
    "get_channel_index",
    "positive_per_axis",
    "resolve_padding",
]

IntOrSequence = int | Sequence[int]
Padding = (
    str | pad.PadFn | tuple[int, int] | Sequence[tuple[int, int]] | Sequence[pad.PadFn]
)

_PADDINGS = ("SAME", "VALID", "SAME_LOWER")

_CHANNELS_LAST = re.compile(r"channels_last|N[^C]*C|(BT|TB)[^D]*D")
_CHANNELS_FIRST = re.compile(r"channels_first|NC[^C]*")


@functools.lru_cache(maxsize=256)
def get_channel_index(data_format: str) -> int:
    """Returns the index of the channel axis for a data format.

    Args:
      data_format: ``"channels_first"``, ``"channels_last"``, or one letter per axis:
        `N`, with `C` right after it or at the end (``"NCHW"``, ``"NHWC"``), or `B` and
        `T`, with `D` at the end (``"BTD"``).

    Returns:
      1 or -1.

    Raises:
      ValueError: `data_format` is unknown.
      TypeError: `data_format` isn't a string.

    Example:
      >>> hk.get_channel_index("NCHW"), hk.get_channel_index("channels_last")
      (1, -1)
    """
    if not isinstance(data_format, str):
        raise TypeError(
            "data_format must be a string such as 'channels_last' or 'NCHW', got "
            f"{data_format!r}."
        )
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
    """Positions of batch, channels and space in a convolution's inputs and kernel.

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


def resolve_padding(
    padding: Padding, kernel_shape: Sequence[int], rate: Sequence[int]
) -> Any:
    """`padding` in JAX's form: a name, or a pair of numbers per spatial axis.

    Raises:
      ValueError: JAX has no padding of that name.
      TypeError: `padding` is neither a single value nor one value per axis.
    """
    if isinstance(padding, np.ndarray):
        padding = padding.tolist()
    if not isinstance(padding, str):
        return pad.create(padding, kernel_shape, rate, len(kernel_shape))
    if padding.upper() not in _PADDINGS:
        raise ValueError(
            f"Unknown padding {padding!r}: choose one of {_PADDINGS}, a function such "
            "as hk.pad.causal, or pairs of numbers (before, after)."
        )
    return padding


def positive_per_axis(value: Any, n: int, name: str, where: str) -> tuple[int, ...]:
    """`value` for each of `n` spatial axes.

    Raises:
      ValueError: One of them isn't a positive integer. `where` names the module.
      TypeError: `value` is neither a single value nor one value per axis.
    """
    sizes = pad.one_per_axis(value, n, name)
    if not all(isinstance(s, (int, np.integer)) and s > 0 for s in sizes):
        raise ValueError(
            f"{name} of {where} must be a positive integer, or one per spatial axis, "
            f"got {value!r}."
        )
    return tuple(map(int, sizes))
