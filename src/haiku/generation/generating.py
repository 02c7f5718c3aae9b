"""`generate` and `stream`."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from haiku._artifacts import in_artifacts
from haiku.generation.beams import search
from haiku.generation.cache_dtypes import with_cache_dtype
from haiku.generation.decoding import Texts
from haiku.generation.drafts import speculate
from haiku.generation.sampling import Processor, why_nan
from haiku.generation.stop_texts import StopTexts
from haiku.generation.tasks import Task

__all__ = ["Generated", "generate", "stream"]

_CHUNK = 8  # tokens between two looks at the texts for those that end them


@in_artifacts
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
    cache_dtype: Any = None,
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
        object is another program. :class:`Constraint` is one.
      cache_size: Room in the cache. Default: that for all tokens. Needed if `model`
        holds a cache already, whose texts go on: its size.
      cache_dtype: Of the keys and values that attention keeps. ``jnp.int8`` keeps
        rounded ones, with a scale for each head of a token: a quarter of float32's
        memory and half of bfloat16's, for logits that differ by about 1 %. Default:
        that of the keys.

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
    task = Task(
        *(model, tokens, mask, max_new_tokens, rng_key, options, eos, pad),
        *(logits_processor, cache_size, cache_dtype),
    )
    stops = StopTexts.checked(stop, tokenizer)
    _check_together(num_beams, task.rules, stops, draft, logits_processor)
    if num_beams > 1:
        found = search(*task.given, task.sizes, num_beams, length_penalty)
        return _checked_scores(Generated(*found))
    if draft is not None:
        key, sizes = task.key, task.sizes
        draft = with_cache_dtype(draft, cache_dtype)
        found = speculate(*task.given, key, sizes, draft, draft_tokens)
        return _checked_scores(Generated(*found))
    texts = task.begun()
    if not stops:
        texts = task.advanced(texts, max_new_tokens)
        return _generated(texts, logits_processor)
    for until in range(_CHUNK, max_new_tokens + _CHUNK, _CHUNK):
        before = np.array(texts.active)
        texts = task.advanced(texts, min(until, max_new_tokens))
        texts = stops.ended(texts, before, task.ends.pad)
        if not bool(jnp.any(texts.active)):
            break
    return _generated(texts, logits_processor)


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
    cache_dtype: Any = None,
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
      cache_dtype: Of kept keys and values.

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
    task = Task(
        *(model, tokens, mask, max_new_tokens, rng_key, options, eos, pad),
        *(logits_processor, cache_size, cache_dtype),
    )
    stops = StopTexts.checked(stop, tokenizer)

    def steps() -> Iterator[np.ndarray]:
        texts = task.begun()
        for step in range(max_new_tokens):
            before = np.array(texts.active)
            texts = task.advanced(texts, step + 1)
            if stops:
                texts = stops.ended(texts, before, task.ends.pad)
            _check_numbers(texts, texts.log_probs, logits_processor)
            yield np.asarray(texts.tokens[:, step])
            if not bool(jnp.any(texts.active)):
                return

    return steps()


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


def _generated(texts: Texts, processor: Processor | None) -> Generated:
    _check_numbers(texts, texts.log_probs, processor)
    return Generated(texts.tokens, texts.lengths, jnp.sum(texts.log_probs, axis=1))


def _checked_scores(out: Generated) -> Generated:
    _check_numbers(out, out.scores[:, None])
    return out


def _check_numbers(texts: Any, log_probs: jax.Array, processor: Any = None) -> None:
    """Raises if a text ended because its logits were NaN, where that is known."""
    if isinstance(log_probs, Tracer):
        return
    wrong = np.flatnonzero(np.isnan(np.asarray(log_probs)).any(axis=1))
    if wrong.size:
        row = int(wrong[0])
        number = int(texts.lengths[row])
        why = why_nan(processor, texts.tokens[row, : number - 1])
        raise ValueError(
            f"The logits of row {row} were NaN at new token {number}: {why}"
        )
