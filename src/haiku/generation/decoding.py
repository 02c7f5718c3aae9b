"""The loop that writes texts, token by token, as two compiled functions."""

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
      active: Which texts go on, ``[B]``.
      tokens: The new tokens, ``[B, N]``.
      lengths: How many of them were written, ``[B]``.
      log_probs: Of each new token, ``[B, N]``; 0 after the end.
      seen: Which tokens stand in a text, ``[B, V]``, if the rules ask.
      keys: Of each text's draws, ``[B]``, or None.
    """

    state: Any
    last: jax.Array
    active: jax.Array
    tokens: jax.Array
    lengths: jax.Array
    log_probs: jax.Array
    seen: jax.Array | None
    keys: Any


def _begin(
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
        jnp.ones([rows], bool),
        jnp.full([rows, sizes.number], ends.pad, jnp.int32),
        jnp.zeros([rows], jnp.int32),
        jnp.zeros([rows, sizes.number], jnp.float32),
        seen,
        None if key is None else jax.random.split(key, rows),
    )


def _advance(
    model: Bound,
    prompt: Prompt,
    rules: Rules,
    ends: Ends,
    texts: Texts,
    until: Any,
    sizes: Sizes,
    processor: Processor | None,
    loops: bool = True,
) -> Texts:
    """Writes tokens until there are `until`, or all texts have ended.

    `until` may differ between texts, ``[B]``. One that has as many as it is to get, but
    hasn't ended, can't go on later. Without `loops` it writes one token.
    """

    def going(texts: Texts) -> jax.Array:
        return goes_on(texts, until)

    def write(texts: Texts) -> Texts:
        own = model.replace(state=texts.state)
        logits, state = call(own, prompt, texts.last[:, None], None, sizes.cache_size)
        logits = logits[:, -1].astype(jnp.float32)
        logits = rules.penalised(logits, texts.seen)
        if processor is not None:
            reads_prompt = getattr(processor, "reads_prompt", True)
            before = prompt if reads_prompt else None
            logits = processor(so_far(before, texts), logits)
        keys = None
        if texts.keys is not None:
            keys = jax.vmap(jax.random.fold_in)(texts.keys, texts.lengths)
        token = rules.choose(keys, rules.filtered(logits))
        log_probs = jax.nn.log_softmax(logits)
        return _written(texts, going(texts), state, token, log_probs, ends)

    if not loops:
        return write(texts)
    return jax.lax.while_loop(lambda texts: jnp.any(going(texts)), write, texts)


# By default XLA on CPUs begins all that it can, and so holds the floats of all integers
# of a layer. In this order it holds those of one matrix.
_ONE_BY_ONE = {"xla_cpu_scheduler_type": "CPU_SCHEDULER_TYPE_MEMORY_OPTIMIZED"}


def _compiled(f: Any, **options: Any) -> tuple[Any, Any]:
    """A function compiled as usual, and for packed weights on a CPU."""
    return jax.jit(f, **options), jax.jit(f, **options, compiler_options=_ONE_BY_ONE)


begin, begin_packed = _compiled(_begin, static_argnames=("sizes", "stacks"))
advance, advance_packed = _compiled(
    _advance,
    static_argnames=("sizes", "processor", "loops"),
    donate_argnames="texts",
)


def goes_on(texts: Texts, until: Any) -> jax.Array:
    """Which texts get another token, ``[B]``."""
    return texts.active & (texts.lengths < until)


def _written(
    texts: Texts,
    going: jax.Array,
    state: Any,
    token: jax.Array,
    log_probs: jax.Array,
    ends: Ends,
) -> Texts:
    """The texts with one more token each, where they are `going` on."""
    own = jnp.take_along_axis(log_probs, token[:, None], axis=1)[:, 0]
    own = jnp.where(going, own, 0)
    token = jnp.where(going, token, ends.pad)
    ended = jnp.any(token[:, None] == ends.eos[None], axis=1) | jnp.isnan(own)
    rows = jnp.arange(token.shape[0])
    seen = texts.seen
    if seen is not None:
        seen = seen.at[rows, token].max(going)
    at = rows, jnp.where(going, texts.lengths, texts.tokens.shape[1])
    return Texts(
        state,
        token,
        texts.active & ~(going & ended),
        texts.tokens.at[at].set(token, mode="drop", unique_indices=True),
        texts.lengths + going,
        texts.log_probs.at[at].set(own, mode="drop", unique_indices=True),
        seen,
        texts.keys,
    )


def seen_in(tokens: jax.Array, mask: jax.Array, vocab: int) -> jax.Array:
    """Which tokens stand in texts, ``[B, V]``."""
    rows = jnp.arange(tokens.shape[0])[:, None]
    return jnp.zeros([tokens.shape[0], vocab], bool).at[rows, tokens].max(mask)


def so_far(prompt: Prompt | None, texts: Texts) -> jax.Array:
    """All tokens ``[B, T + N]``: prompt and new ones, -1 where there is none."""
    steps = jnp.arange(texts.tokens.shape[1])[None]
    new = jnp.where(steps < texts.lengths[:, None], texts.tokens, -1)
    if prompt is None:
        return new
    before = jnp.where(prompt.mask, prompt.tokens, -1).astype(jnp.int32)
    return jnp.concatenate([before, new], axis=1)
