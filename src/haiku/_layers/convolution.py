"""Convolutions over any number of spatial axes.

`ConvND` does the work; the classes for one, two and three axes only add their
signatures.
"""

import jax
import jax.numpy as jnp

from haiku import pad
from haiku._core import Module
from haiku._layers.conv_shapes import (
    IntOrSequence,
    Padding,
    conv_dimension_numbers,
    get_channel_index,
    resolve_padding,
)
from haiku._layers.convolve import check_spatial_dims, convolve
from haiku.initializers import Initializer

__all__ = ["Conv1D", "Conv2D", "Conv3D", "ConvND"]


class ConvND(Module):
    """Convolves its input with a learned kernel, over any number of spatial axes.

        y[t] = sum over k of x[stride t + rate k - zeros before] w[k] + b

    Args:
      num_spatial_dims: Number of spatial axes, at least 1.
      output_channels: Number of output channels.
      kernel_shape: Size of the kernel, one for all spatial axes or one per axis.
      stride: Step of the kernel, one for all spatial axes or one per axis.
      rate: Distance between the inputs that the kernel reads (dilation), one for all
        spatial axes or one per axis.
      padding: ``"SAME"``, ``"VALID"``, or a function of :mod:`haiku.pad` or a pair
        ``(before, after)``, one for all spatial axes or one per axis.
      with_bias: Whether to add a bias per channel.
      w_init: Initializer of the kernel, shape ``[*kernel_shape, input channels /
        groups, output_channels]``. Default: a truncated normal with standard deviation
        ``1 / sqrt(inputs per output)``.
      b_init: Initializer of the bias, shape ``[output_channels]``, followed by a 1 per
        spatial axis if channels come first. Default: zeros.
      data_format: Position of the channels, see :func:`get_channel_index`.
        ``"channels_last"`` means ``[B, *space, C]``.
      mask: Array of the kernel's shape that multiplies it.
      feature_group_count: Number of channel groups; each output channel sees only the
        input channels of its group.
      name: Name of the module.

    Raises:
      ValueError: `num_spatial_dims`, `padding` or `data_format` is invalid.
      TypeError: A size is neither one for all axes nor one per axis.

    Source:
      Dumoulin and Visin, 2016, A guide to convolution arithmetic for deep learning,
      arXiv:1603.07285.

    Example:
      >>> def f(x):  # causal: no output sees a later input
      ...     return hk.ConvND(1, 4, kernel_shape=3, padding=hk.pad.causal)(x)
      >>> hk.testing.transform_and_run(f)(jnp.ones([2, 7, 3])).shape
      (2, 7, 4)
    """

    def __init__(
        self,
        num_spatial_dims: int,
        output_channels: int,
        kernel_shape: IntOrSequence,
        stride: IntOrSequence = 1,
        rate: IntOrSequence = 1,
        padding: Padding = "SAME",
        with_bias: bool = True,
        w_init: Initializer | None = None,
        b_init: Initializer | None = None,
        data_format: str = "channels_last",
        mask: jax.Array | None = None,
        feature_group_count: int = 1,
        name: str | None = None,
    ):
        super().__init__(name=name)
        check_spatial_dims(num_spatial_dims)
        n = num_spatial_dims
        self.num_spatial_dims = n
        self.output_channels = output_channels
        self.kernel_shape = pad.one_per_axis(kernel_shape, n, "kernel_shape")
        self.with_bias = with_bias
        self.stride = pad.one_per_axis(stride, n, "stride")
        self.w_init = w_init
        self.b_init = b_init or jnp.zeros
        self.mask = mask
        self.feature_group_count = feature_group_count
        self.lhs_dilation = (1,) * n
        self.kernel_dilation = pad.one_per_axis(rate, n, "rate")
        self.data_format = data_format
        self.channel_index = get_channel_index(data_format)
        self.dimension_numbers = conv_dimension_numbers(n, self.channel_index, False)
        self.padding = resolve_padding(padding, self.kernel_shape, self.kernel_dilation)

    def __call__(
        self,
        inputs: jax.Array,
        *,
        precision: jax.lax.PrecisionLike = None,
    ) -> jax.Array:
        """Applies the convolution.

        Args:
          inputs: ``[B, *space, C]`` or ``[*space, C]``, or with the channels first.
          precision: Precision of the multiplications, as in ``jax.lax.conv``.

        Returns:
          ``[B, *space, output_channels]``, laid out like `inputs`.

        Raises:
          ValueError: `inputs` has the wrong rank, `feature_group_count` doesn't divide
            the channels, or the mask differs in shape from the kernel.
        """

        def w_shape(channels: int) -> tuple[int, ...]:
            groups = self.feature_group_count
            if channels % groups or self.output_channels % groups:
                raise ValueError(
                    f"{self.module_name!r} got inputs with {channels} channels and has "
                    f"output_channels={self.output_channels}: both must be multiples "
                    f"of feature_group_count={groups}."
                )
            return (*self.kernel_shape, channels // groups, self.output_channels)

        def slide(x: jax.Array, w: jax.Array) -> jax.Array:
            return jax.lax.conv_general_dilated(
                x,
                w,
                window_strides=self.stride,
                padding=self.padding,
                lhs_dilation=self.lhs_dilation,
                rhs_dilation=self.kernel_dilation,
                dimension_numbers=self.dimension_numbers,
                feature_group_count=self.feature_group_count,
                precision=precision,
            )

        return convolve(self, inputs, w_shape, slide, self.mask)


class Conv1D(ConvND):
    """Convolution over one spatial axis; see :class:`ConvND` for the arguments.

    Example:
      >>> conv = hk.bind(hk.Conv1D, 1, 3, w_init=jnp.ones)  # sums three neighbours
      >>> x = jnp.arange(5.0)[:, None]
      >>> conv.init(0, x)(x).ravel()
      Array([1., 3., 6., 9., 7.], dtype=float32)
    """

    def __init__(
        self,
        output_channels: int,
        kernel_shape: IntOrSequence,
        stride: IntOrSequence = 1,
        rate: IntOrSequence = 1,
        padding: Padding = "SAME",
        with_bias: bool = True,
        w_init: Initializer | None = None,
        b_init: Initializer | None = None,
        data_format: str = "NWC",
        mask: jax.Array | None = None,
        feature_group_count: int = 1,
        name: str | None = None,
    ):
        super().__init__(
            num_spatial_dims=1,
            output_channels=output_channels,
            kernel_shape=kernel_shape,
            stride=stride,
            rate=rate,
            padding=padding,
            with_bias=with_bias,
            w_init=w_init,
            b_init=b_init,
            data_format=data_format,
            mask=mask,
            feature_group_count=feature_group_count,
            name=name,
        )


class Conv2D(ConvND):
    """Convolution over two spatial axes; see :class:`ConvND` for the arguments.

    Example:
      >>> f = lambda x: hk.Conv2D(8, 3, stride=2, name="conv")(x)
      >>> hk.module_tree(f)(jnp.ones([1, 28, 28, 3]))
      conv (Conv2D)  f32[1,28,28,3] -> f32[1,14,14,8]  224 parameters
        b  f32[8]
        w  f32[3,3,3,8]
      224 parameters, 896.00 B
    """

    def __init__(
        self,
        output_channels: int,
        kernel_shape: IntOrSequence,
        stride: IntOrSequence = 1,
        rate: IntOrSequence = 1,
        padding: Padding = "SAME",
        with_bias: bool = True,
        w_init: Initializer | None = None,
        b_init: Initializer | None = None,
        data_format: str = "NHWC",
        mask: jax.Array | None = None,
        feature_group_count: int = 1,
        name: str | None = None,
    ):
        super().__init__(
            num_spatial_dims=2,
            output_channels=output_channels,
            kernel_shape=kernel_shape,
            stride=stride,
            rate=rate,
            padding=padding,
            with_bias=with_bias,
            w_init=w_init,
            b_init=b_init,
            data_format=data_format,
            mask=mask,
            feature_group_count=feature_group_count,
            name=name,
        )


class Conv3D(ConvND):
    """Convolution over three spatial axes; see :class:`ConvND` for the arguments.

    Example:
      >>> f = lambda x: hk.Conv3D(2, (1, 3, 3), padding="VALID", name="conv")(x)
      >>> hk.module_tree(f)(jnp.ones([1, 4, 8, 8, 3]))
      conv (Conv3D)  f32[1,4,8,8,3] -> f32[1,4,6,6,2]  56 parameters
        b  f32[2]
        w  f32[1,3,3,3,2]
      56 parameters, 224.00 B
    """

    def __init__(
        self,
        output_channels: int,
        kernel_shape: IntOrSequence,
        stride: IntOrSequence = 1,
        rate: IntOrSequence = 1,
        padding: Padding = "SAME",
        with_bias: bool = True,
        w_init: Initializer | None = None,
        b_init: Initializer | None = None,
        data_format: str = "NDHWC",
        mask: jax.Array | None = None,
        feature_group_count: int = 1,
        name: str | None = None,
    ):
        super().__init__(
            num_spatial_dims=3,
            output_channels=output_channels,
            kernel_shape=kernel_shape,
            stride=stride,
            rate=rate,
            padding=padding,
            with_bias=with_bias,
            w_init=w_init,
            b_init=b_init,
            data_format=data_format,
            mask=mask,
            feature_group_count=feature_group_count,
            name=name,
        )
