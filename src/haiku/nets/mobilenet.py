"""MobileNet, version 1."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from haiku._core import Module
from haiku._layers.batch_norm import BatchNorm
from haiku._layers.cached_tracing import relu
from haiku._layers.convolution import Conv2D
from haiku._layers.depthwise import DepthwiseConv2D
from haiku._layers.linear import Linear
from haiku._layers.reshape import Flatten

__all__ = ["MobileNetV1"]


def _norm_and_relu(x: jax.Array, use_bn: bool, is_training: bool) -> jax.Array:
    if use_bn:
        norm = BatchNorm(create_scale=True, create_offset=True, decay_rate=0.999)
        x = norm(x, is_training)
    return relu(x)


class MobileNetV1Block(Module):
    """A depthwise 3x3 convolution, then a 1x1 convolution that mixes the channels.

    Args:
      channels: Number of output channels.
      stride: Stride of the depthwise convolution.
      use_bn: Whether each convolution has a :class:`BatchNorm` instead of a bias.
      name: Name of the module.
    """

    def __init__(
        self,
        channels: int,
        stride: int,
        use_bn: bool = True,
        name: str | None = None,
    ):
        super().__init__(name=name)
        self.channels = channels
        self.stride = stride
        self.use_bn = use_bn
        self.with_bias = not use_bn

    def __call__(self, inputs: jax.Array, is_training: bool) -> jax.Array:
        """Applies the block to ``[B, H, W, C]``."""
        depthwise = DepthwiseConv2D(
            channel_multiplier=1,
            kernel_shape=3,
            stride=self.stride,
            padding=((1, 1), (1, 1)),
            with_bias=self.with_bias,
            name="depthwise_conv",
        )
        out = _norm_and_relu(depthwise(inputs), self.use_bn, is_training)
        pointwise = Conv2D(
            output_channels=self.channels,
            kernel_shape=(1, 1),
            stride=1,
            padding="VALID",
            with_bias=self.with_bias,
            name="pointwise_conv",
        )
        return _norm_and_relu(pointwise(out), self.use_bn, is_training)


class MobileNetV1(Module):
    """A small image classifier made of depthwise convolutions.

    Args:
      strides: Stride of each block.
      channels: Number of output channels of each block.
      num_classes: Number of classes.
      use_bn: Whether each convolution has a :class:`BatchNorm` instead of a bias.
      name: Name of the module.

    Raises:
      ValueError: `strides` and `channels` differ in length.

    Source:
      Howard et al., 2017, MobileNets: Efficient Convolutional Neural Networks for
      Mobile Vision Applications, arXiv:1704.04861.

    Example:
      >>> net = hk.transform_with_state(lambda x: hk.nets.MobileNetV1()(x, True))
      >>> x = jax.ShapeDtypeStruct([1, 224, 224, 3], jnp.float32)
      >>> params, _ = jax.eval_shape(net.init, jax.random.key(0), x)
      >>> hk.data_structures.tree_size(params)
      4231976
    """

    def __init__(
        self,
        strides: Sequence[int] = (1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1),
        channels: Sequence[int] = (
            64,
            128,
            128,
            256,
            256,
            512,
            512,
            512,
            512,
            512,
            512,
            1024,
            1024,
        ),
        num_classes: int = 1000,
        use_bn: bool = True,
        name: str | None = None,
    ):
        super().__init__(name=name)
        if len(strides) != len(channels):
            raise ValueError(
                "`strides` and `channels` must have the same length, the number of "
                f"blocks. Got: {len(strides)} and {len(channels)}"
            )
        self.strides = strides
        self.channels = channels
        self.use_bn = use_bn
        self.with_bias = not use_bn
        self.num_classes = num_classes

    def __call__(self, inputs: jax.Array, is_training: bool) -> jax.Array:
        """Classifies images.

        Args:
          inputs: Images, ``[B, H, W, C]``.
          is_training: See :class:`BatchNorm`.

        Returns:
          Logits, ``[B, num_classes]``.
        """
        initial = Conv2D(
            output_channels=32,
            kernel_shape=(3, 3),
            stride=2,
            padding="VALID",
            with_bias=self.with_bias,
        )
        out = _norm_and_relu(initial(inputs), self.use_bn, is_training)
        for channels, stride in zip(self.channels, self.strides):
            out = MobileNetV1Block(channels, stride, self.use_bn)(out, is_training)
        out = jnp.mean(out, axis=(1, 2))
        return Linear(self.num_classes, name="logits")(Flatten()(out))
