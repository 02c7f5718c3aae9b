"""Blocks of residual networks, versions 1 and 2, and groups of blocks."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from haiku._core import Module
from haiku._layers.batch_norm import BatchNorm
from haiku._layers.cached_tracing import relu
from haiku._layers.convolution import Conv2D

__all__ = ["BlockGroup", "BlockV1", "BlockV2", "with_norm_defaults"]

IntOrSequence = int | Sequence[int]


def with_norm_defaults(config: Mapping[str, Any] | None) -> dict[str, Any]:
    """Adds defaults to the configuration of batch norms."""
    defaults = {"decay_rate": 0.9, "eps": 1e-5, "create_scale": True}
    return {**defaults, "create_offset": True, **(config or {})}


class BlockV1(Module):
    """A residual block with norm and relu after each convolution.

    The shortcut is added before the last relu.

    Args:
      channels: Number of output channels.
      stride: Stride of the block.
      use_projection: Whether the shortcut is a 1x1 convolution; needed if the shape
        changes.
      bn_config: Arguments of :class:`BatchNorm`.
      bottleneck: Whether to use a 3x3 convolution on a quarter of the channels between
        two 1x1 convolutions, instead of two 3x3 convolutions.
      name: Name of the module.

    Source:
      He et al., 2015, Deep Residual Learning for Image Recognition, arXiv:1512.03385.
    """

    def __init__(
        self,
        channels: int,
        stride: IntOrSequence,
        use_projection: bool,
        bn_config: Mapping[str, Any],
        bottleneck: bool,
        name: str | None = None,
    ):
        super().__init__(name=name)
        self.use_projection = use_projection
        self._own_axes = _pair_of_convolutions(bottleneck)
        bn_config = with_norm_defaults(bn_config)
        if use_projection:
            self.proj_conv = _convolution(channels, 1, stride, "shortcut_conv")
            self.proj_batchnorm = BatchNorm(name="shortcut_batchnorm", **bn_config)
        # A bottleneck block starts as the identity: its last scale is zero.
        last = {"scale_init": jnp.zeros, **bn_config} if bottleneck else bn_config
        self.layers = _layers(channels, stride, bottleneck, bn_config, last)

    def __call__(
        self, inputs: jax.Array, is_training: bool, test_local_stats: bool
    ) -> jax.Array:
        """Applies the block to ``[B, H, W, C]``; :class:`BatchNorm` has the flags."""
        shortcut = inputs
        if self.use_projection:
            shortcut = self.proj_conv(shortcut)
            shortcut = self.proj_batchnorm(shortcut, is_training, test_local_stats)
        out = inputs
        for i, (convolution, norm) in enumerate(self.layers):
            out = norm(convolution(out), is_training, test_local_stats)
            if i < len(self.layers) - 1:
                out = relu(out)
        return relu(out + shortcut)


class BlockV2(Module):
    """A residual block with norm and relu before each convolution.

    Args:
      channels: See :class:`BlockV1`.
      stride: See :class:`BlockV1`.
      use_projection: See :class:`BlockV1`.
      bn_config: See :class:`BlockV1`.
      bottleneck: See :class:`BlockV1`.
      name: Name of the module.

    Source:
      He et al., 2016, Identity Mappings in Deep Residual Networks, arXiv:1603.05027.
    """

    def __init__(
        self,
        channels: int,
        stride: IntOrSequence,
        use_projection: bool,
        bn_config: Mapping[str, Any],
        bottleneck: bool,
        name: str | None = None,
    ):
        super().__init__(name=name)
        self.use_projection = use_projection
        self._own_axes = _pair_of_convolutions(bottleneck)
        bn_config = with_norm_defaults(bn_config)
        if use_projection:
            self.proj_conv = _convolution(channels, 1, stride, "shortcut_conv")
        self.layers = _layers(channels, stride, bottleneck, bn_config, bn_config)

    def __call__(
        self, inputs: jax.Array, is_training: bool, test_local_stats: bool
    ) -> jax.Array:
        """Applies the block to ``[B, H, W, C]``; :class:`BatchNorm` has the flags."""
        out = shortcut = inputs
        for i, (convolution, norm) in enumerate(self.layers):
            out = relu(norm(out, is_training, test_local_stats))
            if i == 0 and self.use_projection:
                shortcut = self.proj_conv(out)
            out = convolution(out)
        return out + shortcut


def _pair_of_convolutions(bottleneck: bool) -> dict[str, Any]:
    """Names of the axes of the block's largest weights, the last two convolutions."""
    first = 1 if bottleneck else 0
    return {
        f"**/conv_{first}/w": (None, None, "embed", "mlp"),
        f"**/conv_{first + 1}/w": (None, None, "mlp", "embed"),
    }


def _layers(
    channels: int,
    stride: IntOrSequence,
    bottleneck: bool,
    bn_config: Mapping[str, Any],
    last_bn_config: Mapping[str, Any],
) -> tuple[tuple[Conv2D, BatchNorm], ...]:
    """The convolutions of a block, each with its norm."""
    if bottleneck:  # the 3x3 convolution has the stride
        sizes = [(channels // 4, 1, 1), (channels // 4, 3, stride), (channels, 1, 1)]
    else:
        sizes = [(channels, 3, stride), (channels, 3, 1)]
    configs = [bn_config] * (len(sizes) - 1) + [last_bn_config]
    return tuple(
        (
            _convolution(*size, name=f"conv_{i}"),
            BatchNorm(name=f"batchnorm_{i}", **config),
        )
        for i, (size, config) in enumerate(zip(sizes, configs))
    )


def _convolution(
    channels: int, kernel: int, stride: IntOrSequence, name: str
) -> Conv2D:
    return Conv2D(channels, kernel, stride, with_bias=False, name=name)


class BlockGroup(Module):
    """Blocks of one size; the first one changes the shape of its input.

    Args:
      channels: Number of output channels.
      num_blocks: Number of blocks.
      stride: Stride of the first block.
      bn_config: Arguments of :class:`BatchNorm`.
      resnet_v2: Whether the blocks are :class:`BlockV2`.
      bottleneck: See :class:`BlockV1`.
      use_projection: For the first block, see :class:`BlockV1`.
      name: Name of the module.
    """

    def __init__(
        self,
        channels: int,
        num_blocks: int,
        stride: IntOrSequence,
        bn_config: Mapping[str, Any],
        resnet_v2: bool,
        bottleneck: bool,
        use_projection: bool,
        name: str | None = None,
    ):
        super().__init__(name=name)
        block = BlockV2 if resnet_v2 else BlockV1
        self.blocks = [
            block(
                channels=channels,
                stride=1 if i else stride,
                use_projection=i == 0 and use_projection,
                bn_config=bn_config,
                bottleneck=bottleneck,
                name=f"block_{i}",
            )
            for i in range(num_blocks)
        ]

    def __call__(
        self, inputs: jax.Array, is_training: bool, test_local_stats: bool
    ) -> jax.Array:
        """Applies the blocks to ``[B, H, W, C]``; :class:`BatchNorm` has the flags."""
        out = inputs
        for block in self.blocks:
            out = block(out, is_training, test_local_stats)
        return out
