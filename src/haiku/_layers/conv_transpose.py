"""Transposed convolutions over any number of spatial axes.

`ConvNDTranspose` does the work; the classes for one, two and three axes only add their
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

__all__ = ["Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose", "ConvNDTranspose"]


class ConvNDTranspose(Module):
    """Applies a transposed convolution, in which a stride enlarges the output.

    Args:
      num_spatial_dims: Number of spatial axes, at least 1.
      output_channels: Number of output channels.
      kernel_shape: Size of the kernel, one for all spatial axes or one per axis.
      stride: Factor by which the output is larger than the input, one for all spatial
        axes or one per axis.
      output_shape: Size of the output's spatial axes, one for all or one per axis, if
        several sizes lead to the same input size. Default: the smallest that `padding`
        allows.
      padding: ``"SAME"``, ``"VALID"``, a pair ``(before, after)`` or a function of
        :mod:`haiku.pad` for all spatial axes, or pairs, one per axis. With
        `output_shape`, only ``"SAME"`` or ``"VALID"``.
      with_bias: Whether to add a bias per channel.
      w_init: Initializer of the kernel, shape ``[*kernel_shape, output_channels, input
        channels]``. Default: a truncated normal with standard deviation
        ``1 / sqrt(kernel size * input channels)``.
      b_init: Initializer of the bias, shape ``[output_channels]``, followed by a 1 per
        spatial axis if channels come first. Default: zeros.
      data_format: Position of the channels, see :func:`get_channel_index`.
      mask: Array of the kernel's shape that multiplies it.
      name: Name of the module.

    Raises:
      ValueError: `num_spatial_dims`, `padding` or `data_format` is invalid.
      TypeError: A size is neither one for all axes nor one per axis.

    Source:
      Dumoulin and Visin, 2016, A guide to convolution arithmetic for deep learning,
      arXiv:1603.07285, chapter 4.

    Example:
      >>> def f(x):
      ...     return hk.ConvNDTranspose(2, 3, kernel_shape=4, stride=2)(x)
      >>> hk.testing.transform_and_run(f)(jnp.ones([1, 5, 6, 8])).shape
      (1, 10, 12, 3)
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
        self.kernel_shape = pad.one_per_axis(kernel_shape, n, "kernel_shape")
        self.output_shape = None
        if output_shape is not None:
            self.output_shape = pad.one_per_axis(output_shape, n, "output_shape")
            if not isinstance(padding, str):
                raise ValueError(
                    "`output_shape` determines the amount of padding, so `padding` "
                    f"must be 'SAME' or 'VALID', got {padding!r}."
                )
        self.with_bias = with_bias
        self.stride = pad.one_per_axis(stride, n, "stride")
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
        """Applies the transposed convolution.

        Args:
          inputs: ``[B, *space, C]`` or ``[*space, C]``, or with the channels first.
          precision: Precision of the multiplications, as in ``jax.lax.conv``.

        Returns:
          ``[B, *space, output_channels]``, laid out like `inputs`.

        Raises:
          ValueError: `inputs` has the wrong rank, the mask differs in shape from the
            kernel, or no convolution maps `output_shape` to the input's shape.
        """

        def w_shape(channels: int) -> tuple[int, ...]:
            return (*self.kernel_shape, self.output_channels, channels)

        def slide(x: jax.Array, w: jax.Array) -> jax.Array:
            padding = self.padding
            if self.output_shape is not None:
                first = 2 if self.channel_index == 1 else 1
                space = x.shape[first : first + self.num_spatial_dims]
                padding = tuple(
                    _pad_for_output(*sizes, padding, repr(self.module_name))
                    for sizes in zip(
                        space, self.output_shape, self.kernel_shape, self.stride
                    )
                )
            return jax.lax.conv_transpose(
                x,
                w,
                strides=self.stride,
                padding=padding,
                dimension_numbers=self.dimension_numbers,
                precision=precision,
            )

        return convolve(self, inputs, w_shape, slide, self.mask, transposed=True)


class Conv1DTranspose(ConvNDTranspose):
    """Transposed convolution over one spatial axis; see :class:`ConvNDTranspose`.

    Example:
      >>> up = hk.bind(hk.Conv1DTranspose, 1, 2, stride=2, w_init=jnp.ones)
      >>> x = jnp.arange(3.0)[:, None]
      >>> up.init(0, x)(x).ravel()
      Array([0., 0., 1., 1., 2., 2.], dtype=float32)
    """

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
    """Transposed convolution over two spatial axes; see :class:`ConvNDTranspose`.

    Example:
      >>> f = lambda x: hk.Conv2DTranspose(8, 3, stride=2, name="up")(x)
      >>> hk.module_tree(f)(jnp.ones([1, 7, 7, 3]))
      up (Conv2DTranspose)  f32[1,7,7,3] -> f32[1,14,14,8]  224 parameters
        b  f32[8]
        w  f32[3,3,8,3]
      224 parameters, 896.00 B
    """

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
    """Transposed convolution over three spatial axes; see :class:`ConvNDTranspose`.

    Example:
      >>> f = lambda x: hk.Conv3DTranspose(2, 2, stride=2, name="up")(x)
      >>> hk.module_tree(f)(jnp.ones([1, 2, 4, 4, 3]))
      up (Conv3DTranspose)  f32[1,2,4,4,3] -> f32[1,4,8,8,2]  50 parameters
        b  f32[2]
        w  f32[2,2,2,2,3]
      50 parameters, 200.00 B
    """

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


def _pad_for_output(
    input_size: int,
    output_size: int,
    kernel_size: int,
    stride: int,
    padding: str,
    where: str,
) -> tuple[int, int]:
    """Padding ``(before, after)`` along an axis that leads to `output_size`.

    Args:
      input_size: Size of the input along the axis.
      output_size: Wanted size of the output.
      kernel_size: Size of the kernel.
      stride: Stride.
      padding: ``"SAME"`` or ``"VALID"``: padding of the convolution to invert.
      where: Name of the module, for messages.

    Raises:
      ValueError: The convolution doesn't map `output_size` to `input_size`, or
        `padding` has another value.
    """
    covered = {"VALID": output_size - kernel_size + 1, "SAME": output_size}
    if padding not in covered:
        raise ValueError(
            f"`padding` must be 'VALID' or 'SAME' if {where} has an output_shape. "
            f"Passed: {padding!r}."
        )
    expected = -(-covered[padding] // stride)
    if input_size != expected:
        raise ValueError(
            f"{where} cannot turn an axis of size {input_size} into output_shape "
            f"{output_size}: a {padding} convolution with kernel {kernel_size} and "
            f"stride {stride} maps {output_size} to {expected}, so the input would "
            f"need size {expected}."
        )
    reach = (input_size - 1) * stride + kernel_size
    before = kernel_size - 1 - max(0, reach - output_size) // 2
    return before, output_size + 2 * (kernel_size - 1) - reach - before
