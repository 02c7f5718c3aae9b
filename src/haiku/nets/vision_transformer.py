"""`VisionTransformer`: ViT, DINOv2 and the image towers of CLIP, from one config."""

import jax
import jax.numpy as jnp

from haiku._core import (
    Module,
    get_parameter,
    name_like,
    name_scope,
    running_init,
    transparent,
)
from haiku._layers.attention import Attention
from haiku._layers.explicit_axes import split_like
from haiku._layers.inputs import as_array
from haiku._layers.linear import Linear
from haiku._layers.patch_embed import PatchEmbed
from haiku._layers.resize import resized
from haiku.initializers import TruncatedNormal
from haiku.nets.transformer import BLOCK_AXES, dropped, mlp, norm_of, run_blocks
from haiku.nets.vision_transformer_config import VisionTransformerConfig

__all__ = ["VisionTransformer"]


class VisionTransformer(Module):
    """An image encoder: patches, blocks in which each patch sees all, a head.

    Images may have another size than those of training: learned positions are
    interpolated (cubic, as PyTorch does). Blocks are compiled as one
    (:func:`layer_stack`).

    Args:
      config: Its :class:`VisionTransformerConfig`.
      name: Name of the module.

    Parameters:
      ``patch_embed/conv``; ``class_token`` ``[D]``, ``registers`` ``[R, D]``,
      ``mask_token`` ``[D]``; ``positions/embeddings`` ``[N, D]``, the first that of the
      class token; ``embed_norm``; the blocks as in :class:`Decoder`, with
      ``attention_scale`` and ``mlp_scale`` if the config has `layer_scale`; ``norm``;
      ``pooler``; ``head``.

    Source:
      Dosovitskiy et al., 2020, An Image is Worth 16x16 Words, arXiv:2010.11929;
      registers: Darcet et al., 2023, Vision Transformers Need Registers,
      arXiv:2309.16588.

    Example:
      >>> config = hk.nets.VisionTransformerConfig(
      ...     image_size=32, patch_size=8, model_size=16, num_layers=4, num_heads=2,
      ...     head="classes", num_classes=10)
      >>> images = jnp.ones([2, 32, 48, 3])
      >>> model = hk.bind(hk.nets.VisionTransformer, config).init(0, images)
      >>> model(images).shape, model.hidden(images).shape
      ((2, 10), (2, 25, 16))
    """

    _own_axes = BLOCK_AXES

    def __init__(self, config: VisionTransformerConfig, name: str | None = None):
        super().__init__(name=name)
        self.config = config

    def __call__(
        self, images: jax.Array, *, masked: jax.Array | None = None
    ) -> jax.Array:
        """Returns the head's output for a batch of images.

        Args:
          images: Floats ``[B, H, W, C]``; patches divide `H` and `W`. They are taken in
            the dtype of the parameters.
          masked: True where the mask token stands for a patch, ``[B, patches]``, row by
            row. Default: nowhere.

        Returns:
          Logits of classes ``[B, num_classes]``, or without a head the hidden state
          ``[B, N, D]``: class token, registers, patches.

        Raises:
          ValueError: Shapes don't fit, images aren't floats, patches don't divide them,
            or `masked` is given without `mask_token` in the config.
        """
        config = self.config
        h = self._hidden(images, masked)
        if config.pooler is not None and running_init():
            self._pooled(h)
        if config.head is None:
            return h
        read = []
        if config.pooling != "mean":
            read.append(h[:, 0])
        if config.pooling != "first":
            patches = h[:, int(config.class_token) + config.registers :]
            read.append(jnp.mean(patches, axis=1))
        h = dropped(jnp.concatenate(read, axis=-1), config.dropout)
        return Linear(config.num_classes or 0, name="head")(h)

    @name_like("__call__")
    def hidden(
        self, images: jax.Array, *, masked: jax.Array | None = None
    ) -> jax.Array:
        """Returns the hidden state ``[B, N, D]`` after the last block and norm.

        Takes the arguments of a call.
        """
        return self._hidden(images, masked)

    @name_like("__call__")
    def pooled(
        self, images: jax.Array, *, masked: jax.Array | None = None
    ) -> jax.Array:
        """Returns the pooler's output ``[B, D]``.

        Takes the arguments of a call.

        Raises:
          ValueError: The config has no pooler.
        """
        if self.config.pooler is None:
            raise ValueError(
                f"{self.module_name!r} has no pooler: build it with pooler='first', or "
                "take the mean of hidden(images) over the tokens."
            )
        return self._pooled(self._hidden(images, masked))

    @transparent
    def _pooled(self, h):
        config = self.config
        if config.pooler == "attention":
            return self._attended(h)
        first = h[:, 0]
        if config.pooled_norm:
            first = norm_of(config, "norm")(first)
        if config.pooler == "tanh":
            size = config.pooler_size or config.model_size
            return jnp.tanh(Linear(size, name="pooler")(first))
        return first

    @transparent
    def _attended(self, h):
        """A learned query attends to all tokens; a block's MLP follows."""
        config = self.config
        with name_scope("pooler"):
            query = self._token("query", h.dtype, h.shape[0])
            attention = Attention(
                config.num_heads,
                config.head_size or 0,
                output_size=config.model_size,
                name="attention",
            )
            y = attention(query, h)
            return (y + mlp(config, norm_of(config, "mlp_norm")(y)))[:, 0]

    @transparent
    def _hidden(self, images, masked):
        config = self.config
        images = self._checked(images, masked)
        number = config.grid[0] * config.grid[1] + config.class_token
        with name_scope("positions"):
            positions = get_parameter(
                "embeddings",
                [number, config.model_size],
                images.dtype,
                init=TruncatedNormal(0.02),
            )
        sizes = [n // p for n, p in zip(images.shape[1:3], config.patch_size)]
        patch_embed = PatchEmbed(
            config.model_size, config.patch_size, config.patch_bias, name="patch_embed"
        )
        h = patch_embed(images.astype(positions.dtype))
        if config.mask_token:
            token = self._token("mask_token", h.dtype, h.shape[0])
            if masked is not None:
                h = jnp.where(jnp.asarray(masked).astype(bool)[..., None], token, h)
        h = h + self._of_patches(positions, sizes)
        if config.registers:
            shape = [config.registers, config.model_size]
            tokens = get_parameter("registers", shape, h.dtype, init=_INIT)
            tokens = jnp.broadcast_to(tokens, (h.shape[0], *shape))
            h = jnp.concatenate([split_like(tokens, h), h], axis=1)
        if config.class_token:
            token = self._token("class_token", h.dtype, h.shape[0])
            token = split_like(token + positions[None, :1], h)
            h = jnp.concatenate([token, h], axis=1)
        h = dropped(h, config.dropout)
        if config.embedding_norm:
            h = norm_of(config, "embed_norm")(h)
        h = run_blocks(config, h, {"mask": None})
        return h if config.pooled_norm else norm_of(config, "norm")(h)

    @transparent
    def _token(self, name, dtype, batch):
        """A learned token for each image, ``[B, 1, D]``."""
        size = self.config.model_size
        token = get_parameter(name, [size], dtype, init=_INIT)
        return jnp.broadcast_to(token, (batch, 1, size))

    def _of_patches(self, positions, sizes):
        """Positions of so many rows and columns of patches, ``[1, N, D]``."""
        config = self.config
        table = positions[int(config.class_token) :].reshape(1, *config.grid, -1)
        table = resized(table, sizes, "cubic", antialias=config.antialias)
        return table.reshape(1, sizes[0] * sizes[1], -1)

    def _checked(self, images, masked):
        config, images = self.config, as_array(images)
        floats = jnp.issubdtype(images.dtype, jnp.floating)
        if images.ndim != 4 or images.shape[3] != config.channels or not floats:
            raise ValueError(
                f"{self.module_name!r} needs images of shape [B, H, W, "
                f"{config.channels}], floats, got {images.dtype} of shape "
                f"{images.shape}."
            )
        if masked is None:
            return images
        if not config.mask_token:
            raise ValueError(
                f"{self.module_name!r} has no mask token: build it with "
                "mask_token=True, or leave masked out."
            )
        number = 1
        for n, p in zip(images.shape[1:3], config.patch_size):
            number *= n // p
        if masked.shape != (images.shape[0], number):
            raise ValueError(
                f"masked of {self.module_name!r} must say which patches are masked, "
                f"{(images.shape[0], number)}, got {masked.shape}."
            )
        return images


_INIT = TruncatedNormal(0.02)
