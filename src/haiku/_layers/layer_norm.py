"""`LayerNorm` and `InstanceNorm`: normalise examples by their own mean and variance."""

import jax
import jax.numpy as jnp

from haiku._core import Module
from haiku._layers.cached_tracing import compiled
from haiku._layers.conv_shapes import get_channel_index
from haiku._layers.inputs import as_array
from haiku._layers.scale_offset import (
    AxisOrAxes,
    check_axes,
    check_call_arguments,
    check_inits,
    param_shape,
    positive_axes,
    scale_and_offset,
)
from haiku.initializers import Initializer

__all__ = ["InstanceNorm", "LayerNorm"]


class LayerNorm(Module):
    """Normalises each example by the mean and variance over some of its axes.

        y = (x - mean(x)) / sqrt(var(x) + eps) * scale + offset

    Args:
      axis: Axes to average over: an integer, several, or a slice. ``-1`` is the
        features.
      create_scale: Whether to learn a `scale`.
      create_offset: Whether to learn an `offset`.
      eps: Added to the variance.
      scale_init: Initializer of `scale`. Default: ones.
      offset_init: Initializer of `offset`. Default: zeros.
      use_fast_variance: Whether to compute the variance as ``mean(x²) - mean(x)²``,
        which is faster, and less exact if the mean is large.
      name: Name of the module.
      param_axis: Axes along which `scale` and `offset` vary. Default: the last.

    Raises:
      ValueError: An axis isn't an integer, or an initializer is given for a parameter
        that isn't created.

    Source:
      Ba et al., 2016, Layer Normalization, arXiv:1607.06450.

    Example:
      >>> def f(x):  # over the features
      ...     return hk.LayerNorm(axis=-1, create_scale=True, create_offset=True)(x)
    """

    def __init__(
        self,
        axis: AxisOrAxes,
        create_scale: bool,
        create_offset: bool,
        eps: float = 1e-5,
        scale_init: Initializer | None = None,
        offset_init: Initializer | None = None,
        use_fast_variance: bool = False,
        name: str | None = None,
        *,
        param_axis: AxisOrAxes | None = None,
    ):
        super().__init__(name=name)
        check_inits(create_scale, create_offset, scale_init, offset_init)
        self.axis = check_axes(axis)
        self.eps = eps
        self.create_scale = create_scale
        self.create_offset = create_offset
        self.scale_init = scale_init or jnp.ones
        self.offset_init = offset_init or jnp.zeros
        self.use_fast_variance = use_fast_variance
        self.param_axis = (-1,) if param_axis is None else check_axes(param_axis)

    def __call__(
        self,
        inputs: jax.Array,
        scale: jax.Array | None = None,
        offset: jax.Array | None = None,
    ) -> jax.Array:
        """Normalises `inputs`.

        Args:
          inputs: An array that has the axes.
          scale: Factor that broadcasts to `inputs`, for ``create_scale=False``.
          offset: Summand that broadcasts to `inputs`, for ``create_offset=False``.

        Returns:
          An array with the shape of `inputs`.

        Raises:
          ValueError: `inputs` lacks one of the axes, or `scale` or `offset` is passed
            although the module has its own, or doesn't broadcast.
        """
        check_call_arguments(self, scale, offset)
        inputs = as_array(inputs)
        axes = positive_axes(self.axis, len(inputs.shape), repr(self.module_name))
        shape = param_shape(self.param_axis, inputs.shape, repr(self.module_name))
        scale, offset = scale_and_offset(
            self, inputs, shape, inputs.dtype, scale, offset
        )
        return _normalise(
            inputs, scale, offset, self.eps, axes=axes, fast=self.use_fast_variance
        )


@compiled("layer_norm", "axes", "fast")
def _normalise(inputs, scale, offset, eps, *, axes, fast):
    mean = jnp.mean(inputs, axes, keepdims=True)
    if fast:
        mean_of_squares = jnp.mean(jnp.square(inputs), axes, keepdims=True)
        variance = mean_of_squares - jnp.square(mean)
    else:
        variance = jnp.var(inputs, axes, keepdims=True)
    inverse = jax.lax.rsqrt(variance + jnp.asarray(eps, variance.dtype))
    if scale is not None:
        inverse = scale * inverse
    out = inverse * (inputs - mean)
    return out if offset is None else out + offset


class InstanceNorm(LayerNorm):
    """Normalises each channel of each example by its mean and variance over space.

        y = (x - mean(x)) / sqrt(var(x) + eps) * scale + offset

    Args:
      create_scale: Whether to learn a `scale` per channel.
      create_offset: Whether to learn an `offset` per channel.
      eps: Added to the variance.
      scale_init: Initializer of `scale`. Default: ones.
      offset_init: Initializer of `offset`. Default: zeros.
      data_format: Position of the channels, see :func:`get_channel_index`.
      name: Name of the module.

    Raises:
      ValueError: `data_format` is unknown, or an initializer is given for a parameter
        that isn't created.

    Source:
      Ulyanov et al., 2016, Instance Normalization: The Missing Ingredient for Fast
      Stylization, arXiv:1607.08022.

    Example:
      >>> x = jnp.arange(12.0).reshape(1, 6, 2)
      >>> y = hk.bind(hk.InstanceNorm, False, False).init(None, x)(x)
      >>> y.mean(axis=1).round(3), y.std(axis=1).round(3)
      (Array([[0., 0.]], dtype=float32), Array([[1., 1.]], dtype=float32))
    """

    def __init__(
        self,
        create_scale: bool,
        create_offset: bool,
        eps: float = 1e-5,
        scale_init: Initializer | None = None,
        offset_init: Initializer | None = None,
        data_format: str = "channels_last",
        name: str | None = None,
    ):
        channel = get_channel_index(data_format)
        super().__init__(
            axis=slice(2, None) if channel == 1 else slice(1, -1),
            create_scale=create_scale,
            create_offset=create_offset,
            eps=eps,
            scale_init=scale_init,
            offset_init=offset_init,
            param_axis=channel,
            name=name,
        )
