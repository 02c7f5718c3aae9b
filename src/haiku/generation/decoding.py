"""The loop that writes texts, token by token, as two compiled functions."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from haiku._bound import Bound
from haiku._lifted.layers_apart import taken_apart
from haiku.generation.callers import Prompt, Sizes, call, start_of
from haiku.generation.sampling import Processor, Rules


class Ends(NamedTuple):
    """When a text ends, and what follows.

    Attributes:
      eos: Tokens that end a text, ``[n]``; none, if n is 0.
      pad: The token after the end.
    """

    eos: jax.Array
    pad: jax.Array


class Texts(NamedTuple):
    """Texts that are being written.

    Attributes:
      state: The model's, with the cache.
      last: The last token of each text, which the model hasn't read, ``[B]``.
      step: How many tokens were written.
      active: Which texts go on, ``[B]``.
      tokens: The new tokens, ``[B, N]``.
      lengths: How many of them count, ``[B]``.
      log_probs: Of each new token, ``[B, N]``; 0 after the end.
      seen: Which tokens stand in a text, ``[B, V]``, if the rules ask.
      key: Of all draws, or None.
    """

    state: Any
    last: jax.Array
    step: jax.Array
    active: jax.Array
    tokens: jax.Array
    lengths: jax.Array
    log_probs: jax.Array
    seen: jax.Array | None
    key: Any


@functools.partial(jax.jit, static_argnames=("sizes", "stacks"))
def begin(
    model: Bound,
    prompt: Prompt,
    rules: Rules,
    ends: Ends,
    key: Any,
    sizes: Sizes,
    stacks: tuple[str, ...],
) -> Texts:
    """Reads the prompts, and makes room for the new tokens.

    The state of layers in `stacks` is that of each layer by itself.
    """
    state, last = start_of(model, prompt, sizes.cache_size)
    state = taken_apart(state, stacks)
    rows = last.shape[0]
    seen = None
    if rules.repetition_penalty is not None:
        seen = seen_in(prompt.tokens, prompt.mask, sizes.vocab)
    return Texts(
        state,
        last.astype(jnp.int32),
        jnp.int32(0),
        jnp.ones([rows], bool),
        jnp.full([rows, sizes.number], ends.pad, jnp.int32),
        jnp.zeros([rows], jnp.int32),
        jnp.zeros([rows, sizes.number], jnp.float32),
        seen,
        key,
    )


@functools.partial(
    jax.jit, static_argnames=("sizes", "processor"), donate_argnames="texts"
)
def advance(
    model: Bound,
    prompt: Prompt,
    rules: Rules,
    ends: Ends,
    texts: Texts,
    until: Any,
    sizes: Sizes,
    processor: Processor | None,
) -> Texts:
    """Writes tokens until there are `until`, or all texts have ended."""

    def goes_on(texts: Texts) -> jax.Array:
        return (texts.step < until) & jnp.any(texts.active)

    def write(texts: Texts) -> Texts:
        own = model.replace(state=texts.state)
        logits, state = call(own, prompt, texts.last[:, None], None, sizes.cache_size)
        logits = logits[:, -1].astype(jnp.float32)
        logits = rules.penalised(logits, texts.seen)
        if processor is not None:
            logits = processor(so_far(prompt, texts), logits)
        key = None if texts.key is None else jax.random.fold_in(texts.key, texts.step)
        token = rules.choose(key, rules.filtered(logits))
        return _written(texts, state, token, jax.nn.log_softmax(logits), ends)

    return jax.lax.while_loop(goes_on, write, texts)


def _written(
    texts: Texts, state: Any, token: jax.Array, log_probs: jax.Array, ends: Ends
) -> Texts:
    """The texts with one more token each, where they go on."""
    own = jnp.take_along_axis(log_probs, token[:, None], axis=1)[:, 0]
    own = jnp.where(texts.active, own, 0)
    token = jnp.where(texts.active, token, ends.pad)
    ended = jnp.any(token[:, None] == ends.eos[None], axis=1) | jnp.isnan(own)
    seen = texts.seen
    if seen is not None:
        rows = jnp.arange(token.shape[0])
        seen = seen.at[rows, token].max(texts.active)
    return Texts(
        state,
        token,
        texts.step + 1,
        texts.active & ~ended,
        texts.tokens.at[:, texts.step].set(token),
        texts.lengths + texts.active,
        texts.log_probs.at[:, texts.step].set(own),
        seen,
        texts.key,
    )


def seen_in(tokens: jax.Array, mask: jax.Array, vocab: int) -> jax.Array:
    """Which tokens stand in texts, ``[B, V]``."""
    rows = jnp.arange(tokens.shape[0])[:, None]
    return jnp.zeros([tokens.shape[0], vocab], bool).at[rows, tokens].max(mask)


def so_far(prompt: Prompt, texts: Texts) -> jax.Array:
    """All tokens ``[B, T + N]``: prompt and new ones, -1 where there is none."""
    before = jnp.where(prompt.mask, prompt.tokens, -1).astype(jnp.int32)
    steps = jnp.arange(texts.tokens.shape[1])[None]
    new = jnp.where(steps < texts.lengths[:, None], texts.tokens, -1)
    return jnp.concatenate([before, new], axis=1)
