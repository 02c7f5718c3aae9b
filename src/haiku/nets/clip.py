"""`CLIP`: images and texts as vectors that can be compared."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from haiku._artifacts import in_artifacts
from haiku._core import Module, get_parameter, name_like, transparent
from haiku._layers.explicit_axes import keeping_rows
from haiku._layers.inputs import at_least_single
from haiku._layers.linear import Linear
from haiku.initializers import Constant
from haiku.nets.clip_config import CLIPConfig
from haiku.nets.encoder import Encoder
from haiku.nets.transformer import BLOCK_AXES
from haiku.nets.vision_transformer import VisionTransformer

__all__ = ["CLIP", "CLIPOutput"]


@in_artifacts
class CLIPOutput(NamedTuple):
    """What a :class:`CLIP` returns.

    Attributes:
      logits: How well each image fits each text, ``[images, texts]``.
      image_embeddings: ``[images, E]``, each of length 1.
      text_embeddings: ``[texts, E]``, each of length 1.

    Example:
      >>> output = hk.nets.CLIPOutput(jnp.ones([2, 3]), jnp.ones([2, 4]), None)
      >>> jax.nn.softmax(output.logits, axis=1).shape  # which text, for each image
      (2, 3)
    """

    logits: jax.Array
    image_embeddings: jax.Array
    text_embeddings: jax.Array


class CLIP(Module):
    """Embeds images and texts in one space: CLIP and SigLIP, from one config.

        logits[i, t] = exp(scale) image[i] · text[t] (+ bias)

    Args:
      config: Its :class:`CLIPConfig`.
      name: Name of the module.

    Parameters:
      ``vision`` as in :class:`VisionTransformer`, ``text`` as in :class:`Encoder`;
      ``image_projection``, ``text_projection``; ``logit_scale``, ``logit_bias``
      ``[1]``.

    Source:
      Radford et al., 2021, Learning Transferable Visual Models From Natural Language
      Supervision, arXiv:2103.00020; SigLIP: Zhai et al., 2023, Sigmoid Loss for
      Language Image Pre-Training, arXiv:2303.15343.

    Example:
      >>> config = hk.nets.CLIPConfig(
      ...     hk.nets.VisionTransformerConfig(32, 8, 16, 2, 4, pooler="first"),
      ...     hk.nets.EncoderConfig(100, 16, 2, 4, causal=True, norm_position="pre"),
      ...     projection_size=8)
      >>> images, tokens = jnp.ones([2, 32, 32, 3]), jnp.ones([3, 7], jnp.int32)
      >>> model = hk.bind(hk.nets.CLIP, config).init(0, images, tokens)
      >>> model(images, tokens).logits.shape, model.embed_text(tokens).shape
      ((2, 3), (3, 8))
    """

    _own_axes = BLOCK_AXES

    def __init__(self, config: CLIPConfig, name: str | None = None):
        super().__init__(name=name)
        self.config = config

    def __call__(
        self, images: jax.Array, tokens: jax.Array, *, mask: jax.Array | None = None
    ) -> CLIPOutput:
        """Compares each image with each text.

        Args:
          images: As in :class:`VisionTransformer`.
          tokens: Integers ``[texts, T]``.
          mask: True where there is a token, ``[texts, T]``. Default: everywhere. SigLIP
            was trained without one, on texts padded to the full length.

        Returns:
          A :class:`CLIPOutput`.

        Raises:
          ValueError: As in the calls of :class:`VisionTransformer` and
            :class:`Encoder`.
        """
        image, text = self._image(images), self._text(tokens, mask)
        dtype, bias = image.dtype, self.config.logit_bias
        scale = math.log(10) if bias else math.log(1 / 0.07)  # as in the papers
        scale = get_parameter("logit_scale", [1], dtype, init=Constant(scale))
        logits = jnp.einsum("ie,te->it", image, text)
        logits = logits * jnp.broadcast_to(jnp.exp(scale), logits.shape)
        if bias:
            shift = get_parameter("logit_bias", [1], dtype, init=Constant(-10.0))
            logits = logits + jnp.broadcast_to(shift, logits.shape)
        return CLIPOutput(logits, image, text)

    @name_like("__call__")
    def embed_images(self, images: jax.Array) -> jax.Array:
        """Embeddings ``[images, E]`` of length 1, as in the output of a call."""
        return self._image(images)

    @name_like("__call__")
    def embed_text(self, tokens: jax.Array, mask: jax.Array | None = None) -> jax.Array:
        """Embeddings ``[texts, E]`` of length 1, as in the output of a call."""
        return self._text(tokens, mask)

    @transparent
    def _image(self, images):
        config = self.config
        pooled = VisionTransformer(config.vision, name="vision").pooled(images)
        if config.image_projection:
            pooled = self._projected(pooled, "image_projection")
        return _normalised(pooled)

    @transparent
    def _text(self, tokens, mask):
        h = Encoder(self.config.text, name="text").hidden(tokens, mask=mask)
        places = self._places(tokens, mask)
        pooled = keeping_rows(lambda h, i: h[jnp.arange(i.shape[0]), i], h, places)
        return _normalised(self._projected(pooled, "text_projection"))

    @transparent
    def _projected(self, x, name):
        config = self.config
        return Linear(config.projection_size, config.projection_bias, name=name)(x)

    def _places(self, tokens, mask):
        """Which token stands for each text, ``[texts]``."""
        config = self.config
        if config.pooling == "last":
            return jnp.full(tokens.shape[:1], tokens.shape[1] - 1)
        end = config.end_token
        marks = jnp.asarray(tokens) if end is None else jnp.equal(tokens, end)
        if mask is not None:
            mask = jnp.asarray(mask).astype(bool)
            marks = jnp.where(mask, marks.astype(jnp.int32), -1)
        return jnp.argmax(marks, axis=1)


def _normalised(x):
    wide = x.astype(at_least_single(x.dtype))
    square = jnp.sum(jnp.square(wide), axis=-1, keepdims=True)
    return (wide * jax.lax.rsqrt(square)).astype(x.dtype)
