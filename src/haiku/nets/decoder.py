"""`Decoder`: the language models of today, from one config."""

from typing import Any

import jax
import jax.numpy as jnp
from jax.core import Tracer

from haiku._core import (
    Module,
    get_state,
    name_like,
    part_of_init,
    set_state,
    transparent,
)
from haiku._layers.attention_cache import check_room
from haiku._layers.embedding import Embed
from haiku._layers.linear import Linear
from haiku._layers.product import product
from haiku.nets.decoder_config import DecoderConfig
from haiku.nets.transformer import (
    BLOCK_AXES,
    HEAD_AXES,
    check_texts,
    dropped,
    norm_of,
    numbers_of,
    run_expert_blocks,
    with_learned_positions,
)

__all__ = ["Decoder"]


class Decoder(Module):
    """A language model: embeddings, blocks of attention and MLP, a norm, a head.

        h = h + attention(norm(h));    h = h + mlp(norm(h))

    Blocks that are alike are compiled as one (:func:`layer_stack`).

    Args:
      config: Its :class:`DecoderConfig`.
      name: Name of the module.

    Parameters:
      ``embed/embeddings``; ``positions/embeddings`` if learned; ``norm``; ``head``; in
      ``blocks``, with a leading axis of layers: ``attention_norm``, ``attention``,
      ``mlp_norm``, ``mlp``, ``experts`` and ``shared`` in its place, and
      ``attention_norm_post``, ``mlp_norm_post`` for norms after them. If kinds of
      layers alternate, a period's layers are ``blocks/block_0``, ``blocks/block_1``,
      ...; layers before and after the periods are ``block_0``, ... by their index.

    State:
      Each attention's cache and ``length`` ``[B]``, if called with a `cache_size`.

    Example:
      >>> config = hk.nets.DecoderConfig(
      ...     vocab_size=64, model_size=16, num_layers=4, num_heads=2)
      >>> tokens = jnp.ones([2, 8], jnp.int32)
      >>> model = hk.bind(hk.nets.Decoder, config).init(0, tokens)
      >>> logits, cached = model.updating(tokens, cache_size=16)  # reads the prompt
      >>> one = jnp.argmax(logits[:, -1:], -1)
      >>> logits, cached = cached.updating(one, cache_size=16)  # one step
      >>> logits.shape
      (2, 1, 64)
    """

    def __init__(self, config: DecoderConfig, name: str | None = None):
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
        positions: jax.Array | None = None,
        segments: jax.Array | None = None,
        cache_size: int | None = None,
        router_losses: bool = False,
    ) -> Any:
        """Returns the head's output for a batch of texts.

        Args:
          tokens: Integers ``[B, T]``.
          mask: True where there is a token, ``[B, T]``; padding may stand anywhere.
          positions: ``[T]`` or ``[B, T]``. Default: the number of each token in its
            text, that is in its segment, or after the cache.
          segments: Integers ``[B, T]``: tokens see only their own segment.
          cache_size: Keeps keys and values of this many tokens, see
            :class:`Attention`. Default: none.
          router_losses: Whether to return the experts' losses too.

        Returns:
          Logits of the next tokens ``[B, T, vocab_size]``, of the classes of the text
          ``[B, num_classes]``, or without a head the hidden state ``[B, T, D]``. NaN
          from the first token that has no place in the cache or no learned position.
          With `router_losses` ``(output, losses)``, a :class:`RouterLosses` of means
          over the layers with experts.

        Raises:
          ValueError: Shapes don't fit; more tokens than the cache or the learned
            positions have room for, where that is known; or `router_losses` without
            experts.
        """
        inputs = mask, positions, segments, cache_size
        h, embed, losses = self._hidden(tokens, *inputs)
        output = self._headed(h, embed, mask)
        if not router_losses:
            return output
        if losses is None:
            raise ValueError(
                f"{self.module_name!r} has no experts, and so no router_losses: build "
                "it with experts, or leave router_losses out."
            )
        return output, losses

    @transparent
    def _headed(self, h, embed, mask):
        config = self.config
        if config.head is None:
            return h
        if config.head == "classes":
            return Linear(config.num_classes or 0, False, name="head")(_last(h, mask))
        if config.tied:
            logits = product(h, embed.embeddings.T)
        else:
            logits = Linear(config.vocab_size, False, name="head")(h)
        cap = config.final_soft_cap
        return logits if cap is None else cap * jnp.tanh(logits / cap)

    @name_like("__call__")
    def hidden(
        self,
        tokens: jax.Array,
        *,
        mask: jax.Array | None = None,
        positions: jax.Array | None = None,
        segments: jax.Array | None = None,
        cache_size: int | None = None,
    ) -> jax.Array:
        """Returns the hidden state ``[B, T, D]`` after the last norm.

        Takes the arguments of a call.
        """
        return self._hidden(tokens, mask, positions, segments, cache_size)[0]

    @transparent
    def _hidden(self, tokens, mask, positions, segments, cache_size):
        config = self.config
        self._check(tokens, mask, positions, segments)
        embed = Embed(config.vocab_size, config.model_size, name="embed")
        h = embed(tokens)
        if config.embedding_scale is not None:
            h = h * jnp.asarray(config.embedding_scale, h.dtype)
        valid = jnp.ones(tokens.shape, bool)
        if mask is not None:
            valid = jnp.asarray(mask).astype(bool)
        length = self._extended_length(valid, cache_size)
        if positions is not None:
            positions = jnp.broadcast_to(jnp.asarray(positions), tokens.shape)
        elif segments is not None:
            positions = _numbers_in_segments(valid, jnp.asarray(segments))
        outside = None
        if config.position == "learned":
            places = positions
            if places is None:
                self._check_places(mask, valid, length)
                places = numbers_of(valid, length)
            h, outside = with_learned_positions(h, places, valid, config.max_length)
        h = dropped(h, config.dropout)
        passed = {
            "mask": mask,
            "positions": positions if config.position in ("rotary", "alibi") else None,
            "segments": segments,
            "cache_size": cache_size,
        }
        h, losses = run_expert_blocks(config, h, passed)
        if config.norm_position != "sum":
            h = norm_of(config, "norm")(h)
        if outside is not None:  # later tokens see those
            wrong = jnp.cumsum(outside, axis=1) > 0
            h = jnp.where(wrong[:, :, None], jnp.nan, h)
        return h, embed, losses

    def _check(self, tokens, mask, positions, segments) -> None:
        check_texts(
            self.module_name,
            tokens,
            mask=(mask, "say which tokens count"),
            segments=(segments, "number each token's segment"),
        )
        if positions is None:
            return
        if self.config.position is None:
            raise ValueError(
                f"{self.module_name!r} has position=None, where positions would "
                "change nothing."
            )
        (batch, steps), shape = tokens.shape, jnp.shape(positions)
        fitting = (steps,), (1, steps), (batch, steps)
        if shape not in fitting:
            raise ValueError(
                f"positions of {self.module_name!r} must be {fitting[0]} or "
                f"{fitting[2]}, got {shape}."
            )

    def _extended_length(self, valid, cache_size):
        """How many tokens came before this call, ``[B]``; None without a cache."""
        if cache_size is None or part_of_init():
            return None
        length = get_state("length", valid.shape[:1], jnp.int32, init=jnp.zeros)
        longer = length + jnp.sum(valid, axis=1, dtype=jnp.int32)
        windows = self.config.windows or (None,)
        ends = any(n is None or n > cache_size for n in windows)  # the others are rings
        if ends and cache_size > 0:
            check_room(longer, cache_size)
        set_state("length", longer)
        return length

    def _check_places(self, mask, valid, length) -> None:
        longest, most = valid.shape[1], self.config.max_length
        if mask is not None or length is not None:
            number = jnp.sum(valid, axis=1, dtype=jnp.int32)
            number = number if length is None else length + number
            if isinstance(number, Tracer):
                return
            longest = int(jnp.max(number, initial=0))
        if isinstance(longest, int) and longest > most:
            raise ValueError(
                f"{self.module_name!r} got {longest} tokens, but has {most} learned "
                "positions: pass fewer, or build it with a larger max_length."
            )


def _numbers_in_segments(valid, segments):
    """The number of each token among those of its segment; not below 0."""
    steps = jnp.arange(segments.shape[1])[None]
    before = (steps[:, :, None] >= steps[:, None]) & valid[:, None]
    own = segments[:, :, None] == segments[:, None]
    return jnp.maximum(jnp.sum(own & before, axis=2, dtype=jnp.int32) - 1, 0)


def _last(h, mask):
    """The hidden state of each text's last token, ``[B, D]``."""
    if mask is None:
        return h[:, -1]
    steps = jnp.arange(h.shape[1])[None]
    last = jnp.max(jnp.where(mask.astype(bool), steps, 0), axis=1)
    return jnp.take_along_axis(h, last[:, None, None], axis=1)[:, 0]
