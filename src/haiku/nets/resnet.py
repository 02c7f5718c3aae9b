"""Residual networks, versions 1 and 2, of 18 to 200 layers."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from haiku._core import Module
from haiku._layers.batch_norm import BatchNorm
from haiku._layers.convolution import Conv2D
from haiku._layers.linear import Linear
from haiku._layers.pooling import max_pool
from haiku._layers.tracing import traced_once

__all__ = [
    "ResNet",
    "ResNet101",
    "ResNet152",
    "ResNet18",
    "ResNet200",
    "ResNet34",
    "ResNet50",
]

IntOrSequence = int | Sequence[int]


def _relu(x: jax.Array) -> jax.Array:
    return traced_once(jax.nn.relu)(x)


def _convolutions(
    channels: int, stride: IntOrSequence, bottleneck: bool
) -> list[tuple[int, int, IntOrSequence]]:
    """Channels, kernel and stride of the convolutions of a block.

    The bottleneck's stride is at its 3x3 convolution.
    """
    if not bottleneck:
        return [(channels, 3, stride), (channels, 3, 1)]
    return [(channels // 4, 1, 1), (channels // 4, 3, stride), (channels, 1, 1)]


class BlockV1(Module):
    """A residual block: convolution, norm, relu; the shortcut is added before the last.

    Args:
      channels: Number of output channels.
      stride: Stride of the block.
      use_projection: Whether the shortcut is a 1x1 convolution, which it must be where
        the shape changes.
      bn_config: Arguments of :class:`BatchNorm`.
      bottleneck: Whether a 3x3 convolution stands between two of 1x1, on a quarter of
        the channels, instead of two of 3x3.
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
        bn_config = _bn_config(bn_config)
        if use_projection:
            self.proj_conv = Conv2D(
                output_channels=channels,
                kernel_shape=1,
                stride=stride,
                with_bias=False,
                padding="SAME",
                name="shortcut_conv",
            )
            self.proj_batchnorm = BatchNorm(name="shortcut_batchnorm", **bn_config)
        layers = []
        convolutions = _convolutions(channels, stride, bottleneck)
        last = len(convolutions) - 1
        for i, (size, kernel, step) in enumerate(convolutions):
            convolution = Conv2D(
                output_channels=size,
                kernel_shape=kernel,
                stride=step,
                with_bias=False,
                padding="SAME",
                name=f"conv_{i}",
            )
            # A bottleneck block starts as the identity: its last scale is zero.
            extra = {"scale_init": jnp.zeros} if bottleneck and i == last else {}
            norm = BatchNorm(name=f"batchnorm_{i}", **{**extra, **bn_config})
            layers.append((convolution, norm))
        self.layers = tuple(layers)

    def __call__(
        self, inputs: jax.Array, is_training: bool, test_local_stats: bool
    ) -> jax.Array:
        """The block on ``[B, H, W, C]``; see :class:`BatchNorm` for the other two."""
        shortcut = inputs
        if self.use_projection:
            shortcut = self.proj_conv(shortcut)
            shortcut = self.proj_batchnorm(shortcut, is_training, test_local_stats)
        out = inputs
        for i, (convolution, norm) in enumerate(self.layers):
            out = norm(convolution(out), is_training, test_local_stats)
            if i < len(self.layers) - 1:
                out = _relu(out)
        return _relu(out + shortcut)


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
        bn_config = _bn_config(bn_config)
        if use_projection:
            self.proj_conv = Conv2D(
                output_channels=channels,
                kernel_shape=1,
                stride=stride,
                with_bias=False,
                padding="SAME",
                name="shortcut_conv",
            )
        layers = []
        for i, (size, kernel, step) in enumerate(
            _convolutions(channels, stride, bottleneck)
        ):
            convolution = Conv2D(
                output_channels=size,
                kernel_shape=kernel,
                stride=step,
                with_bias=False,
                padding="SAME",
                name=f"conv_{i}",
            )
            layers.append((convolution, BatchNorm(name=f"batchnorm_{i}", **bn_config)))
        self.layers = tuple(layers)

    def __call__(
        self, inputs: jax.Array, is_training: bool, test_local_stats: bool
    ) -> jax.Array:
        """The block on ``[B, H, W, C]``; see :class:`BatchNorm` for the other two."""
        out = shortcut = inputs
        for i, (convolution, norm) in enumerate(self.layers):
            out = _relu(norm(out, is_training, test_local_stats))
            if i == 0 and self.use_projection:
                shortcut = self.proj_conv(out)
            out = convolution(out)
        return out + shortcut


class BlockGroup(Module):
    """Blocks of one size; the first brings its input there.

    Args:
      channels: Number of output channels.
      num_blocks: Number of blocks.
      stride: Stride of the first block.
      bn_config: Arguments of :class:`BatchNorm`.
      resnet_v2: Whether the blocks are :class:`BlockV2`.
      bottleneck: See :class:`BlockV1`.
      use_projection: Of the first block, see :class:`BlockV1`.
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
        """The blocks on ``[B, H, W, C]``; see :class:`BatchNorm` for the other two."""
        out = inputs
        for block in self.blocks:
            out = block(out, is_training, test_local_stats)
        return out


def _check_length(name: str, value: Sequence[Any]) -> None:
    if len(value) != 4:
        raise ValueError(f"`{name}` must be of length 4 not {len(value)}")


def _bn_config(config: Mapping[str, Any] | None) -> dict[str, Any]:
    """The configuration of batch norms, with what it leaves open."""
    defaults = {"decay_rate": 0.9, "eps": 1e-5, "create_scale": True}
    return {**defaults, "create_offset": True, **(config or {})}


class ResNet(Module):
    """A residual network for images.

    Args:
      blocks_per_group: Number of blocks of each of the four groups.
      num_classes: Number of outputs.
      bn_config: Arguments of all :class:`BatchNorm`. Default: a decay of 0.9, eps of
        1e-5, scale and offset.
      resnet_v2: Whether norms come before convolutions, as in version 2.
      bottleneck: Whether blocks have a bottleneck, see :class:`BlockV1`.
      channels_per_group: Number of output channels of each group.
      use_projection: Whether the shortcut of each group's first block is a convolution.
      logits_config: Arguments of the last :class:`Linear`. Default: zero weights, and
        the name ``logits``.
      name: Name of the module.
      initial_conv_config: Arguments of the first :class:`Conv2D`. Default: 64 channels,
        kernel 7, stride 2, no bias.
      strides: Stride of each group.

    Raises:
      ValueError: What is one per group does not have four entries.
    """

    CONFIGS = {
        18: {
            "blocks_per_group": (2, 2, 2, 2),
            "bottleneck": False,
            "channels_per_group": (64, 128, 256, 512),
            "use_projection": (False, True, True, True),
        },
        34: {
            "blocks_per_group": (3, 4, 6, 3),
            "bottleneck": False,
            "channels_per_group": (64, 128, 256, 512),
            "use_projection": (False, True, True, True),
        },
        50: {
            "blocks_per_group": (3, 4, 6, 3),
            "bottleneck": True,
            "channels_per_group": (256, 512, 1024, 2048),
            "use_projection": (True, True, True, True),
        },
        101: {
            "blocks_per_group": (3, 4, 23, 3),
            "bottleneck": True,
            "channels_per_group": (256, 512, 1024, 2048),
            "use_projection": (True, True, True, True),
        },
        152: {
            "blocks_per_group": (3, 8, 36, 3),
            "bottleneck": True,
            "channels_per_group": (256, 512, 1024, 2048),
            "use_projection": (True, True, True, True),
        },
        200: {
            "blocks_per_group": (3, 24, 36, 3),
            "bottleneck": True,
            "channels_per_group": (256, 512, 1024, 2048),
            "use_projection": (True, True, True, True),
        },
    }

    BlockGroup = BlockGroup
    BlockV1 = BlockV1
    BlockV2 = BlockV2

    def __init__(
        self,
        blocks_per_group: Sequence[int],
        num_classes: int,
        bn_config: Mapping[str, Any] | None = None,
        resnet_v2: bool = False,
        bottleneck: bool = True,
        channels_per_group: Sequence[int] = (256, 512, 1024, 2048),
        use_projection: Sequence[bool] = (True, True, True, True),
        logits_config: Mapping[str, Any] | None = None,
        name: str | None = None,
        initial_conv_config: Mapping[str, Any] | None = None,
        strides: Sequence[int] = (1, 2, 2, 2),
    ):
        super().__init__(name=name)
        self.resnet_v2 = resnet_v2
        _check_length("blocks_per_group", blocks_per_group)
        _check_length("channels_per_group", channels_per_group)
        _check_length("use_projection", use_projection)
        _check_length("strides", strides)
        bn_config = _bn_config(bn_config)
        initial_conv = {
            "output_channels": 64,
            "kernel_shape": 7,
            "stride": 2,
            "with_bias": False,
            "padding": "SAME",
            "name": "initial_conv",
        }
        self.initial_conv = Conv2D(**{**initial_conv, **(initial_conv_config or {})})
        if not resnet_v2:
            self.initial_batchnorm = BatchNorm(name="initial_batchnorm", **bn_config)
        self.block_groups = [
            BlockGroup(
                channels=channels_per_group[i],
                num_blocks=blocks_per_group[i],
                stride=stride,
                bn_config=bn_config,
                resnet_v2=resnet_v2,
                bottleneck=bottleneck,
                use_projection=use_projection[i],
                name=f"block_group_{i}",
            )
            for i, stride in enumerate(strides)
        ]
        if resnet_v2:
            self.final_batchnorm = BatchNorm(name="final_batchnorm", **bn_config)
        logits = {"w_init": jnp.zeros, "name": "logits", **(logits_config or {})}
        self.logits = Linear(num_classes, **logits)

    def __call__(
        self,
        inputs: jax.Array,
        is_training: bool,
        test_local_stats: bool = False,
    ) -> jax.Array:
        """Classifies.

        Args:
          inputs: Images, ``[B, H, W, C]``.
          is_training: See :class:`BatchNorm`.
          test_local_stats: See :class:`BatchNorm`.

        Returns:
          Logits, ``[B, num_classes]``.
        """
        out = self.initial_conv(inputs)
        if not self.resnet_v2:
            out = _relu(self.initial_batchnorm(out, is_training, test_local_stats))
        out = max_pool(out, (1, 3, 3, 1), (1, 2, 2, 1), "SAME")
        for group in self.block_groups:
            out = group(out, is_training, test_local_stats)
        if self.resnet_v2:
            out = _relu(self.final_batchnorm(out, is_training, test_local_stats))
        return self.logits(jnp.mean(out, axis=(1, 2)))


class ResNet18(ResNet):
    """:class:`ResNet` of 18 layers."""

    def __init__(
        self,
        num_classes: int,
        bn_config: Mapping[str, Any] | None = None,
        resnet_v2: bool = False,
        logits_config: Mapping[str, Any] | None = None,
        name: str | None = None,
        initial_conv_config: Mapping[str, Any] | None = None,
        strides: Sequence[int] = (1, 2, 2, 2),
    ):
        super().__init__(
            num_classes=num_classes,
            bn_config=bn_config,
            resnet_v2=resnet_v2,
            logits_config=logits_config,
            name=name,
            initial_conv_config=initial_conv_config,
            strides=strides,
            **ResNet.CONFIGS[18],
        )


class ResNet34(ResNet):
    """:class:`ResNet` of 34 layers."""

    def __init__(
        self,
        num_classes: int,
        bn_config: Mapping[str, Any] | None = None,
        resnet_v2: bool = False,
        logits_config: Mapping[str, Any] | None = None,
        name: str | None = None,
        initial_conv_config: Mapping[str, Any] | None = None,
        strides: Sequence[int] = (1, 2, 2, 2),
    ):
        super().__init__(
            num_classes=num_classes,
            bn_config=bn_config,
            resnet_v2=resnet_v2,
            logits_config=logits_config,
            name=name,
            initial_conv_config=initial_conv_config,
            strides=strides,
            **ResNet.CONFIGS[34],
        )


class ResNet50(ResNet):
    """:class:`ResNet` of 50 layers."""

    def __init__(
        self,
        num_classes: int,
        bn_config: Mapping[str, Any] | None = None,
        resnet_v2: bool = False,
        logits_config: Mapping[str, Any] | None = None,
        name: str | None = None,
        initial_conv_config: Mapping[str, Any] | None = None,
        strides: Sequence[int] = (1, 2, 2, 2),
    ):
        super().__init__(
            num_classes=num_classes,
            bn_config=bn_config,
            resnet_v2=resnet_v2,
            logits_config=logits_config,
            name=name,
            initial_conv_config=initial_conv_config,
            strides=strides,
            **ResNet.CONFIGS[50],
        )


class ResNet101(ResNet):
    """:class:`ResNet` of 101 layers."""

    def __init__(
        self,
        num_classes: int,
        bn_config: Mapping[str, Any] | None = None,
        resnet_v2: bool = False,
        logits_config: Mapping[str, Any] | None = None,
        name: str | None = None,
        initial_conv_config: Mapping[str, Any] | None = None,
        strides: Sequence[int] = (1, 2, 2, 2),
    ):
        super().__init__(
            num_classes=num_classes,
            bn_config=bn_config,
            resnet_v2=resnet_v2,
            logits_config=logits_config,
            name=name,
            initial_conv_config=initial_conv_config,
            strides=strides,
            **ResNet.CONFIGS[101],
        )


class ResNet152(ResNet):
    """:class:`ResNet` of 152 layers."""

    def __init__(
        self,
        num_classes: int,
        bn_config: Mapping[str, Any] | None = None,
        resnet_v2: bool = False,
        logits_config: Mapping[str, Any] | None = None,
        name: str | None = None,
        initial_conv_config: Mapping[str, Any] | None = None,
        strides: Sequence[int] = (1, 2, 2, 2),
    ):
        super().__init__(
            num_classes=num_classes,
            bn_config=bn_config,
            resnet_v2=resnet_v2,
            logits_config=logits_config,
            name=name,
            initial_conv_config=initial_conv_config,
            strides=strides,
            **ResNet.CONFIGS[152],
        )


class ResNet200(ResNet):
    """:class:`ResNet` of 200 layers."""

    def __init__(
        self,
        num_classes: int,
        bn_config: Mapping[str, Any] | None = None,
        resnet_v2: bool = False,
        logits_config: Mapping[str, Any] | None = None,
        name: str | None = None,
        initial_conv_config: Mapping[str, Any] | None = None,
        strides: Sequence[int] = (1, 2, 2, 2),
    ):
        super().__init__(
            num_classes=num_classes,
            bn_config=bn_config,
            resnet_v2=resnet_v2,
            logits_config=logits_config,
            name=name,
            initial_conv_config=initial_conv_config,
            strides=strides,
            **ResNet.CONFIGS[200],
        )
