"""`Whisper`: speech to text, from one config."""

import jax
import jax.numpy as jnp

from haiku._core import Module, get_parameter, name_like, name_scope, transparent
from haiku._layers.convolution import Conv1D
from haiku._layers.embedding import Embed
from haiku._layers.positions import sinusoidal_positions
from haiku.nets.cross_decoder import logits_of, run_decoder
from haiku.nets.transformer import (
    BLOCK_AXES,
    HEAD_AXES,
    check_texts,
    dropped,
    norm_of,
    run_blocks,
)
from haiku.nets.whisper_config import WhisperConfig

__all__ = ["Whisper"]


class Whisper(Module):
    """An encoder of sound, and a decoder that writes what is said.

    Two convolutions of three frames, the second with stride 2, are the encoder's
    embeddings. Blocks that are alike are compiled as one (:func:`layer_stack`).

    Args:
      config: Its :class:`WhisperConfig`.
      name: Name of the module.

    Parameters:
      ``embed/embeddings``; ``encoder/conv_0``, ``encoder/conv_1``;
      ``encoder/positions/embeddings`` ``[num_positions, D]``, sines that get no
      gradient; ``decoder/positions/embeddings``; ``encoder/blocks``,
      ``decoder/blocks``, ``encoder/norm`` and ``decoder/norm`` as in
      :class:`EncoderDecoder`; ``head`` if it isn't tied.

    State:
      If called with a `cache_size`: each attention's cache, keys and values of the
      encoded sound, and ``length`` ``[B]``.

    Source:
      Radford et al., 2022, Robust Speech Recognition via Large-Scale Weak Supervision,
      arXiv:2212.04356.

    Example:
      >>> config = hk.nets.WhisperConfig(
      ...     vocab_size=64, model_size=16, num_layers=2, num_heads=2, num_positions=50)
      >>> features, start = jnp.ones([2, 100, 80]), jnp.zeros([2, 1], jnp.int32)
      >>> model = hk.bind(hk.nets.Whisper, config).init(0, features, start)
      >>> logits, cached = model.updating(features, start, cache_size=16)
      >>> one = jnp.argmax(logits, -1)
      >>> logits, cached = cached.updating(features, one, cache_size=16)  # one step
      >>> logits.shape
      (2, 1, 64)
    """

    _own_axes = BLOCK_AXES | HEAD_AXES

    def __init__(self, config: WhisperConfig, name: str | None = None):
        super().__init__(name=name)
        self.config = config

    def __call__(
        self,
        features: jax.Array,
        decoder_tokens: jax.Array,
        *,
        cache_size: int | None = None,
    ) -> jax.Array:
        """Returns the head's output for each of the decoder's tokens.

        Args:
          features: Frames of the sound ``[B, 2 * num_positions, num_mels]``; shorter
            sounds are padded with silence.
          decoder_tokens: The text so far, integers ``[B, T]``; it begins with the
            config's `start_token`.
          cache_size: Keeps keys and values of this many decoder tokens, see
            :class:`Attention`, and those of the encoded sound: the encoder runs in the
            first call. Later calls get the same `features`, of which they read only
            the shape. Default: none.

        Returns:
          Logits of the next tokens ``[B, T, vocab_size]``, or without a head the
          decoder's hidden state ``[B, T, D]``. NaN from the first token that has no
          place in the cache or no learned position.

        Raises:
          ValueError: Shapes don't fit, or more tokens than the cache or the learned
            positions have room for, where that is known.
        """
        h, embed = self._hidden(features, decoder_tokens, cache_size)
        return h if self.config.head is None else logits_of(self.config, h, embed)

    @name_like("__call__")
    def hidden(
        self,
        features: jax.Array,
        decoder_tokens: jax.Array,
        *,
        cache_size: int | None = None,
    ) -> jax.Array:
        """Returns the decoder's hidden state ``[B, T, D]`` after its last norm.

        Takes the arguments of a call.
        """
        return self._hidden(features, decoder_tokens, cache_size)[0]

    @name_like("__call__")
    def encode(self, features: jax.Array) -> jax.Array:
        """Returns the encoder's hidden state ``[B, num_positions, D]``.

        Args:
          features: ``[B, 2 * num_positions, num_mels]``.
        """
        self._check(features)
        config = self.config
        embed = Embed(config.vocab_size, config.model_size, name="embed")
        return self._encoded(embed, features)

    @transparent
    def _hidden(self, features, decoder_tokens, cache_size):
        config = self.config
        self._check(features)
        check_texts(self.module_name, decoder_tokens, "decoder_tokens")
        if features.shape[0] != decoder_tokens.shape[0]:
            raise ValueError(
                f"{self.module_name!r} got {features.shape[0]} sounds in features and "
                f"{decoder_tokens.shape[0]} texts in decoder_tokens."
            )
        embed = Embed(config.vocab_size, config.model_size, name="embed")
        h = run_decoder(
            config,
            embed,
            decoder_tokens,
            None,
            lambda: self._encoded(embed, features),
            (features.shape[0], config.num_positions, config.model_size),
            None,
            cache_size,
        )
        return h, embed

    @transparent
    def _encoded(self, embed, features):
        config = self.config
        size = config.model_size
        h = jnp.asarray(features).astype(embed.embeddings.dtype)
        with name_scope("encoder"):
            for i, stride in enumerate((1, 2)):
                convolve = Conv1D(size, 3, stride, padding=(1, 1), name=f"conv_{i}")
                h = jax.nn.gelu(convolve(h), approximate=False)
            with name_scope("positions"):
                positions = get_parameter(
                    "embeddings",
                    [config.num_positions, size],
                    h.dtype,
                    init=_sines,
                )
            h = h + jax.lax.stop_gradient(positions)[None]
            h = run_blocks(config, dropped(h, config.dropout), {"mask": None})
            return norm_of(config, "norm")(h)

    def _check(self, features) -> None:
        shape, config = features.shape, self.config
        if len(shape) != 3 or shape[2] != config.num_mels:
            raise ValueError(
                f"{self.module_name!r} needs features of shape [batch, frames, "
                f"{config.num_mels}], channels last, got {shape}."
            )
        if shape[1] != 2 * config.num_positions:
            raise ValueError(
                f"{self.module_name!r} got {shape[1]} frames, and must get "
                f"{2 * config.num_positions}, two for each of its num_positions "
                f"{config.num_positions}: pad shorter sounds with silence, and cut "
                "longer ones."
            )


def _sines(shape, dtype):
    return sinusoidal_positions(*shape, interleaved=False, endpoint=True, dtype=dtype)
