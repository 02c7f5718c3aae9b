"""Convolutions of any number of spatial axes: plain and transposed ones.

`ConvND` and `ConvNDTranspose` state their kernel and how it meets the input; the
classes for one, two and three axes are signatures over them. What all have in common
(an optional batch axis, mask, bias, what does not fit) is `convolve`.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from haiku import pad
from haiku._core import Module, get_parameter
from haiku._layers.conv_shapes import (
    conv_dimension_numbers,
    get_channel_index,
    one_per_axis,
    transpose_padding,
)
from haiku.initializers import Initializer, TruncatedNormal

__all__ = [
    "Conv1D",
    "Conv1DTranspose",
    "Conv2D",
    "Conv2DTranspose",
    "Conv3D",
    "Conv3DTranspose",
    "ConvND",
    "ConvNDTranspose",
    "convolve",
    "resolve_padding",
]

IntOrSequence = int | Sequence[int]
Padding = (
    str | pad.PadFn | tuple[int, int] | Sequence[tuple[int, int]] | Sequence[pad.PadFn]
)

_PADDINGS = ("SAME", "VALID", "SAME_LOWER")


def check_spatial_dims(num_spatial_dims: int) -> None:
    """Raises unless there is something to slide a kernel over."""
    if num_spatial_dims <= 0:
        raise ValueError(
            "We only support convolution operations for `num_spatial_dims` greater "
            f"than 0, received num_spatial_dims={num_spatial_dims}."
        )


def resolve_padding(
    padding: Padding, kernel_shape: Sequence[int], rate: Sequence[int]
) -> Any:
    """`padding` as JAX takes it: a name, or a pair of numbers per spatial axis.

    Raises:
      ValueError: JAX has no padding of that name.
      TypeError: It is neither one for all axes nor one per axis.
    """
    n = len(kernel_shape)
    if not isinstance(padding, str):
        return pad.create(padding, kernel_shape, rate, n)
    if padding.upper() not in _PADDINGS:
        raise ValueError(
            f"Unknown padding {padding!r}: choose one of {_PADDINGS}, a function such "
            "as hk.pad.causal, or pairs of numbers (before, after)."
        )
    return padding


def convolve(
    layer: Any,
    kind: str,
    inputs: jax.Array,
    w_shape: Callable[[int], tuple[int, ...]],
    fan_in: Callable[[int], int],
    slide: Callable[[jax.Array, jax.Array], jax.Array],
    mask: Any = None,
) -> jax.Array:
    """What every convolution does around the sliding of its kernel.

    Args:
      layer: The module, with `num_spatial_dims`, `channel_index`, `with_bias`,
        `w_init` and `b_init`.
      kind: What errors call it.
      inputs: ``[B, *space, C]`` or ``[B, C, *space]``, with or without the batch axis.
      w_shape: From the number of input channels to the kernel's shape.
      fan_in: From the number of input channels to how many inputs an output sees.
      slide: From batched inputs and kernel to the output without bias.
      mask: Factor of the kernel, of its shape.

    Returns:
      The output, with a batch axis if `inputs` has one.
    """
    num_spatial_dims, channel_index = layer.num_spatial_dims, layer.channel_index
    missing = num_spatial_dims + 2 - len(inputs.shape)
    if missing not in (0, 1):
        raise ValueError(
            f"Input to {kind} needs to have rank in [{num_spatial_dims + 1}, "
            f"{num_spatial_dims + 2}], but input has shape {inputs.shape}. "
            f"{layer.module_name!r} has num_spatial_dims={num_spatial_dims}: give it "
            "that many spatial axes, channels, and optionally a batch axis."
        )
    if missing:
        inputs = jnp.expand_dims(inputs, 0)
    channels = inputs.shape[channel_index]

    shape = w_shape(channels)
    w_init = layer.w_init
    if w_init is None:
        fan = fan_in(channels)
        w_init = TruncatedNormal(1.0 / math.sqrt(fan) if fan else 0.0)
    if mask is not None and mask.shape != shape:
        raise ValueError(
            "Mask needs to have the same shape as weights. Shapes are: "
            f"{mask.shape}, {shape} ({layer.module_name!r})"
        )
    w = get_parameter("w", shape, inputs.dtype, init=w_init)
    if mask is not None:
        w = w * mask
    out = slide(inputs, w)
    if layer.with_bias:
        output_channels = out.shape[channel_index]
        if channel_index == -1:
            b_shape: tuple[int, ...] = (output_channels,)
        else:
            b_shape = (output_channels, *(1,) * num_spatial_dims)
        b = get_parameter("b", b_shape, inputs.dtype, init=layer.b_init)
        out = out + jnp.broadcast_to(b, out.shape)
    return jnp.squeeze(out, 0) if missing else out


class ConvND(Module):
    """Slides a kernel over any number of spatial axes.

    Args:
      num_spatial_dims: Number of spatial axes, at least 1.
      output_channels: Number of output channels.
      kernel_shape: Size of the kernel, one for all spatial axes or one per axis.
      stride: Step of the kernel, one for all spatial axes or one per axis.
      rate: Distance between the inputs that the kernel reads (dilation), one for all
        spatial axes or one per axis.
      padding: ``"SAME"``, ``"VALID"``, a function of :mod:`haiku.pad`, or a pair
        ``(before, after)``; one of the latter two for all spatial axes or one per axis.
      with_bias: Whether to add a bias per channel.
      w_init: Initializer of the kernel, shape ``[*kernel_shape, input channels /
        groups, output_channels]``. Default: a truncated normal with standard deviation
        ``1 / sqrt(inputs that an output sees)``.
      b_init: Initializer of the bias, shape ``[output_channels]``, followed by a 1 per
        spatial axis if channels come first. Default: zeros.
      data_format: Where the channels are, see :func:`get_channel_index`. Inputs of
        ``[B, *space, C]`` are ``"channels_last"``.
      mask: Factor of the kernel, of its shape.
      feature_group_count: How many groups the channels fall into; each output channel
        sees the input channels of its group.
      name: Name of the module.

    Raises:
      ValueError: An option has none of the values above.
      TypeError: A size is neither one for all axes nor one per axis.
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
        self.kernel_shape = one_per_axis(kernel_shape, n, "kernel_shape")
        self.with_bias = with_bias
        self.stride = one_per_axis(stride, n, "strides")
        self.w_init = w_init
        self.b_init = b_init or jnp.zeros
        self.mask = mask
        self.feature_group_count = feature_group_count
        self.lhs_dilation = (1,) * n
        self.kernel_dilation = one_per_axis(rate, n, "kernel_dilation")
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
          ValueError: `inputs` has the wrong rank, its channels do not fall into
            `feature_group_count` groups, or the mask does not have the kernel's shape.
        """

        def w_shape(channels: int) -> tuple[int, ...]:
            groups = self.feature_group_count
            if channels % groups or self.output_channels % groups:
                raise ValueError(
                    f"Inputs channels {channels} and output_channels "
                    f"{self.output_channels} should each be a multiple of "
                    f"feature_group_count {groups} ({self.module_name!r})."
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

        return convolve(
            self,
            "ConvND",
            inputs,
            w_shape,
            lambda channels: math.prod(w_shape(channels)[:-1]),
            slide,
            self.mask,
        )


class ConvNDTranspose(Module):
    """Slides a kernel as the gradient of a convolution does: strides enlarge.

    Args:
      num_spatial_dims: Number of spatial axes, at least 1.
      output_channels: Number of output channels.
      kernel_shape: Size of the kernel, one for all spatial axes or one per axis.
      stride: Factor by which the output is larger than the input, one for all spatial
        axes or one per axis.
      output_shape: Size of the output's spatial axes, one for all or one per axis,
        where several sizes have the same input size. Default: the smallest that
        `padding` allows.
      padding: ``"SAME"``, ``"VALID"``, or pairs ``(before, after)``, one per spatial
        axis; a pair or a function of :mod:`haiku.pad` holds for all. With
        `output_shape` only the first two.
      with_bias: Whether to add a bias per channel.
      w_init: Initializer of the kernel, shape ``[*kernel_shape, output_channels, input
        channels]``. Default: a truncated normal with standard deviation
        ``1 / sqrt(kernel size * input channels)``.
      b_init: Initializer of the bias, shape ``[output_channels]``, followed by a 1 per
        spatial axis if channels come first. Default: zeros.
      data_format: Where the channels are, see :func:`get_channel_index`.
      mask: Factor of the kernel, of its shape.
      name: Name of the module.

    Raises:
      ValueError: An option has none of the values above.
      TypeError: A size is neither one for all axes nor one per axis.
    """

    def __init__(
        self,
        num_spatial_dims: int,
        output_channels: int,
        kernel_shape: IntOrSequence,
        stride: IntOrSequence = 1,
        output_shape: IntOrSequence | None = None,
        padding: Padding = "SAME",
        with_bias: bool = True,
        w_init: Initializer | None = None,
        b_init: Initializer | None = None,
        data_format: str = "channels_last",
        mask: jax.Array | None = None,
        name: str | None = None,
    ):
        super().__init__(name=name)
        check_spatial_dims(num_spatial_dims)
        n = num_spatial_dims
        self.num_spatial_dims = n
        self.output_channels = output_channels
        self.kernel_shape = one_per_axis(kernel_shape, n, "kernel_shape")
        self.output_shape = None
        if output_shape is not None:
            self.output_shape = one_per_axis(output_shape, n, "output_shape")
            if not isinstance(padding, str):
                raise ValueError(
                    "When specifying `output_shape`, ensure that padding is 'VALID' or "
                    f"'SAME'. Got: {padding!r}"
                )
        self.with_bias = with_bias
        self.stride = one_per_axis(stride, n, "strides")
        self.w_init = w_init
        self.b_init = b_init or jnp.zeros
        self.mask = mask
        self.padding = resolve_padding(padding, self.kernel_shape, (1,) * n)
        self.data_format = data_format
        self.channel_index = get_channel_index(data_format)
        self.dimension_numbers = conv_dimension_numbers(n, self.channel_index, True)

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
          ValueError: `inputs` has the wrong rank, the mask does not have the kernel's
            shape, or no convolution brings `output_shape` to the input's.
        """

        def slide(x: jax.Array, w: jax.Array) -> jax.Array:
            padding = self.padding
            if self.output_shape is not None:
                first = 2 if self.channel_index == 1 else 1
                space = x.shape[first : first + self.num_spatial_dims]
                padding = transpose_padding(
                    space, self.output_shape, self.kernel_shape, self.stride, padding
                )
            return jax.lax.conv_transpose(
                x,
                w,
                strides=self.stride,
                padding=padding,
                dimension_numbers=self.dimension_numbers,
                precision=precision,
            )

        return convolve(
            self,
            "ConvNDTranspose",
            inputs,
            lambda channels: (*self.kernel_shape, self.output_channels, channels),
            lambda channels: math.prod(self.kernel_shape) * channels,
            slide,
            self.mask,
        )


class Conv1D(ConvND):
    """:class:`ConvND` over one spatial axis."""

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
    """:class:`ConvND` over two spatial axes."""

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
    """:class:`ConvND` over three spatial axes."""

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


class Conv1DTranspose(ConvNDTranspose):
    """:class:`ConvNDTranspose` over one spatial axis."""

    def __init__(
        self,
        output_channels: int,
        kernel_shape: IntOrSequence,
        stride: IntOrSequence = 1,
        output_shape: IntOrSequence | None = None,
        padding: Padding = "SAME",
        with_bias: bool = True,
        w_init: Initializer | None = None,
        b_init: Initializer | None = None,
        data_format: str = "NWC",
        mask: jax.Array | None = None,
        name: str | None = None,
    ):
        super().__init__(
            num_spatial_dims=1,
            output_channels=output_channels,
            kernel_shape=kernel_shape,
            stride=stride,
            output_shape=output_shape,
            padding=padding,
            with_bias=with_bias,
            w_init=w_init,
            b_init=b_init,
            data_format=data_format,
            mask=mask,
            name=name,
        )


class Conv2DTranspose(ConvNDTranspose):
    """:class:`ConvNDTranspose` over two spatial axes."""

    def __init__(
        self,
        output_channels: int,
        kernel_shape: IntOrSequence,
        stride: IntOrSequence = 1,
        output_shape: IntOrSequence | None = None,
        padding: Padding = "SAME",
        with_bias: bool = True,
        w_init: Initializer | None = None,
        b_init: Initializer | None = None,
        data_format: str = "NHWC",
        mask: jax.Array | None = None,
        name: str | None = None,
    ):
        super().__init__(
            num_spatial_dims=2,
            output_channels=output_channels,
            kernel_shape=kernel_shape,
            stride=stride,
            output_shape=output_shape,
            padding=padding,
            with_bias=with_bias,
            w_init=w_init,
            b_init=b_init,
            data_format=data_format,
            mask=mask,
            name=name,
        )


class Conv3DTranspose(ConvNDTranspose):
    """:class:`ConvNDTranspose` over three spatial axes."""

    def __init__(
        self,
        output_channels: int,
        kernel_shape: IntOrSequence,
        stride: IntOrSequence = 1,
        output_shape: IntOrSequence | None = None,
        padding: Padding = "SAME",
        with_bias: bool = True,
        w_init: Initializer | None = None,
        b_init: Initializer | None = None,
        data_format: str = "NDHWC",
        mask: jax.Array | None = None,
        name: str | None = None,
    ):
        super().__init__(
            num_spatial_dims=3,
            output_channels=output_channels,
            kernel_shape=kernel_shape,
            stride=stride,
            output_shape=output_shape,
            padding=padding,
            with_bias=with_bias,
            w_init=w_init,
            b_init=b_init,
            data_format=data_format,
            mask=mask,
            name=name,
        )
