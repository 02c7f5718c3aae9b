"""The half of a net that reads its own tokens and attends to an encoder's output."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.core import Tracer

from haiku._core import get_state, name_scope, part_of_init, set_state
from haiku._layers.attention_cache import check_room
from haiku._layers.embedding import Embed
from haiku._layers.linear import Linear
from haiku._layers.product import product
from haiku.nets.relative import relative_bias
from haiku.nets.transformer import (
    dropped,
    norm_of,
    numbers_of,
    run_blocks,
    with_learned_positions,
)


def run_decoder(
    config: Any,
    embed: Embed,
    tokens: jax.Array,
    mask: jax.Array | None,
    encoded: Callable[[], jax.Array],
    shape: tuple[int, ...],
    context_mask: jax.Array | None,
    cache_size: int | None,
) -> jax.Array:
    """The hidden state of the decoder's tokens after its norm, ``[B, T, D]``.

    Args:
      config: Of the net; its `of_decoder` is that of the blocks.
      embed: Of the tokens.
      tokens: ``[B, T]``.
      mask: Where there are tokens.
      encoded: The encoder's output. It doesn't run if the cache has all of it.
      shape: Its shape, ``[B, S, D]``.
      context_mask: Where it counts, ``[B, S]``.
      cache_size: How many tokens to keep.
    """
    valid = jnp.ones(tokens.shape, bool)
    if mask is not None:
        valid = jnp.asarray(mask).astype(bool)
    length, begins = _extended_length(valid, cache_size)
    h = embed(tokens)
    context = encoded() if begins else jnp.zeros(shape, h.dtype)
    blocks, outside = config.of_decoder, None
    crossed = {"context": context, "mask": context_mask, "cache_size": cache_size}
    passed = {"mask": mask, "cache_size": cache_size, "crossed": crossed}
    places = jnp.arange(tokens.shape[1])[None]
    if mask is not None or length is not None:
        places = numbers_of(valid, length)
    with name_scope("decoder"):
        if blocks.position == "relative":
            seen = places if length is None else jnp.arange(cache_size)[None]
            passed["bias"] = relative_bias(blocks, places, seen, causal=True)
        else:
            _check_places(blocks.max_length, tokens.shape[1], length)
            h, outside = with_learned_positions(h, places, valid, blocks.max_length)
        h = run_blocks(blocks, dropped(h, blocks.dropout), passed)
        h = norm_of(blocks, "norm")(h)
    if outside is not None:  # later tokens see those
        wrong = jnp.cumsum(outside, axis=1) > 0
        h = jnp.where(wrong[:, :, None], jnp.nan, h)
    return h


def logits_of(config: Any, h: jax.Array, embed: Embed) -> jax.Array:
    """Logits ``[B, T, V]`` of a hidden state, by the embeddings or the head."""
    if config.tied:
        return product(h, embed.embeddings.T)
    return Linear(config.vocab_size, False, name="head")(h)


def _check_places(most, steps, length) -> None:
    """Raises if there are more tokens than learned positions, where that is known."""
    if isinstance(length, Tracer) or not isinstance(steps, int):
        return
    longest = steps if length is None else steps + int(jnp.max(length, initial=0))
    if longest > most:
        raise ValueError(
            f"The decoder got {longest} tokens, but has {most} learned positions: pass "
            "fewer, or build the net with a larger max_length."
        )


def _extended_length(valid, cache_size):
    """How many tokens the cache had, ``[B]``, and whether it begins with this call.

    Without a cache None and True.
    """
    if cache_size is None or part_of_init():
        return None, True
    begun = []

    def zeros(shape, dtype):
        begun.append(True)
        return jnp.zeros(shape, dtype)

    length = get_state("length", valid.shape[:1], jnp.int32, init=zeros)
    longer = length + jnp.sum(valid, axis=1, dtype=jnp.int32)
    if cache_size > 0:
        check_room(longer, cache_size)
    set_state("length", longer)
    return length, bool(begun)
