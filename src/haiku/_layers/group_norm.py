"""`GroupNorm`: normalises each group of channels by its own mean and variance."""

import jax
import jax.numpy as jnp

from haiku._core import Module
from haiku._layers.cached_tracing import compiled
from haiku._layers.conv_shapes import get_channel_index
from haiku._layers.scale_offset import (
    AxisOrAxes,
    check_axes,
    check_call_arguments,
    check_inits,
    positive_axes,
    scale_and_offset,
)
from haiku.initializers import Initializer

__all__ = ["GroupNorm"]


class GroupNorm(Module):
    """Normalises each group of channels by its own mean and variance.

        y = (x - mean) / sqrt(var + eps) * scale + offset

    Each group consists of neighbouring channels.

    Args:
      groups: Number of groups; must divide the number of channels.
      axis: Axes to average over; the channel axis means the channels of one group.
        Default: all but the first.
      create_scale: Whether to learn a `scale` per channel.
      create_offset: Whether to learn an `offset` per channel.
      eps: Added to the variance.
      scale_init: Initializer of `scale`. Default: ones.
      offset_init: Initializer of `offset`. Default: zeros.
      data_format: Position of the channels, see :func:`get_channel_index`.
      name: Name of the module.

    Raises:
      ValueError: `groups` is less than 1, `axis` or `data_format` is invalid, or an
        initializer is given for a parameter that isn't created.

    Source:
      Wu and He, 2018, Group Normalization, arXiv:1803.08494.

    Example:
      >>> x = jax.random.normal(jax.random.key(0), [1, 5, 6])
      >>> y = hk.bind(hk.GroupNorm, 3).init(0, x)(x)
      >>> y.reshape(1, 5, 3, 2).std(axis=(1, 3)).round(3)  # each group of two channels
      Array([[1., 1., 1.]], dtype=float32)
    """

    def __init__(
        self,
        groups: int,
        axis: AxisOrAxes = slice(1, None),
        create_scale: bool = True,
        create_offset: bool = True,
        eps: float = 1e-5,
        scale_init: Initializer | None = None,
        offset_init: Initializer | None = None,
        data_format: str = "channels_last",
        name: str | None = None,
    ):
        super().__init__(name=name)
        check_inits(create_scale, create_offset, scale_init, offset_init)
        if groups < 1:
            raise ValueError(
                f"groups must be at least 1, got {groups}: 1 normalises all channels "
                "together, as many groups as channels normalise each one alone."
            )
        checked = check_axes(axis)
        self.axis = (axis,) if isinstance(axis, int) else axis
        self._axes = checked
        self.groups = groups
        self.eps = eps
        self.data_format = data_format
        self.channel_index = get_channel_index(data_format)
        self.create_scale = create_scale
        self.create_offset = create_offset
        self.rank: int | None = None
        self.group_shape: tuple[int, ...]
        self.first_input_shape: tuple[int, ...]
        self.scale_init = scale_init or jnp.ones
        self.offset_init = offset_init or jnp.zeros

    def __call__(
        self,
        x: jax.Array,
        scale: jax.Array | None = None,
        offset: jax.Array | None = None,
    ) -> jax.Array:
        """Normalises `x`.

        Args:
          x: ``[B, ..., C]`` or ``[B, C, ...]``, with the same rank at every call.
          scale: Factor that broadcasts to `x`, for ``create_scale=False``.
          offset: Summand that broadcasts to `x`, for ``create_offset=False``.

        Returns:
          An array with the shape of `x`.

        Raises:
          ValueError: The number of channels isn't a multiple of `groups`, the rank has
            changed, `x` lacks one of the axes, or `scale` or `offset` is passed
            although the module has its own, or doesn't broadcast.
        """
        check_call_arguments(self, scale, offset)
        if self.rank is None:
            _fix_axes(self, x)
        elif len(x.shape) != self.rank:
            raise ValueError(
                "The rank of the inputs cannot change between calls, the original call "
                f"to {self.module_name!r} was rank={self.rank} but this call was rank="
                f"{len(x.shape)}: build a module for each rank."
            )
        grouped = _split_channels(self, x.shape)
        channels = x.shape[self.channel_index]
        if self.channel_index == -1:
            shape: tuple[int, ...] = (channels,)
        else:
            shape = (channels, *(1,) * (len(x.shape) - 2))
        scale, offset = scale_and_offset(self, x, shape, x.dtype, scale, offset)
        return _normalise(x, scale, offset, self.eps, grouped=grouped, axes=self.axis)


def _split_channels(layer: GroupNorm, shape: tuple[int, ...]) -> tuple[int, ...]:
    """`shape` with the channel axis split into (groups, channels per group)."""
    channels = shape[layer.channel_index]
    if channels % layer.groups:
        raise ValueError(
            "The number of channels must be divisible by the number of groups, was "
            f"channels = {channels}, groups = {layer.groups} in {layer.module_name!r}, "
            f"for an input of shape {shape}."
        )
    split = (layer.groups, channels // layer.groups)
    if layer.channel_index == -1:
        return (*shape[:-1], *split)
    return (shape[0], *split, *shape[2:])


def _fix_axes(layer: GroupNorm, x: jax.Array) -> None:
    """Fixes the axes for inputs with the rank of `x`."""
    rank = len(x.shape)
    where = repr(layer.module_name)
    if rank < 2 and layer.channel_index == 1:
        raise ValueError(
            f"{where} needs an input of shape [batch, channels, ...], got {x.shape}: "
            "add the missing axes, x[None] for the batch."
        )
    axes = positive_axes(layer._axes, rank, where)
    # Splitting the channels shifts the axes after the groups by one.
    last_before = rank - 2 if layer.channel_index == -1 else 0
    layer.axis = tuple(axis + (axis > last_before) for axis in axes)
    layer.group_shape = (-1, *_split_channels(layer, x.shape)[1:])
    layer.first_input_shape = (-1, *x.shape[1:])
    layer.rank = rank


@compiled("group_norm", "grouped", "axes")
def _normalise(x, scale, offset, eps, *, grouped, axes):
    groups = jnp.reshape(x, grouped)
    mean = jnp.mean(groups, axes, keepdims=True)
    variance = jnp.var(groups, axes, keepdims=True)
    inverse = jax.lax.rsqrt(variance + jnp.asarray(eps, variance.dtype))
    out = jnp.reshape((groups - mean) * inverse, x.shape)
    if scale is not None:
        out = out * scale
    return out if offset is None else out + offset
