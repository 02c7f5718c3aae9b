"""`BatchNorm`: normalises each channel by the mean and variance of the batch."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from haiku._core import Module
from haiku._layers.cached_tracing import compiled
from haiku._layers.conv_shapes import get_channel_index
from haiku._layers.cross_replica import replica_mean
from haiku._layers.moving_average import (
    ExponentialMovingAverage,
    start_average,
    widen_half,
)
from haiku._layers.scale_offset import (
    check_axes,
    check_call_arguments,
    check_inits,
    positive_axes,
    scale_and_offset,
)
from haiku.initializers import Initializer

__all__ = ["BatchNorm"]


class BatchNorm(Module):
    """Normalises each channel by the mean and variance of the batch.

        y = (x - mean) / sqrt(var + eps) * scale + offset

    In training, mean and variance come from the batch, and the submodules `mean_ema`
    and `var_ema` keep moving averages of them as state. Otherwise, the averages are
    used. For half-precision inputs, all four are float32.

    Args:
      create_scale: Whether to learn a `scale` per channel.
      create_offset: Whether to learn an `offset` per channel.
      decay_rate: Decay of the averages, see :class:`ExponentialMovingAverage`.
      eps: Added to the variance.
      scale_init: Initializer of `scale`. Default: ones.
      offset_init: Initializer of `offset`. Default: zeros.
      axis: Axes to average over. Default: all but the channel axis.
      cross_replica_axis: Name of a mapped axis (of pmap, vmap or shard_map) to average
        over as well, or a tuple of names.
      cross_replica_axis_index_groups: Groups of indices along that axis; each group has
        its own mean and variance.
      data_format: Position of the channels, see :func:`get_channel_index`.
      name: Name of the module.

    Raises:
      NameError: At a call, if no surrounding transformation names `cross_replica_axis`.
      ValueError: `axis` or `data_format` is invalid, groups are given without
        `cross_replica_axis`, or an initializer without its parameter.

    Source:
      Ioffe and Szegedy, 2015, Batch Normalization: Accelerating Deep Network Training
      by Reducing Internal Covariate Shift, arXiv:1502.03167.

    Example:
      >>> def f(x, is_training):
      ...     norm = hk.BatchNorm(create_scale=True, create_offset=True, decay_rate=0.9)
      ...     return norm(x, is_training)
      >>> net = hk.transform_with_state(f)
      >>> params, state = net.init(None, jnp.ones([2, 3]), is_training=True)
    """

    def __init__(
        self,
        create_scale: bool,
        create_offset: bool,
        decay_rate: float,
        eps: float = 1e-5,
        scale_init: Initializer | None = None,
        offset_init: Initializer | None = None,
        axis: Sequence[int] | None = None,
        cross_replica_axis: str | Sequence[str] | None = None,
        cross_replica_axis_index_groups: Sequence[Sequence[int]] | None = None,
        data_format: str = "channels_last",
        name: str | None = None,
    ):
        super().__init__(name=name)
        check_inits(create_scale, create_offset, scale_init, offset_init)
        if cross_replica_axis is None and cross_replica_axis_index_groups is not None:
            raise ValueError(
                "`cross_replica_axis` name must be specified if "
                "`cross_replica_axis_index_groups` are used: it is the axis_name of "
                f"the vmap, pmap or shard_map whose indices are grouped in "
                f"{cross_replica_axis_index_groups}."
            )
        self.create_scale = create_scale
        self.create_offset = create_offset
        self.eps = eps
        self.scale_init = scale_init or jnp.ones
        self.offset_init = offset_init or jnp.zeros
        self.axis = axis
        self._axes = None if axis is None else check_axes(axis)
        self.cross_replica_axis = cross_replica_axis
        self.cross_replica_axis_index_groups = cross_replica_axis_index_groups
        self.channel_index = get_channel_index(data_format)
        self.mean_ema = ExponentialMovingAverage(decay_rate, name="mean_ema")
        self.var_ema = ExponentialMovingAverage(decay_rate, name="var_ema")

    def __call__(
        self,
        inputs: jax.Array,
        is_training: bool | jax.Array,
        test_local_stats: bool = False,
        scale: jax.Array | None = None,
        offset: jax.Array | None = None,
    ) -> jax.Array:
        """Normalises `inputs`.

        Args:
          inputs: ``[B, ..., C]`` or ``[B, C, ...]``.
          is_training: Whether to normalise by the batch and update the averages.
          test_local_stats: Whether to normalise by the batch outside training too.
          scale: Factor that broadcasts to `inputs`, for ``create_scale=False``.
          offset: Summand that broadcasts to `inputs`, for ``create_offset=False``.

        Returns:
          An array with the shape of `inputs`.

        Raises:
          ValueError: There are no averages yet (initialise with ``is_training=True``),
            `inputs` lacks one of the axes, or `scale` or `offset` is passed although
            the module has its own, or doesn't broadcast.
        """
        check_call_arguments(self, scale, offset)
        axes = _reduced_axes(self, len(inputs.shape))
        if is_training or test_local_stats:
            mean, variance = _batch_statistics(self, inputs, axes)
        else:
            mean, variance = self.mean_ema.average, self.var_ema.average
        if is_training and 0 in inputs.shape:
            # An empty batch has no mean: create the averages, but don't update them.
            start_average(self.mean_ema, mean)
            start_average(self.var_ema, variance)
        elif is_training:
            self.mean_ema(mean)
            self.var_ema(variance)
        # Axes as the user wrote them: parameters do vary along a negative axis.
        shared = axes if isinstance(self._axes, slice) else self._axes or axes
        shape = [1 if i in shared else n for i, n in enumerate(inputs.shape)]
        scale, offset = scale_and_offset(
            self, inputs, shape, inputs.dtype, scale, offset
        )
        return _normalise(inputs, mean, variance, scale, offset, self.eps)


def _reduced_axes(layer: BatchNorm, rank: int) -> tuple[int, ...]:
    """The axes to average over."""
    where = repr(layer.module_name)
    if layer._axes is not None:
        return positive_axes(layer._axes, rank, where)
    if layer.channel_index == 1 and rank < 2:
        raise ValueError(
            f"{where} needs an input of shape [batch, channels, ...], but its rank is "
            f"{rank}: add the missing axes, x[None] for the batch."
        )
    channel = layer.channel_index % rank if rank else None
    return tuple(axis for axis in range(rank) if axis != channel)


def _batch_statistics(
    layer: BatchNorm, inputs: jax.Array, axes: tuple[int, ...]
) -> tuple[jax.Array, jax.Array]:
    """Mean and variance of the batch, over all replicas if there are any."""
    axis = layer.cross_replica_axis
    if axis is None:
        return _moments(inputs, axes)

    def over_replicas(local):
        return replica_mean(
            local,
            axis,
            layer.cross_replica_axis_index_groups,
            repr(layer.module_name),
        )

    mean = over_replicas(_mean(inputs, axes))
    center = jax.lax.stop_gradient(mean)
    mean_square = over_replicas(_mean_square(inputs, center, axes))
    return mean, _variance(mean, mean_square, center)


@compiled("moments", "axes")
def _moments(inputs, axes):
    mean = _mean(inputs, axes)
    center = jax.lax.stop_gradient(mean)
    return mean, _variance(mean, _mean_square(inputs, center, axes), center)


# The variance is the mean square minus the squared mean. Far from zero the two agree in
# all their digits, so both are taken about a center, where the identity still holds:
# the mean, as a constant. The mean minus the center is zero, but its derivatives
# aren't; with them, the derivatives of the variance are right to any order.


def _mean(inputs, axes):
    return jnp.mean(widen_half(inputs), axes, keepdims=True)


def _mean_square(inputs, center, axes):
    return jnp.mean(jnp.square(widen_half(inputs) - center), axes, keepdims=True)


def _variance(mean, mean_square, center):
    return mean_square - jnp.square(mean - center)


@compiled("batch_norm")
def _normalise(inputs, mean, variance, scale, offset, eps):
    inverse = jax.lax.rsqrt(variance + jnp.asarray(eps, variance.dtype))
    centred = widen_half(inputs) - widen_half(mean)
    if jnp.issubdtype(inputs.dtype, jnp.floating):
        # Float32 statistics must not turn a bfloat16 network into a float32 one.
        centred, inverse = centred.astype(inputs.dtype), inverse.astype(inputs.dtype)
    if scale is not None:
        inverse = scale * inverse
    out = centred * inverse
    return out if offset is None else out + offset
