"""`EncoderDecoder`: T5 and its kin, from one config."""

import jax
import jax.numpy as jnp

from haiku._core import (
    Module,
    get_state,
    name_like,
    name_scope,
    part_of_init,
    transparent,
)
from haiku._layers.embedding import Embed
from haiku.nets.cross_decoder import logits_of, run_decoder
from haiku.nets.encoder_decoder_config import EncoderDecoderConfig
from haiku.nets.relative import relative_bias
from haiku.nets.transformer import (
    BLOCK_AXES,
    HEAD_AXES,
    check_texts,
    dropped,
    norm_of,
    numbers_of,
    run_blocks,
)

__all__ = ["EncoderDecoder"]

_COUNT = "say which tokens count"


class EncoderDecoder(Module):
    """An encoder that reads a text, and a decoder that writes another.

        h = h + attention(norm(h))
        h = h + cross_attention(norm(h), encoded)    # in the decoder
        h = h + mlp(norm(h))

    Blocks that are alike are compiled as one (:func:`layer_stack`).

    Args:
      config: Its :class:`EncoderDecoderConfig`.
      name: Name of the module.

    Parameters:
      ``embed/embeddings`` of both texts; ``encoder/blocks`` and ``decoder/blocks`` as
      in :class:`Decoder`, the latter with ``cross_attention_norm`` and
      ``cross_attention``; ``encoder/relative/embeddings`` ``[buckets, H]``,
      ``encoder/norm``, and those of the decoder; ``head`` if it isn't tied.

    State:
      If called with a `cache_size`: each attention's cache, keys and values of the
      encoded text, its ``mask`` ``[B, S]``, and ``length`` ``[B]``.

    Source:
      Raffel et al., 2020, Exploring the Limits of Transfer Learning, arXiv:1910.10683.

    Example:
      >>> config = hk.nets.EncoderDecoderConfig(
      ...     vocab_size=64, model_size=16, num_layers=2, num_heads=2)
      >>> text, start = jnp.ones([2, 8], jnp.int32), jnp.zeros([2, 1], jnp.int32)
      >>> model = hk.bind(hk.nets.EncoderDecoder, config).init(0, text, start)
      >>> logits, cached = model.updating(text, start, cache_size=16)
      >>> one = jnp.argmax(logits, -1)
      >>> logits, cached = cached.updating(text, one, cache_size=16)  # reads no text
      >>> logits.shape
      (2, 1, 64)
    """

    _own_axes = BLOCK_AXES | HEAD_AXES

    def __init__(self, config: EncoderDecoderConfig, name: str | None = None):
        super().__init__(name=name)
        self.config = config

    def __call__(
        self,
        tokens: jax.Array,
        decoder_tokens: jax.Array,
        *,
        mask: jax.Array | None = None,
        decoder_mask: jax.Array | None = None,
        cache_size: int | None = None,
    ) -> jax.Array:
        """Returns the head's output for each of the decoder's tokens.

        Args:
          tokens: The text to read, integers ``[B, S]``.
          decoder_tokens: The text to write so far, integers ``[B, T]``; it begins with
            the config's `start_token`.
          mask: True where there is a token, ``[B, S]``; padding may stand anywhere.
            Default: everywhere.
          decoder_mask: The same of `decoder_tokens`, ``[B, T]``.
          cache_size: Keeps keys and values of this many decoder tokens, see
            :class:`Attention`, and those of the encoded text: the encoder runs in the
            first call. Later calls get the same `tokens`, of which they read only the
            shape; nor do they read `mask`. Default: none.

        Returns:
          Logits of the next tokens ``[B, T, vocab_size]``, or without a head the
          decoder's hidden state ``[B, T, D]``. NaN where a row has more tokens than the
          cache has room for.

        Raises:
          ValueError: Shapes don't fit, or more tokens than the cache has room for,
            where that is known.
        """
        inputs = tokens, decoder_tokens, mask, decoder_mask, cache_size
        h, embed = self._hidden(*inputs)
        config = self.config
        if config.head is None:
            return h
        if config.head_scale is not None:
            h = h * jnp.asarray(config.head_scale, h.dtype)
        return logits_of(config, h, embed)

    @name_like("__call__")
    def hidden(
        self,
        tokens: jax.Array,
        decoder_tokens: jax.Array,
        *,
        mask: jax.Array | None = None,
        decoder_mask: jax.Array | None = None,
        cache_size: int | None = None,
    ) -> jax.Array:
        """Returns the decoder's hidden state ``[B, T, D]`` after its last norm.

        Takes the arguments of a call.
        """
        return self._hidden(tokens, decoder_tokens, mask, decoder_mask, cache_size)[0]

    @name_like("__call__")
    def encode(self, tokens: jax.Array, mask: jax.Array | None = None) -> jax.Array:
        """Returns the encoder's hidden state ``[B, S, D]`` after its last norm.

        Args:
          tokens: Integers ``[B, S]``.
          mask: True where there is a token, ``[B, S]``. Default: everywhere.
        """
        config = self.config
        check_texts(self.module_name, tokens, mask=(mask, _COUNT))
        embed = Embed(config.vocab_size, config.model_size, name="embed")
        return self._encoded(embed, tokens, mask)

    @transparent
    def _hidden(self, tokens, decoder_tokens, mask, decoder_mask, cache_size):
        config = self.config
        check_texts(self.module_name, tokens, mask=(mask, _COUNT))
        others = {"decoder_mask": (decoder_mask, _COUNT)}
        check_texts(self.module_name, decoder_tokens, "decoder_tokens", **others)
        if tokens.shape[0] != decoder_tokens.shape[0]:
            raise ValueError(
                f"{self.module_name!r} got {tokens.shape[0]} texts in tokens and "
                f"{decoder_tokens.shape[0]} in decoder_tokens."
            )
        embed = Embed(config.vocab_size, config.model_size, name="embed")
        counts = mask
        if cache_size is not None and not part_of_init():
            counts = _kept_mask(tokens, mask)
        h = run_decoder(
            config,
            embed,
            decoder_tokens,
            decoder_mask,
            lambda: self._encoded(embed, tokens, mask),
            (*tokens.shape, config.model_size),
            counts,
            cache_size,
        )
        return h, embed

    @transparent
    def _encoded(self, embed, tokens, mask):
        config, passed = self.config, {"mask": mask}
        places = jnp.arange(tokens.shape[1])[None]
        if mask is not None:
            places = numbers_of(jnp.asarray(mask).astype(bool))
        h = dropped(embed(tokens), config.dropout)
        with name_scope("encoder"):
            passed["bias"] = relative_bias(config, places, places)
            return norm_of(config, "norm")(run_blocks(config, h, passed))


def _kept_mask(tokens, mask):
    """The mask of the text that was encoded, ``[B, S]``."""

    def first(shape, dtype):
        return jnp.ones(shape, dtype) if mask is None else jnp.asarray(mask, dtype)

    kept = get_state("mask", tokens.shape, jnp.bool_, init=first)
    if kept.shape != tokens.shape:
        raise ValueError(
            f"The cache is of tokens of shape {kept.shape}, but this call has "
            f"{tokens.shape}: pass the same, or drop the state to begin a new one."
        )
    return kept
