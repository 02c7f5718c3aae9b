"""Residual networks, versions 1 and 2, of 18 to 200 layers."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from haiku._core import Module
from haiku._layers.batch_norm import BatchNorm
from haiku._layers.cached_tracing import relu
from haiku._layers.convolution import Conv2D
from haiku._layers.linear import Linear
from haiku._layers.pooling import max_pool
from haiku.nets.resnet_blocks import BlockGroup, BlockV1, BlockV2, with_norm_defaults

__all__ = [
    "ResNet",
    "ResNet101",
    "ResNet152",
    "ResNet18",
    "ResNet200",
    "ResNet34",
    "ResNet50",
]


def _configuration(
    blocks_per_group: tuple[int, int, int, int], bottleneck: bool
) -> dict[str, Any]:
    """Arguments of a :class:`ResNet` in the papers; a bottleneck has more channels."""
    wide, narrow = (256, 512, 1024, 2048), (64, 128, 256, 512)
    return {
        "blocks_per_group": blocks_per_group,
        "bottleneck": bottleneck,
        "channels_per_group": wide if bottleneck else narrow,
        "use_projection": (bottleneck, True, True, True),
    }


def _check_one_per_group(**arguments: Sequence[Any]) -> None:
    for name, value in arguments.items():
        if len(value) != 4:
            raise ValueError(
                f"`{name}` must be of length 4 not {len(value)}: one entry per group "
                f"of blocks, got {value!r}."
            )


class ResNet(Module):
    """A residual network that classifies images.

    Args:
      blocks_per_group: Number of blocks in each of the four groups.
      num_classes: Number of classes.
      bn_config: Arguments of all :class:`BatchNorm` layers. Default: decay rate 0.9,
        eps 1e-5, scale and offset.
      resnet_v2: Whether norms come before convolutions, as in version 2.
      bottleneck: Whether blocks have a bottleneck, see :class:`BlockV1`.
      channels_per_group: Number of output channels of each group.
      use_projection: Whether the shortcut in each group's first block is a convolution.
      logits_config: Arguments of the last :class:`Linear`. Default: zero weights and
        the name ``logits``.
      name: Name of the module.
      initial_conv_config: Arguments of the first :class:`Conv2D`. Default: 64 channels,
        kernel 7, stride 2, no bias.
      strides: Stride of each group.

    Raises:
      ValueError: An argument with one entry per group doesn't have four.

    Source:
      He et al., 2015, Deep Residual Learning for Image Recognition, arXiv:1512.03385;
      version 2: He et al., 2016, Identity Mappings in Deep Residual Networks,
      arXiv:1603.05027.

    Example:
      >>> def f(x, is_training):
      ...     return hk.nets.ResNet50(10)(x, is_training)
      >>> net = hk.transform_with_state(f)  # its BatchNorms keep averages as state
    """

    CONFIGS = {
        18: _configuration((2, 2, 2, 2), bottleneck=False),
        34: _configuration((3, 4, 6, 3), bottleneck=False),
        50: _configuration((3, 4, 6, 3), bottleneck=True),
        101: _configuration((3, 4, 23, 3), bottleneck=True),
        152: _configuration((3, 8, 36, 3), bottleneck=True),
        200: _configuration((3, 24, 36, 3), bottleneck=True),
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
        _check_one_per_group(
            blocks_per_group=blocks_per_group,
            channels_per_group=channels_per_group,
            use_projection=use_projection,
            strides=strides,
        )
        bn_config = with_norm_defaults(bn_config)
        initial_conv = {
            "output_channels": 64,
            "kernel_shape": 7,
            "stride": 2,
            "with_bias": False,
            "name": "initial_conv",
            **(initial_conv_config or {}),
        }
        self.initial_conv = Conv2D(**initial_conv)
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
        """Classifies images.

        Args:
          inputs: Images, ``[B, H, W, C]``.
          is_training: See :class:`BatchNorm`.
          test_local_stats: See :class:`BatchNorm`.

        Returns:
          Logits, ``[B, num_classes]``.
        """
        out = self.initial_conv(inputs)
        if not self.resnet_v2:
            out = relu(self.initial_batchnorm(out, is_training, test_local_stats))
        out = max_pool(out, (1, 3, 3, 1), (1, 2, 2, 1), "SAME")
        for group in self.block_groups:
            out = group(out, is_training, test_local_stats)
        if self.resnet_v2:
            out = relu(self.final_batchnorm(out, is_training, test_local_stats))
        return self.logits(jnp.mean(out, axis=(1, 2)))


class _ResNetOfDepth(ResNet):
    """A :class:`ResNet` of the papers, chosen by its number of layers."""

    _DEPTH: ClassVar[int]

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
            **ResNet.CONFIGS[self._DEPTH],
        )


class ResNet18(_ResNetOfDepth):
    """A residual network of 18 layers; see :class:`ResNet` for the arguments.

    Example:
      >>> net = hk.transform_with_state(lambda x: hk.nets.ResNet18(1000)(x, True))
      >>> x = jax.ShapeDtypeStruct([1, 224, 224, 3], jnp.float32)
      >>> params, _ = jax.eval_shape(net.init, jax.random.key(0), x)
      >>> hk.data_structures.tree_size(params)
      11689512
    """

    _DEPTH = 18


class ResNet34(_ResNetOfDepth):
    """A residual network of 34 layers; see :class:`ResNet` for the arguments.

    Example:
      >>> net = hk.transform_with_state(lambda x: hk.nets.ResNet34(1000)(x, True))
      >>> x = jax.ShapeDtypeStruct([1, 224, 224, 3], jnp.float32)
      >>> params, _ = jax.eval_shape(net.init, jax.random.key(0), x)
      >>> hk.data_structures.tree_size(params)
      21797672
    """

    _DEPTH = 34


class ResNet50(_ResNetOfDepth):
    """A residual network of 50 layers; see :class:`ResNet` for the arguments.

    Example:
      >>> net = hk.transform_with_state(lambda x: hk.nets.ResNet50(1000)(x, True))
      >>> x = jax.ShapeDtypeStruct([1, 224, 224, 3], jnp.float32)
      >>> params, _ = jax.eval_shape(net.init, jax.random.key(0), x)
      >>> hk.data_structures.tree_size(params)
      25557032
    """

    _DEPTH = 50


class ResNet101(_ResNetOfDepth):
    """A residual network of 101 layers; see :class:`ResNet` for the arguments.

    Example:
      >>> net = hk.transform_with_state(lambda x: hk.nets.ResNet101(1000)(x, True))
      >>> x = jax.ShapeDtypeStruct([1, 224, 224, 3], jnp.float32)
      >>> params, _ = jax.eval_shape(net.init, jax.random.key(0), x)
      >>> hk.data_structures.tree_size(params)
      44549160
    """

    _DEPTH = 101


class ResNet152(_ResNetOfDepth):
    """A residual network of 152 layers; see :class:`ResNet` for the arguments.

    Example:
      >>> net = hk.transform_with_state(lambda x: hk.nets.ResNet152(1000)(x, True))
      >>> x = jax.ShapeDtypeStruct([1, 224, 224, 3], jnp.float32)
      >>> params, _ = jax.eval_shape(net.init, jax.random.key(0), x)
      >>> hk.data_structures.tree_size(params)
      60192808
    """

    _DEPTH = 152


class ResNet200(_ResNetOfDepth):
    """A residual network of 200 layers; see :class:`ResNet` for the arguments.

    Example:
      >>> net = hk.transform_with_state(lambda x: hk.nets.ResNet200(1000)(x, True))
      >>> x = jax.ShapeDtypeStruct([1, 224, 224, 3], jnp.float32)
      >>> params, _ = jax.eval_shape(net.init, jax.random.key(0), x)
      >>> hk.data_structures.tree_size(params)
      64673832
    """

    _DEPTH = 200
