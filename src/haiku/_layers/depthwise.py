"""Depthwise convolutions, which convolve each channel by itself."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from haiku import pad
from haiku._core import Module
from haiku._layers.conv_shapes import (
    IntOrSequence,
    Padding,
    get_channel_index,
    resolve_padding,
)
from haiku._layers.convolve import convolve
from haiku._layers.depthwise_gradients import depthwise_conv, explicit_padding
from haiku.initializers import Initializer

__all__ = [
    "DepthwiseConv1D",
    "DepthwiseConv2D",
    "DepthwiseConv3D",
    "DepthwiseConvND",
    "SeparableDepthwiseConv2D",
]

_DIMENSION_NUMBERS = {
    (1, -1): ("NWC", "WIO", "NWC"),
    (1, 1): ("NCH", "HIO", "NCH"),
    (2, -1): ("NHWC", "HWIO", "NHWC"),
    (2, 1): ("NCHW", "HWIO", "NCHW"),
    (3, -1): ("NDHWC", "DHWIO", "NDHWC"),
    (3, 1): ("NCDHW", "DHWIO", "NCDHW"),
}


class DepthwiseConvND(Module):
    """Convolves each channel by itself over `num_spatial_dims` axes: 1, 2 or 3.

    :class:`DepthwiseConv2D` explains the other arguments.
    """

    def __init__(
        self,
        channel_multiplier: int,
        kernel_shape: IntOrSequence,
        num_spatial_dims: int,
        stride: IntOrSequence = 1,
        rate: IntOrSequence = 1,
        padding: Padding = "SAME",
        with_bias: bool = True,
        w_init: Initializer | None = None,
        b_init: Initializer | None = None,
        data_format: str = "channels_last",
        name: str | None = None,
    ):
        super().__init__(name=name)
        n = num_spatial_dims
        self.num_spatial_dims = n
        self.kernel_shape = pad.one_per_axis(kernel_shape, n, "kernel_shape")
        self.lhs_dilation = (1,) * n
        self.rhs_dilation = pad.one_per_axis(rate, n, "rate")
        self.channel_multiplier = channel_multiplier
        self.padding = resolve_padding(padding, self.kernel_shape, self.rhs_dilation)
        self.stride = pad.one_per_axis(stride, n, "stride")
        self.data_format = data_format
        self.channel_index = get_channel_index(data_format)
        self.with_bias = with_bias
        self.w_init = w_init
        self.b_init = b_init or jnp.zeros
        self.dn = _DIMENSION_NUMBERS[n, self.channel_index]

    def __call__(self, inputs: jax.Array) -> jax.Array:
        """Applies the convolution.

        Args:
          inputs: ``[B, *space, C]`` or ``[*space, C]``, or with the channels first.

        Returns:
          ``[B, *space, channel_multiplier * C]``, laid out like `inputs`: the outputs
          of the first channel, then those of the second, and so on.

        Raises:
          ValueError: `inputs` has the wrong rank.
        """

        def slide(x: jax.Array, w: jax.Array) -> jax.Array:
            padding = explicit_padding(self, x)
            if padding is not None and x.dtype == w.dtype:
                return depthwise_conv(x, w, self.stride, padding, self.rhs_dilation)
            return jax.lax.conv_general_dilated(
                x,
                w,
                self.stride,
                self.padding,
                lhs_dilation=self.lhs_dilation,
                rhs_dilation=self.rhs_dilation,
                dimension_numbers=self.dn,
                feature_group_count=x.shape[self.channel_index],
            )

        def w_shape(channels: int) -> tuple[int, ...]:
            return (*self.kernel_shape, 1, self.channel_multiplier * channels)

        return convolve(self, inputs, w_shape, slide)


class DepthwiseConv1D(DepthwiseConvND):
    """Convolves each channel over one spatial axis; see :class:`DepthwiseConv2D`.

    Example:
      >>> conv = hk.bind(hk.DepthwiseConv1D, 1, 2, padding="VALID", w_init=jnp.ones)
      >>> x = jnp.array([[[1.0, 10.0], [2.0, 20.0], [3.0, 30.0]]])
      >>> conv.init(0, x)(x)  # sums neighbours, channel by channel
      Array([[[ 3., 30.],
              [ 5., 50.]]], dtype=float32)
    """

    def __init__(
        self,
        channel_multiplier: int,
        kernel_shape: IntOrSequence,
        stride: IntOrSequence = 1,
        rate: IntOrSequence = 1,
        padding: Padding = "SAME",
        with_bias: bool = True,
        w_init: Initializer | None = None,
        b_init: Initializer | None = None,
        data_format: str = "NWC",
        name: str | None = None,
    ):
        super().__init__(
            channel_multiplier=channel_multiplier,
            kernel_shape=kernel_shape,
            num_spatial_dims=1,
            stride=stride,
            rate=rate,
            padding=padding,
            with_bias=with_bias,
            w_init=w_init,
            b_init=b_init,
            data_format=data_format,
            name=name,
        )


class DepthwiseConv2D(DepthwiseConvND):
    """Convolves each channel of an image with its own kernels.

    Args:
      channel_multiplier: Number of output channels per input channel.
      kernel_shape: Size of the kernel, one for all spatial axes or one per axis.
      stride: Step of the kernel, one for all spatial axes or one per axis.
      rate: Distance between the inputs that the kernel reads (dilation), one for all
        spatial axes or one per axis.
      padding: ``"SAME"``, ``"VALID"``, pairs ``(before, after)``, or a function of
        :mod:`haiku.pad`.
      with_bias: Whether to add a bias per channel.
      w_init: Initializer of the kernel, shape ``[*kernel_shape, 1, channel_multiplier *
        input channels]``. Default: a truncated normal with standard deviation
        ``1 / sqrt(kernel size)``.
      b_init: Initializer of the bias, shape ``[output channels]``, followed by a 1 per
        spatial axis if channels come first. Default: zeros.
      data_format: Position of the channels, see :func:`get_channel_index`.
      name: Name of the module.

    Raises:
      ValueError: `padding` or `data_format` is unknown.
      TypeError: A size is neither one for all axes nor one per axis.

    Source:
      Chollet, 2016, Xception: Deep Learning with Depthwise Separable Convolutions,
      arXiv:1610.02357, where a :class:`Conv2D` with kernel 1 follows.

    Example:
      >>> f = lambda x: hk.DepthwiseConv2D(2, kernel_shape=5, name="conv")(x)
      >>> hk.module_tree(f)(jnp.ones([1, 28, 28, 3]))
      conv (DepthwiseConv2D)  f32[1,28,28,3] -> f32[1,28,28,6]  156 parameters
        b  f32[6]
        w  f32[5,5,1,6]
      156 parameters, 624.00 B
    """

    def __init__(
        self,
        channel_multiplier: int,
        kernel_shape: IntOrSequence,
        stride: IntOrSequence = 1,
        rate: IntOrSequence = 1,
        padding: Padding = "SAME",
        with_bias: bool = True,
        w_init: Initializer | None = None,
        b_init: Initializer | None = None,
        data_format: str = "NHWC",
        name: str | None = None,
    ):
        super().__init__(
            channel_multiplier=channel_multiplier,
            kernel_shape=kernel_shape,
            num_spatial_dims=2,
            stride=stride,
            rate=rate,
            padding=padding,
            with_bias=with_bias,
            w_init=w_init,
            b_init=b_init,
            data_format=data_format,
            name=name,
        )


class DepthwiseConv3D(DepthwiseConvND):
    """Convolves each channel over three spatial axes; see :class:`DepthwiseConv2D`.

    Example:
      >>> f = lambda x: hk.DepthwiseConv3D(1, kernel_shape=3, name="conv")(x)
      >>> hk.module_tree(f)(jnp.ones([1, 4, 8, 8, 3]))
      conv (DepthwiseConv3D)  f32[1,4,8,8,3] -> f32[1,4,8,8,3]  84 parameters
        b  f32[3]
        w  f32[3,3,3,1,3]
      84 parameters, 336.00 B
    """

    def __init__(
        self,
        channel_multiplier: int,
        kernel_shape: IntOrSequence,
        stride: IntOrSequence = 1,
        rate: IntOrSequence = 1,
        padding: Padding = "SAME",
        with_bias: bool = True,
        w_init: Initializer | None = None,
        b_init: Initializer | None = None,
        data_format: str = "NDHWC",
        name: str | None = None,
    ):
        super().__init__(
            channel_multiplier=channel_multiplier,
            kernel_shape=kernel_shape,
            num_spatial_dims=3,
            stride=stride,
            rate=rate,
            padding=padding,
            with_bias=with_bias,
            w_init=w_init,
            b_init=b_init,
            data_format=data_format,
            name=name,
        )


class SeparableDepthwiseConv2D(Module):
    """Convolves each channel of an image along its height, then along its width.

    The first kernel is ``[h, 1]``, with `channel_multiplier` and no bias; the second is
    ``[1, w]``, with the bias.

    Args:
      channel_multiplier: Number of output channels per input channel.
      kernel_shape: Sizes of the two kernels, one for both or one each.
      stride: Step of the first kernel, one for both axes or one per axis.
      padding: As for :class:`DepthwiseConv2D`, for both kernels.
      with_bias: Whether to add a bias per channel.
      w_init: Initializer of both kernels.
      b_init: Initializer of the bias.
      data_format: Position of the channels, see :func:`get_channel_index`.
      name: Name of the module.

    Raises:
      ValueError: `padding` or `data_format` is unknown.
      TypeError: A size is neither one for all axes nor one per axis.

    Example:
      >>> net = hk.transform(lambda x: hk.SeparableDepthwiseConv2D(1, 5)(x))
      >>> params = jax.eval_shape(net.init, jax.random.key(0), jnp.ones([1, 9, 9, 3]))
      >>> [layer["w"].shape for layer in params.values()]
      [(5, 1, 1, 3), (1, 5, 1, 3)]
    """

    def __init__(
        self,
        channel_multiplier: int,
        kernel_shape: IntOrSequence,
        stride: IntOrSequence = 1,
        padding: str | Sequence[tuple[int, int]] = "SAME",
        with_bias: bool = True,
        w_init: Initializer | None = None,
        b_init: Initializer | None = None,
        data_format: str = "NHWC",
        name: str | None = None,
    ):
        super().__init__(name=name)
        height, width = pad.one_per_axis(kernel_shape, 2, "kernel_shape")
        self._conv1 = DepthwiseConv2D(
            channel_multiplier=channel_multiplier,
            kernel_shape=[height, 1],
            stride=stride,
            padding=padding,
            with_bias=False,
            w_init=w_init,
            b_init=b_init,
            data_format=data_format,
        )
        self._conv2 = DepthwiseConv2D(
            channel_multiplier=1,
            kernel_shape=[1, width],
            stride=1,
            padding=padding,
            with_bias=with_bias,
            w_init=w_init,
            b_init=b_init,
            data_format=data_format,
        )

    def __call__(self, inputs: jax.Array) -> jax.Array:
        """Applies both convolutions; shapes are those of :class:`DepthwiseConv2D`."""
        return self._conv2(self._conv1(inputs))
