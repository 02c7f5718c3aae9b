"""`ConvNeXt`: convolutional nets after the fashion of transformers, both versions."""

import math

import jax
import jax.numpy as jnp
import numpy as np

from haiku._core import (
    Module,
    get_parameter,
    maybe_next_rng_key,
    name_like,
    name_scope,
    running_init,
    transparent,
)
from haiku._layers.convolution import Conv2D
from haiku._layers.depthwise import DepthwiseConv2D
from haiku._layers.inputs import as_array
from haiku._layers.linear import Linear
from haiku._layers.residual_branches import LayerScale, stochastic_depth
from haiku._layers.response_norm import ResponseNorm
from haiku._layers.wide_norm import WideNorm
from haiku._lifted.layer_stack import layer_stack
from haiku.initializers import TruncatedNormal
from haiku.nets.convnext_config import ConvNeXtConfig
from haiku.nets.transformer import BLOCK_AXES
from haiku.nets.transformer_config import ACTIVATIONS

__all__ = ["ConvNeXt"]


class ConvNeXt(Module):
    """A convolutional net of stages: each halves the map of the one before.

    A block convolves each feature over its neighbours, and an MLP maps the features of
    each place, ``h + scale * mlp(norm(conv(h)))``. The blocks of a stage are compiled
    as one (:func:`layer_stack`).

    Args:
      config: Its :class:`ConvNeXtConfig`.
      name: Name of the module. Default: ``"convnext"``.

    Parameters:
      ``patch_embed``, ``embed_norm``; for each stage ``stage_0/blocks/conv``, ``norm``,
      ``mlp/up``, ``mlp/down``, with ``scale`` if the config has `layer_scale` and
      ``mlp/norm`` if it has `response_norm`; before those of later stages
      ``stage_1/downsample_norm`` and ``stage_1/downsample``; ``norm``, of the pooled
      features; ``head``.

    Source:
      Liu et al., 2022, A ConvNet for the 2020s, arXiv:2201.03545; version 2: Woo et
      al., 2023, ConvNeXt V2, arXiv:2301.00808.

    Example:
      >>> config = hk.nets.ConvNeXtConfig(
      ...     model_sizes=(8, 16), num_layers=(2, 2), head="classes", num_classes=10)
      >>> images = jnp.ones([2, 32, 48, 3])
      >>> model = hk.bind(hk.nets.ConvNeXt, config).init(0, images)
      >>> model(images).shape, model.hidden(images).shape
      ((2, 10), (2, 4, 6, 16))
    """

    _own_axes = BLOCK_AXES

    def __init__(self, config: ConvNeXtConfig, name: str | None = None):
        super().__init__(name="convnext" if name is None else name)
        self.config = config

    def __call__(self, images: jax.Array) -> jax.Array:
        """Returns the head's output for a batch of images.

        Args:
          images: Floats ``[B, H, W, C]``, not smaller than the config's
            `smallest_image`; rows and columns that fill no patch aren't read. They are
            taken in the dtype of the parameters.

        Returns:
          Logits of classes ``[B, num_classes]``, or without a head the last map
          ``[B, h, w, D]``.

        Raises:
          ValueError: Shapes don't fit, images aren't floats, or are too small.
        """
        config, h = self.config, self._hidden(images)
        if config.head is None:
            if running_init():
                self._pooled(h)
            return h
        return Linear(config.num_classes or 0, name="head")(self._pooled(h))

    @name_like("__call__")
    def hidden(self, images: jax.Array) -> jax.Array:
        """Returns the last map ``[B, h, w, D]``. Takes the arguments of a call."""
        return self._hidden(images)

    @name_like("__call__")
    def pooled(self, images: jax.Array) -> jax.Array:
        """Returns the norm of the last map's mean ``[B, D]``.

        Takes the arguments of a call.
        """
        return self._pooled(self._hidden(images))

    @transparent
    def _pooled(self, h):
        mean = jnp.mean(h, axis=(1, 2))
        return WideNorm("layer", self.config.pooled_norm_eps, name="norm")(mean)

    @transparent
    def _hidden(self, images):
        config = self.config
        h = self._norm("embed_norm")(self._patches(self._checked(images)))
        rates = np.linspace(0, config.stochastic_depth, sum(config.num_layers))
        ends = np.cumsum(config.num_layers)[:-1]
        for i, of_stage in enumerate(np.split(rates.astype(np.float32), ends)):
            with name_scope(f"stage_{i}"):
                if i:
                    h = self._norm("downsample_norm")(h)
                    size = config.model_sizes[i]
                    h = Conv2D(size, 2, 2, padding="VALID", name="downsample")(h)
                stack = layer_stack(len(of_stage), True, name="blocks")
                h, _ = stack(self._block)(h, of_stage)
        return h

    @transparent
    def _block(self, h, rate):
        config = self.config
        y = DepthwiseConv2D(1, 7, name="conv")(h)
        y = self._norm("norm")(y)
        with name_scope("mlp"):
            y = ACTIVATIONS[config.activation](Linear(4 * h.shape[-1], name="up")(y))
            if config.response_norm:
                y = ResponseNorm(name="norm")(y)
            y = Linear(h.shape[-1], name="down")(y)
        if config.layer_scale is not None:
            y = LayerScale(config.layer_scale, name="scale")(y)
        key = maybe_next_rng_key() if config.stochastic_depth else None
        if key is not None:
            y = stochastic_depth(key, rate, y)
        return h + y, None

    @transparent
    def _patches(self, images):
        """The map of the patches ``[B, h, w, D]``."""
        config = self.config
        shape = [*config.patch_size, config.channels, config.model_sizes[0]]
        init = TruncatedNormal(1 / math.sqrt(math.prod(shape[:3])))
        with name_scope("patch_embed"):
            w = get_parameter("w", shape, images.dtype, init=init)
            b = get_parameter("b", shape[3:], images.dtype, init=jnp.zeros)
        h = jax.lax.conv_general_dilated(
            images.astype(w.dtype),
            w,
            config.patch_size,
            "VALID",
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )
        return h + jnp.broadcast_to(b, h.shape)

    @transparent
    def _norm(self, name):
        return WideNorm("layer", self.config.norm_eps, name=name)

    def _checked(self, images):
        config, images = self.config, as_array(images)
        floats = jnp.issubdtype(images.dtype, jnp.floating)
        if images.ndim != 4 or images.shape[3] != config.channels or not floats:
            raise ValueError(
                f"{self.module_name!r} needs images of shape [B, H, W, "
                f"{config.channels}], floats, got {images.dtype} of shape "
                f"{images.shape}."
            )
        sizes, smallest = images.shape[1:3], config.smallest_image
        if any(size < least for size, least in zip(sizes, smallest)):
            raise ValueError(
                f"{self.module_name!r} got images of {sizes}, and its "
                f"{len(config.model_sizes)} stages need at least {smallest}: resize or "
                "pad them."
            )
        return images
