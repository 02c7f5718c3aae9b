"""`generate` and `stream`."""

from collections.abc import Collection, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from haiku._bound import Bound
from haiku._core.keys.key_sequence import as_key
from haiku._lifted.layers_apart import noting_stacks, taken_apart
from haiku.generation.beams import search
from haiku.generation.callers import Prompt, Sizes, call, check_model, prompt_of
from haiku.generation.decoding import Ends, Texts, advance, begin
from haiku.generation.drafts import speculate
from haiku.generation.sampling import Processor, Rules, checked_rules
from haiku.generation.stop_texts import StopTexts

__all__ = ["Generated", "generate", "stream"]

_MOST_COPIED = 2**30  # bytes of layers that are copied out of their stacks
_CHUNK = 8  # tokens between two looks at the texts for those that end them


class Generated(NamedTuple):
    """What `generate` returns.

    Attributes:
      tokens: The new tokens, int32 ``[B, max_new_tokens]``; `pad` after the end of a
        row.
      lengths: How many of them count, int32 ``[B]``.
      scores: The sum of their log-probabilities, float32 ``[B]``; with beams, over
        ``length ** length_penalty``.

    Example:
      >>> out = hk.generation.Generated(
      ...     tokens=jnp.zeros([1, 2], jnp.int32), lengths=jnp.array([2]), scores=None)
      >>> out.tokens.shape
      (1, 2)
    """

    tokens: jax.Array
    lengths: jax.Array
    scores: jax.Array


def generate(
    model: Any,
    tokens: Any,
    *,
    mask: Any = None,
    max_new_tokens: int,
    rng_key: Any = None,
    temperature: Any = 0.0,
    top_k: Any = None,
    top_p: Any = None,
    min_p: Any = None,
    repetition_penalty: Any = 1.0,
    eos: Any = None,
    pad: int = 0,
    stop: Sequence[str] = (),
    tokenizer: Any = None,
    num_beams: int = 1,
    length_penalty: float = 1.0,
    draft: Any = None,
    draft_tokens: int = 4,
    logits_processor: Processor | None = None,
    cache_size: int | None = None,
) -> Generated:
    """Writes the continuations of texts.

    In each step the model's logits pass `repetition_penalty`, `logits_processor`,
    `temperature`, `top_k`, `top_p` and `min_p`, in this order, and a token is drawn.
    The prompts are read in one call, and each token in one more, of which one program
    is compiled per shape; other numbers of these rules need no other program.

    Args:
      model: A bound net whose call takes `cache_size`: `hk.nets.Decoder`, `Mamba`,
        `EncoderDecoder`, `Whisper`, or one of your own.
      tokens: The prompts, integers ``[B, T]``; for nets with an encoder its input. The
        decoder's text then begins with the config's `start_token`.
      mask: True where there is a token, ``[B, T]``; padding may stand anywhere. Each
        row is written as if it were alone. Default: everywhere.
      max_new_tokens: How many tokens to write at most.
      rng_key: A key or a seed; needed unless `temperature` is 0.
      temperature: 0 takes the likeliest token. See :func:`temperature`.
      top_k: Draws from this many likeliest tokens. Default: all.
      top_p: Draws from the likeliest tokens with this much probability. Default: all.
      min_p: Draws from tokens this likely, relative to the likeliest. Default: all.
      repetition_penalty: Makes tokens of the text so far, prompt included, less likely.
      eos: The token, or several, that ends a text. Default: none.
      pad: The token after the end of a row.
      stop: Texts that end a row: after the token that completes one of them among the
        new ones. Needs `tokenizer`.
      tokenizer: Of `stop`: has `decode(tokens) -> text`.
      num_beams: Keeps so many texts of each prompt in each step and returns the best.
        Default: 1, no search.
      length_penalty: With beams, scores are over ``length ** length_penalty``.
      draft: A smaller model of the same vocabulary that proposes tokens, which `model`
        checks several at a time; greedy text is the same, and drawn text has the same
        distribution (Leviathan et al., 2023).
      draft_tokens: How many tokens it proposes at a time.
      logits_processor: A function of the tokens so far ``[B, T + max_new_tokens]``, -1
        where there is none, and logits ``[B, V]``; returns logits. Another function
        object is another program.
      cache_size: Room in the cache. Default: that for all tokens. Needed if `model`
        holds a cache already, whose texts go on: its size.

    Returns:
      A :class:`Generated`.

    Raises:
      TypeError: `model` isn't a bound net with a cache.
      ValueError: Shapes or numbers don't fit; a prompt is empty or has a token outside
        of the vocabulary; options don't go together; logits were NaN.

    Source:
      Leviathan, Kalman and Matias, 2023, Fast Inference from Transformers via
      Speculative Decoding, arXiv:2211.17192.

    Example:
      >>> config = hk.nets.DecoderConfig(
      ...     vocab_size=32, model_size=16, num_layers=2, num_heads=2)
      >>> prompts = jnp.array([[1, 2, 3], [0, 4, 5]])
      >>> model = hk.bind(hk.nets.Decoder, config).init(0, prompts)
      >>> out = hk.generation.generate(
      ...     model, prompts, mask=prompts > 0, max_new_tokens=4, temperature=0.7,
      ...     top_p=0.9, rng_key=42)
      >>> out.tokens.shape, out.lengths.tolist()
      ((2, 4), [4, 4])
    """
    options = {
        "temperature": temperature,
        "top_k": top_k,
        "top_p": top_p,
        "min_p": min_p,
        "repetition_penalty": repetition_penalty,
    }
    start = _Start(
        *(model, tokens, mask, max_new_tokens, rng_key, options, eos, pad),
        *(logits_processor, cache_size),
    )
    stops = StopTexts.checked(stop, tokenizer)
    _check_together(num_beams, start.rules, stops, draft, logits_processor)
    if num_beams > 1:
        found = search(*start.given, start.sizes, num_beams, length_penalty)
        return _checked_scores(Generated(*found))
    if draft is not None:
        key, sizes = start.key, start.sizes
        found = speculate(*start.given, key, sizes, draft, draft_tokens)
        return _checked_scores(Generated(*found))
    texts = start.begun()
    if not stops:
        texts = start.advanced(texts, max_new_tokens)
        return _generated(texts)
    for until in range(_CHUNK, max_new_tokens + _CHUNK, _CHUNK):
        before = np.array(texts.active)
        texts = start.advanced(texts, min(until, max_new_tokens))
        texts = stops.ended(texts, before, start.ends.pad)
        if not bool(jnp.any(texts.active)):
            break
    return _generated(texts)


def stream(
    model: Any,
    tokens: Any,
    *,
    mask: Any = None,
    max_new_tokens: int,
    rng_key: Any = None,
    temperature: Any = 0.0,
    top_k: Any = None,
    top_p: Any = None,
    min_p: Any = None,
    repetition_penalty: Any = 1.0,
    eos: Any = None,
    pad: int = 0,
    stop: Sequence[str] = (),
    tokenizer: Any = None,
    logits_processor: Processor | None = None,
    cache_size: int | None = None,
) -> Iterator[np.ndarray]:
    """Writes texts like `generate`, and yields each step's tokens as they come.

    Args:
      model: As in `generate`, like all arguments here.
      tokens: The prompts.
      mask: Where they have tokens.
      max_new_tokens: How many steps at most.
      rng_key: A key or a seed.
      temperature: 0 takes the likeliest token.
      top_k: Draws from this many tokens.
      top_p: Draws from tokens with this much probability.
      min_p: Draws from tokens this likely.
      repetition_penalty: Makes tokens of the text less likely.
      eos: What ends a text.
      pad: The token after the end of a row.
      stop: Texts that end a row.
      tokenizer: Of `stop`.
      logits_processor: A function of tokens and logits.
      cache_size: Room in the cache.

    Yields:
      int32 ``[B]``; joined they are the tokens of `generate`. It ends when all rows
      have ended.

    Raises:
      TypeError: As in `generate`, before the first step.
      ValueError: The same; and in the step in which logits are NaN.

    Example:
      >>> config = hk.nets.DecoderConfig(
      ...     vocab_size=32, model_size=16, num_layers=2, num_heads=2)
      >>> prompts = jnp.ones([2, 3], jnp.int32)
      >>> model = hk.bind(hk.nets.Decoder, config).init(0, prompts)
      >>> for new in hk.generation.stream(model, prompts, max_new_tokens=2):
      ...     print(new.shape)
      (2,)
      (2,)
    """
    options = {
        "temperature": temperature,
        "top_k": top_k,
        "top_p": top_p,
        "min_p": min_p,
        "repetition_penalty": repetition_penalty,
    }
    start = _Start(
        *(model, tokens, mask, max_new_tokens, rng_key, options, eos, pad),
        *(logits_processor, cache_size),
    )
    stops = StopTexts.checked(stop, tokenizer)

    def steps() -> Iterator[np.ndarray]:
        texts = start.begun()
        for step in range(max_new_tokens):
            before = np.array(texts.active)
            texts = start.advanced(texts, step + 1)
            if stops:
                texts = stops.ended(texts, before, start.ends.pad)
            _check_numbers(texts.log_probs, texts.lengths)
            yield np.asarray(texts.tokens[:, step])
            if not bool(jnp.any(texts.active)):
                return

    return steps()


class _Start:
    """The checked arguments of a call, and its two compiled functions."""

    def __init__(
        self, model, tokens, mask, number, rng_key, options, eos, pad, processor, room
    ):
        encodes = check_model("a bound model", model)
        if type(number) is not int or number < 1:
            raise ValueError(
                "max_new_tokens of hk.generation must be an integer of at least 1, got "
                f"{number!r}."
            )
        self.prompt: Prompt = prompt_of(model, tokens, mask, encodes)
        self.rules: Rules = checked_rules(options)
        if self.rules.temperature is not None and rng_key is None:
            raise ValueError(
                f"hk.generation draws tokens with temperature={options['temperature']}"
                " and needs an rng_key, a key or a seed such as 42; temperature=0 "
                "takes the likeliest."
            )
        self.key = None
        if rng_key is not None:
            self.key = as_key(rng_key, "`rng_key` of hk.generation must be a key")
        self.model, self.processor = model, processor
        self.ends = _ends(eos, pad)
        room = _room(room, self.prompt.tokens.shape[1], number)
        with noting_stacks() as stacks:
            self.sizes = Sizes(room, number, self._vocab(room))
        self.stacks = _small_stacks(model, stacks)
        self.stepping: Bound | None = None  # the model that makes steps

    def _vocab(self, room: int) -> int:
        def logits(model, prompt):
            return call(model, prompt, prompt.tokens[:, :1], None, room)[0]

        shape = jax.eval_shape(logits, self.model, self.prompt).shape
        if len(shape) != 3:
            raise ValueError(
                "hk.generation needs a model that returns logits [B, T, V], and this "
                f"one returns {shape}: its config must have head='tokens'."
            )
        return shape[-1]

    def begun(self) -> Texts:
        """The texts before the first new token."""
        return begin(*self.given, self.key, self.sizes, self.stacks)

    def advanced(self, texts: Texts, until: int) -> Texts:
        """The texts with `until` tokens."""
        _, *fixed = self.given
        if self.stepping is None:
            params = _taken_apart(self.model.params, self.stacks)
            self.stepping = self.model.replace(params=params, state={})
        return advance(self.stepping, *fixed, texts, until, self.sizes, self.processor)

    @property
    def given(self) -> tuple[Bound, Prompt, Rules, Ends]:
        """What all ways to write texts need."""
        return self.model, self.prompt, self.rules, self.ends


def _small_stacks(model: Bound, stacks: Collection[str]) -> tuple[str, ...]:
    """The stacks to take apart for the steps: none, if there is much to copy."""
    held = [
        x
        for path, named in model.params.items()
        if path.startswith(tuple(stacks))
        for x in jax.tree.leaves(named)
    ]
    size = sum(x.size * x.dtype.itemsize for x in held)
    return tuple(sorted(stacks)) if size <= _MOST_COPIED else ()


_taken_apart = jax.jit(taken_apart, static_argnames="stacks")


def _room(room: Any, steps: int, number: int) -> int:
    if room is None:
        return steps + number
    if type(room) is not int or room < steps + number:
        raise ValueError(
            f"cache_size of hk.generation must be an integer of at least "
            f"{steps + number}, for {steps} tokens of the prompt and {number} new "
            f"ones, got {room!r}."
        )
    return room


def _ends(eos: Any, pad: Any) -> Ends:
    ids = np.asarray([] if eos is None else eos)
    if ids.size == 0:
        ids = ids.astype(np.int32)
    if ids.ndim > 1 or not np.issubdtype(ids.dtype, np.integer):
        raise ValueError(
            f"eos of hk.generation must be a token or several, got {eos!r}."
        )
    if not np.issubdtype(np.asarray(pad).dtype, np.integer) or np.ndim(pad):
        raise ValueError(f"pad of hk.generation must be a token, got {pad!r}.")
    return Ends(jnp.asarray(ids.reshape(-1), jnp.int32), jnp.int32(pad))


def _check_together(num_beams, rules, stops, draft, processor) -> None:
    if type(num_beams) is not int or num_beams < 1:
        raise ValueError(
            "num_beams of hk.generation must be an integer of at least 1, got "
            f"{num_beams!r}."
        )
    others = {
        "temperature above 0": rules.temperature is not None,
        "stop": bool(stops),
        "draft": draft is not None,
        "logits_processor": processor is not None,
    }
    if num_beams > 1 and any(others.values()):
        wrong = ", ".join(name for name, given in others.items() if given)
        raise ValueError(f"num_beams={num_beams} of hk.generation can't have {wrong}.")
    others = {
        "stop": bool(stops),
        "repetition_penalty": rules.repetition_penalty is not None,
        "logits_processor": processor is not None,
    }
    if draft is not None and any(others.values()):
        wrong = ", ".join(name for name, given in others.items() if given)
        raise ValueError(f"draft of hk.generation can't have {wrong}.")


def _generated(texts: Texts) -> Generated:
    _check_numbers(texts.log_probs, texts.lengths)
    return Generated(texts.tokens, texts.lengths, jnp.sum(texts.log_probs, axis=1))


def _checked_scores(out: Generated) -> Generated:
    _check_numbers(out.scores[:, None], out.lengths)
    return out


def _check_numbers(log_probs: jax.Array, lengths: jax.Array) -> None:
    """Raises if a text ended because its logits were NaN, where that is known."""
    if isinstance(log_probs, Tracer):
        return
    wrong = np.flatnonzero(np.isnan(np.asarray(log_probs)).any(axis=1))
    if wrong.size:
        row = int(wrong[0])
        raise ValueError(
            f"The logits of row {row} were NaN at new token {int(lengths[row])}: the "
            "model's parameters may be NaN, the text longer than its learned "
            "positions, or a logits_processor has left no token."
        )
