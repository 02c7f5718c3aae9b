"""`RMSNorm`: normalises each example by its root mean square."""

import jax
import jax.numpy as jnp

from haiku._core import Module, get_parameter
from haiku._layers.cached_tracing import compiled
from haiku._layers.inputs import as_array
from haiku._layers.scale_offset import (
    AxisOrAxes,
    check_axes,
    check_inits,
    param_shape,
    positive_axes,
)
from haiku.initializers import Initializer

__all__ = ["RMSNorm"]


class RMSNorm(Module):
    """Normalises each example by the root mean square over some of its axes.

        y = x * scale / sqrt(mean(x²) + eps)

    Args:
      axis: Axes to average over: an integer, several, or a slice.
      eps: Added to the mean of squares.
      scale_init: Initializer of `scale`. Default: ones.
      name: Name of the module.
      create_scale: Whether to learn a `scale`.
      param_axis: Axes along which `scale` varies. Default: the last.

    Raises:
      ValueError: An axis isn't an integer, or `scale_init` is given with
        ``create_scale=False``.

    Source:
      Zhang and Sennrich, 2019, Root Mean Square Layer Normalization, arXiv:1910.07467.

    Example:
      >>> x = jnp.array([[3.0, 4.0], [30.0, 40.0]])
      >>> y = hk.bind(hk.RMSNorm, axis=-1).init(0, x)(x)
      >>> (y**2).mean(-1).round(3)
      Array([1., 1.], dtype=float32)
    """

    def __init__(
        self,
        axis: AxisOrAxes,
        eps: float = 1e-5,
        scale_init: Initializer | None = None,
        name: str | None = None,
        create_scale: bool = True,
        *,
        param_axis: AxisOrAxes | None = None,
    ):
        super().__init__(name=name)
        check_inits(create_scale, False, scale_init, None)
        self.axis = check_axes(axis)
        self.eps = eps
        self.create_scale = create_scale
        self.scale_init = scale_init or jnp.ones
        self.param_axis = (-1,) if param_axis is None else check_axes(param_axis)

    def __call__(self, inputs: jax.Array) -> jax.Array:
        """Normalises `inputs` and returns an array of the same shape.

        Raises:
          ValueError: `inputs` lacks one of the axes.
        """
        inputs = as_array(inputs)
        where = repr(self.module_name)
        axes = positive_axes(self.axis, len(inputs.shape), where)
        scale = None
        if self.create_scale:
            shape = param_shape(self.param_axis, inputs.shape, where)
            scale = get_parameter("scale", shape, inputs.dtype, init=self.scale_init)
        return _normalise(inputs, scale, self.eps, axes=axes)


@compiled("rms_norm", "axes")
def _normalise(inputs, scale, eps, *, axes):
    mean_of_squares = jnp.mean(jnp.square(inputs), axes, keepdims=True)
    inverse = jax.lax.rsqrt(mean_of_squares + jnp.asarray(eps, mean_of_squares.dtype))
    if scale is not None:
        inputs = inputs * jnp.broadcast_to(scale, inputs.shape)
    return inputs * inverse
