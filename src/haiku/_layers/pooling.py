"""Pooling: the maximum or the mean of each window."""

import functools
import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from haiku._core import Module
from haiku._layers.inputs import as_array

__all__ = ["AvgPool", "MaxPool", "avg_pool", "max_pool"]

IntOrSequence = int | Sequence[int]


def max_pool(
    value: jax.Array,
    window_shape: IntOrSequence,
    strides: IntOrSequence,
    padding: str,
    channel_axis: int | None = -1,
) -> jax.Array:
    """Takes the maximum of each window.

    Args:
      value: ``[B, *space, C]``; without `B` if sizes are given per axis.
      window_shape: Size of the window: one number for all spatial axes, or one per axis
        of `value`. A shorter sequence applies to the last axes.
      strides: Step of the window, in the same form.
      padding: ``"SAME"`` or ``"VALID"``.
      channel_axis: The axis that a single number doesn't pool, besides the first. None
        means the first only.

    Returns:
      An array with the rank of `value`.

    Raises:
      ValueError: `padding` or `channel_axis` is unknown, or there are more sizes than
        axes.

    Example:
      >>> images = jnp.ones([8, 6, 6, 3])
      >>> hk.max_pool(images, window_shape=2, strides=2, padding="SAME").shape
      (8, 3, 3, 3)
    """
    value = as_array(value)
    window, steps = _windows(value, window_shape, strides, padding, channel_axis)
    if jnp.issubdtype(value.dtype, jnp.integer):
        lowest = np.asarray(jnp.iinfo(value.dtype).min, value.dtype)
    else:
        lowest = np.asarray(-np.inf, value.dtype)
    return jax.lax.reduce_window(value, lowest, jax.lax.max, window, steps, padding)


def avg_pool(
    value: jax.Array,
    window_shape: IntOrSequence,
    strides: IntOrSequence,
    padding: str,
    channel_axis: int | None = -1,
) -> jax.Array:
    """Averages each window; padding doesn't count.

    Args:
      value: See :func:`max_pool`.
      window_shape: See :func:`max_pool`.
      strides: See :func:`max_pool`.
      padding: See :func:`max_pool`.
      channel_axis: See :func:`max_pool`.

    Returns:
      An array of floats with the rank of `value`.

    Raises:
      ValueError: See :func:`max_pool`.

    Example:
      >>> x = jnp.arange(5.0).reshape(1, 5, 1)
      >>> hk.avg_pool(x, window_shape=3, strides=1, padding="SAME").ravel()
      Array([0.5, 1. , 2. , 3. , 3.5], dtype=float32)
    """
    value = as_array(value)
    window, steps = _windows(value, window_shape, strides, padding, channel_axis)
    total = functools.partial(
        jax.lax.reduce_window,
        init_value=np.zeros((), value.dtype),
        computation=jax.lax.add,
        window_dimensions=window,
        window_strides=steps,
        padding=padding,
    )
    if padding == "VALID":
        return total(value) / math.prod(window)
    # Axes whose window is 1 aren't padded: one count serves the whole axis.
    places = [n if size != 1 else 1 for n, size in zip(value.shape, window)]
    return total(value) / total(jnp.ones(places, value.dtype))


def _windows(
    value: Any,
    window_shape: IntOrSequence,
    strides: IntOrSequence,
    padding: str,
    channel_axis: int | None,
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Window and strides along each axis of `value`."""
    if padding not in ("SAME", "VALID"):
        raise ValueError(
            f"Invalid padding {padding!r}, must be 'SAME' or 'VALID'. For any other, "
            "call jnp.pad on the input and pool with 'VALID'."
        )
    window = _per_axis("window_shape", value, window_shape, channel_axis)
    return window, _per_axis("strides", value, strides, channel_axis)


def _per_axis(
    name: str, value: Any, size: IntOrSequence, channel_axis: int | None
) -> tuple[int, ...]:
    """`size` along each axis of `value`."""
    rank = len(value.shape)
    if isinstance(size, (Sequence, np.ndarray)):
        if len(size) > rank:
            raise ValueError(
                f"{name} {tuple(size)} has more sizes than the input of shape "
                f"{value.shape} has axes: give at most {rank}, or a single number for "
                "the spatial axes."
            )
        return (1,) * (rank - len(size)) + tuple(size)
    # The first axis is the batch, which a single number never pools.
    if channel_axis is not None and abs(channel_axis) >= rank:
        raise ValueError(
            f"Invalid channel axis {channel_axis} for {value.shape}: it must be one of "
            f"the {rank} axes, or None if there are no channels."
        )
    untouched = {0}
    if channel_axis is not None:
        untouched.add(channel_axis % rank)
    return tuple(1 if axis in untouched else size for axis in range(rank))


class _Pool(Module):
    """Stores the arguments of a pooling function."""

    def __init__(
        self,
        window_shape: IntOrSequence,
        strides: IntOrSequence,
        padding: str,
        channel_axis: int | None = -1,
        name: str | None = None,
    ):
        super().__init__(name=name)
        self.window_shape = window_shape
        self.strides = strides
        self.padding = padding
        self.channel_axis = channel_axis


class MaxPool(_Pool):
    """Takes the maximum of each window: :func:`max_pool` as a module.

    Example:
      >>> x = jnp.arange(8.0).reshape(1, 2, 4, 1)
      >>> pool = hk.bind(hk.MaxPool, 2, strides=2, padding="VALID").init(None, x)
      >>> pool(x).ravel()
      Array([5., 7.], dtype=float32)
    """

    def __call__(self, value: jax.Array) -> jax.Array:
        """See :func:`max_pool`."""
        return max_pool(
            value, self.window_shape, self.strides, self.padding, self.channel_axis
        )


class AvgPool(_Pool):
    """Averages each window: :func:`avg_pool` as a module.

    Example:
      >>> x = jnp.arange(8.0).reshape(1, 2, 4, 1)
      >>> pool = hk.bind(hk.AvgPool, 2, strides=2, padding="VALID").init(None, x)
      >>> pool(x).ravel()
      Array([2.5, 4.5], dtype=float32)
    """

    def __call__(self, value: jax.Array) -> jax.Array:
        """See :func:`avg_pool`."""
        return avg_pool(
            value, self.window_shape, self.strides, self.padding, self.channel_axis
        )
