"""`Encoder`: BERT and its kin, from one config."""

import jax
import jax.numpy as jnp
from jax.core import Tracer

from haiku._core import (
    Module,
    get_parameter,
    name_like,
    name_scope,
    running_init,
    transparent,
)
from haiku._layers.embedding import Embed
from haiku._layers.linear import Linear
from haiku._layers.product import product
from haiku.nets.encoder_config import EncoderConfig
from haiku.nets.relative import relative_bias
from haiku.nets.transformer import (
    BLOCK_AXES,
    HEAD_AXES,
    check_texts,
    dropped,
    norm_of,
    numbers_of,
    run_blocks,
    with_learned_positions,
)
from haiku.nets.transformer_config import ACTIVATIONS

__all__ = ["Encoder"]


class Encoder(Module):
    """A text encoder: embeddings, blocks in which each token sees all, a head.

    Blocks that are alike are compiled as one (:func:`layer_stack`).

    Args:
      config: Its :class:`EncoderConfig`.
      name: Name of the module.

    Parameters:
      ``embed/embeddings``; ``positions/embeddings`` if learned; ``relative/embeddings``
      ``[buckets, H]`` if relative; ``segments/embeddings`` with token types;
      ``embed_norm``; the blocks as in :class:`Decoder`; ``norm`` if norms stand before
      or after attention and MLP; ``pooler``; ``transform/dense``, ``transform/norm``
      and ``head``.

    Source:
      Devlin et al., 2019, BERT, arXiv:1810.04805; Warner et al., 2024, Smarter, Better,
      Faster, Longer, arXiv:2412.13663; relative positions: Raffel et al., 2020,
      Exploring the Limits of Transfer Learning, arXiv:1910.10683.

    Example:
      >>> config = hk.nets.EncoderConfig(
      ...     vocab_size=64, model_size=16, num_layers=4, num_heads=2, pooler=True)
      >>> tokens = jnp.ones([2, 8], jnp.int32)
      >>> model = hk.bind(hk.nets.Encoder, config).init(0, tokens)
      >>> model(tokens).shape, model.pooled(tokens).shape
      ((2, 8, 16), (2, 16))
    """

    def __init__(self, config: EncoderConfig, name: str | None = None):
        super().__init__(name=name)
        self.config = config

    @property
    def _own_axes(self):
        """Names of its parameters' axes; classes are too few to be split."""
        return BLOCK_AXES | (HEAD_AXES if self.config.head == "tokens" else {})

    def __call__(
        self,
        tokens: jax.Array,
        *,
        mask: jax.Array | None = None,
        segments: jax.Array | None = None,
    ) -> jax.Array:
        """Returns the head's output for a batch of texts.

        Args:
          tokens: Integers ``[B, T]``.
          mask: True where there is a token, ``[B, T]``; padding may stand anywhere, and
            each text is as if alone. Default: everywhere.
          segments: The type of each token, integers ``[B, T]`` below ``token_types``.
            Default: 0.

        Returns:
          Logits of tokens ``[B, T, vocab_size]``, of classes ``[B, num_classes]`` or
          ``[B, T, num_classes]``, or without a head the hidden state ``[B, T, D]``.

        Raises:
          ValueError: Shapes don't fit, there are more tokens than learned positions, or
            segments and no token types.
        """
        h, embed = self._hidden(tokens, mask, segments)
        config = self.config
        if config.head is None:
            if config.pooler and running_init():
                self._pooled(h, mask)
            return h
        if config.head == "classes":
            if config.pooler:
                h = self._pooled(h, mask)
            else:
                h = _first(h, mask) if config.pooling == "first" else _mean(h, mask)
        if config.transform:
            h = self._transformed(h)
        if config.head != "tokens":
            h = dropped(h, config.dropout)
            return Linear(config.num_classes or 0, name="head")(h)
        if not config.tied:
            return Linear(config.vocab_size, name="head")(h)
        logits = product(h, embed.embeddings.T)
        with name_scope("head"):
            b = get_parameter("b", [config.vocab_size], logits.dtype, init=jnp.zeros)
        return logits + jnp.broadcast_to(b, logits.shape)

    @name_like("__call__")
    def hidden(
        self,
        tokens: jax.Array,
        *,
        mask: jax.Array | None = None,
        segments: jax.Array | None = None,
    ) -> jax.Array:
        """Returns the hidden state ``[B, T, D]`` after the last block and norm.

        Takes the arguments of a call.
        """
        return self._hidden(tokens, mask, segments)[0]

    @name_like("__call__")
    def pooled(
        self,
        tokens: jax.Array,
        *,
        mask: jax.Array | None = None,
        segments: jax.Array | None = None,
    ) -> jax.Array:
        """Returns the pooler's output ``[B, D]``: tanh of a map of the first token.

        Takes the arguments of a call.

        Raises:
          ValueError: The config has no pooler.
        """
        if not self.config.pooler:
            raise ValueError(
                f"{self.module_name!r} has no pooler: build it with pooler=True, or "
                "take the mean of hidden(tokens) over the tokens."
            )
        return self._pooled(self._hidden(tokens, mask, segments)[0], mask)

    @transparent
    def _pooled(self, h, mask):
        first = _first(h, mask)
        return jnp.tanh(Linear(self.config.model_size, name="pooler")(first))

    @transparent
    def _transformed(self, h):
        config = self.config
        with name_scope("transform"):
            h = Linear(config.model_size, config.transform_bias, name="dense")(h)
            return norm_of(config, "norm")(ACTIVATIONS[config.activation](h))

    @transparent
    def _hidden(self, tokens, mask, segments):
        config = self.config
        self._check(tokens, mask, segments)
        embed = Embed(config.vocab_size, config.model_size, name="embed")
        h = embed(tokens)
        if config.token_types is not None:
            types = jnp.zeros(tokens.shape, jnp.int32) if segments is None else segments
            h = h + Embed(config.token_types, config.model_size, name="segments")(types)
        outside, passed = None, {"mask": mask}
        if config.position in ("learned", "relative"):
            valid = jnp.ones(tokens.shape, bool)
            places = jnp.arange(tokens.shape[1])[None]
            if mask is not None:
                valid = jnp.asarray(mask).astype(bool)
                places = _places(valid)
            if config.position == "relative":
                passed["bias"] = relative_bias(config, places, places)
            else:
                h, outside = with_learned_positions(
                    h, places, valid, config.max_length, config.position_offset
                )
        if config.embedding_norm:
            h = norm_of(config, "embed_norm")(h)
        h = run_blocks(config, dropped(h, config.dropout), passed)
        if config.norm_position != "sum":
            h = norm_of(config, "norm")(h)
        if outside is not None:  # all tokens of the text see those
            wrong = jnp.any(outside, axis=1)[:, None, None]
            h = jnp.where(wrong, jnp.nan, h)
        return h, embed

    def _check(self, tokens, mask, segments) -> None:
        check_texts(
            self.module_name,
            tokens,
            mask=(mask, "say which tokens count"),
            segments=(segments, "give each token's type"),
        )
        config, longest = self.config, tokens.shape[1]
        if segments is not None and config.token_types is None:
            raise ValueError(
                f"{self.module_name!r} has no token types, and segments would change "
                "nothing: build it with token_types, or leave segments out."
            )
        if config.position != "learned":
            return
        if mask is not None:
            number = jnp.sum(jnp.asarray(mask).astype(bool), axis=1)
            if isinstance(number, Tracer):
                return
            longest = int(jnp.max(number, initial=0))
        if isinstance(longest, int) and longest > config.max_length:
            raise ValueError(
                f"{self.module_name!r} got {longest} tokens, but has "
                f"{config.max_length} learned positions: pass fewer, or build it with "
                "a larger max_length."
            )


def _places(valid):
    """The number of each token in its text; padding after a token counts on."""
    steps = jnp.arange(valid.shape[1], dtype=jnp.int32)[None]
    tokens = jax.lax.cummax(jnp.where(valid, steps, 0), axis=1)
    return numbers_of(valid) + steps - tokens


def _first(h, mask):
    """The hidden state of each text's first token, ``[B, D]``."""
    if mask is None:
        return h[:, 0]
    first = jnp.argmax(jnp.asarray(mask).astype(bool), axis=1)
    return jnp.take_along_axis(h, first[:, None, None], axis=1)[:, 0]


def _mean(h, mask):
    """The mean over each text's tokens, ``[B, D]``; 0 without any."""
    if mask is None:
        return jnp.mean(h, axis=1)
    kept = jnp.asarray(mask).astype(bool)[:, :, None]
    number = jnp.maximum(jnp.sum(kept, axis=1), 1).astype(h.dtype)
    return jnp.sum(jnp.where(kept, h, 0), axis=1) / number
