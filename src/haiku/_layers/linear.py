"""Affine layers: `Linear` and `Bias`."""

import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from haiku._core import Module, get_parameter
from haiku._layers.cached_tracing import compiled
from haiku._layers.loop_weight_gradients import Factors, is_collected, sum_of_products
from haiku._layers.product import product
from haiku.initializers import Initializer, TruncatedNormal

__all__ = ["Bias", "Linear"]


class Linear(Module):
    """Multiplies the last axis by a weight matrix and adds a bias.

        y = x w + b

    Args:
      output_size: Size of the last axis of the output.
      with_bias: Whether to add `b`.
      w_init: Initializer of `w`, shape ``[input size, output_size]``. Default: a
        truncated normal with standard deviation ``1 / sqrt(input size)``.
      b_init: Initializer of `b`, shape ``[output_size]``. Default: zeros.
      name: Name of the module.

    Example:
      >>> net = hk.transform(lambda x: hk.Linear(3)(x))
      >>> params = net.init(jax.random.key(0), jnp.ones([8, 5]))
      >>> jax.tree.map(jnp.shape, params)
      {'linear': {'b': (3,), 'w': (5, 3)}}
      >>> net.apply(params, None, jnp.ones([8, 5])).shape
      (8, 3)
    """

    def __init__(
        self,
        output_size: int,
        with_bias: bool = True,
        w_init: Initializer | None = None,
        b_init: Initializer | None = None,
        name: str | None = None,
    ):
        super().__init__(name=name)
        self.input_size: int | None = None
        self.output_size = output_size
        self.with_bias = with_bias
        self.w_init = w_init
        self.b_init = b_init or jnp.zeros

    def __call__(
        self,
        inputs: jax.Array,
        *,
        precision: jax.lax.PrecisionLike = None,
    ) -> jax.Array:
        """Returns ``inputs @ w + b``.

        Args:
          inputs: ``[..., input size]``, of a float dtype.
          precision: Precision of the multiplication, as in ``jax.numpy.dot``.

        Returns:
          ``[..., output_size]``.

        Raises:
          ValueError: `inputs` is a scalar.
        """
        shape = inputs.shape
        if not shape:
            raise ValueError(
                f"Input must not be scalar. {self.module_name!r} is an hk.Linear and "
                "needs an array of shape [..., features]."
            )
        input_size = self.input_size = shape[-1]
        output_size = self.output_size
        dtype = inputs.dtype

        w_init = self.w_init
        if w_init is None:
            w_init = TruncatedNormal(1.0 / math.sqrt(input_size) if input_size else 0.0)
        w = get_parameter("w", [input_size, output_size], dtype, init=w_init)
        if not self.with_bias:
            return sum_of_products(Factors(inputs, w, precision=precision))
        b = get_parameter("b", [output_size], dtype, init=self.b_init)
        if is_collected(w):
            y = sum_of_products(Factors(inputs, w, precision=precision))
            return y + jnp.broadcast_to(b, y.shape)
        return _affine(inputs, w, b, precision=precision)


@compiled("affine", "precision")
def _affine(x, w, b, *, precision):
    y = product(x, w, precision)
    return y + jnp.broadcast_to(b, y.shape)


class Bias(Module):
    """Adds a learned bias that varies along `bias_dims`.

    For inputs ``[B, H, W, C]``:

    =============== ===================================== ==============
    `bias_dims`     one bias per                          shape of `b`
    =============== ===================================== ==============
    ``None``        element of an example                 ``[H, W, C]``
    ``()``          layer                                 ``[]``
    ``[-1]``        channel                               ``[C]``
    ``[-2, -3]``    pixel                                 ``[H, W, 1]``
    =============== ===================================== ==============

    Args:
      output_size: Shape of an example to check inputs against: ``(H, W, C)``.
      bias_dims: Axes of the input along which the bias varies. The batch axis counts as
        0 and can't be one of them.
      b_init: Initializer of `b`. Default: zeros.
      name: Name of the module.

    Example:
      >>> def f(x):  # subtracts a learned value per channel
      ...     return hk.Bias(bias_dims=[-1])(x, multiplier=-1)
    """

    def __init__(
        self,
        output_size: Sequence[int] | None = None,
        bias_dims: Sequence[int] | None = None,
        b_init: Initializer | None = None,
        name: str | None = None,
    ):
        super().__init__(name=name)
        self.output_size = output_size
        self.bias_dims = bias_dims
        self.b_init = b_init or jnp.zeros
        self.bias_shape: tuple[int, ...] | None = None

    def __call__(
        self,
        inputs: jax.Array,
        multiplier: float | jax.Array | None = None,
    ) -> jax.Array:
        """Adds the bias to every example of a batch.

        Args:
          inputs: ``[B, ...]``.
          multiplier: Factor of the bias, a scalar or an array that broadcasts to
            `inputs`: -1 subtracts it.

        Returns:
          An array with the shape of `inputs`.

        Raises:
          ValueError: `inputs` has only one axis, differs from `output_size`, or lacks
            one of `bias_dims`.
        """
        if len(inputs.shape) < 2:
            raise ValueError(
                f"Input must have rank >= 2, [batch, ...]: {self.module_name!r} got "
                f"shape {inputs.shape}. Add the batch axis with x[None]."
            )
        self.input_size = inputs.shape[1:]
        output_size = self.output_size
        if output_size is not None and tuple(_sizes(output_size)) != self.input_size:
            expected = (-1, *_sizes(output_size))
            raise ValueError(
                f"Input shape must be {expected} in {self.module_name!r}, got "
                f"{inputs.shape}: output_size is the shape without the batch axis."
            )
        self.bias_shape = _bias_shape(inputs.shape, self.bias_dims)
        b = get_parameter("b", self.bias_shape, inputs.dtype, init=self.b_init)
        b = jnp.broadcast_to(b, inputs.shape)
        if multiplier is not None:
            b = b * multiplier
        return inputs + b


def _sizes(output_size: Any) -> tuple[int, ...]:
    if isinstance(output_size, (int, np.integer)):
        return (int(output_size),)
    return tuple(output_size)


def _bias_shape(
    shape: tuple[int, ...], bias_dims: Sequence[int] | None
) -> tuple[int, ...]:
    """The shape of a bias that varies along `bias_dims` of an input of `shape`."""
    rank = len(shape)
    if bias_dims is None:
        return shape[1:]
    if not bias_dims:
        return ()
    axes = set()
    for dim in bias_dims:
        axis = dim + rank if dim < 0 else dim
        if axis == 0:
            raise ValueError(
                "Cannot apply bias across the minibatch dimension: bias_dims "
                f"{tuple(bias_dims)} include axis 0 of {shape}. Choose from 1 to "
                f"{rank - 1}."
            )
        if not 0 < axis < rank:
            raise ValueError(
                f"Dimension {dim} (in bias_dims {tuple(bias_dims)}) is out of range "
                f"for input of rank {rank}: choose from 1 to {rank - 1}."
            )
        axes.add(axis)
    # Broadcasting adds the axes before the first one that has a bias.
    return tuple(
        size if axis in axes else 1
        for axis, size in enumerate(shape)
        if axis >= min(axes)
    )
