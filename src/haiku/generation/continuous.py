"""Texts that come and go, in a batch of a fixed size."""

import collections
import functools
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from haiku._core.keys.key_sequence import as_key
from haiku.generation.callers import Prompt, prompt_of
from haiku.generation.decoding import Texts, begin
from haiku.generation.sampling import Processor, why_nan
from haiku.generation.stop_texts import StopTexts
from haiku.generation.tasks import Task

__all__ = ["ContinuousBatch", "Written"]

_CHUNK = 8  # tokens between two looks at texts that have ended and prompts that wait
_SHORTEST = 16  # prompts are padded to this, or the next power of 2


class Written(NamedTuple):
    """A text of a `ContinuousBatch`, so far.

    Attributes:
      id: The number that `add` returned.
      tokens: All of its new tokens, int32 ``[n]``, with that which ends it.
      score: The sum of their log-probabilities.
      ended: Whether it is whole.

    Example:
      >>> hk.generation.Written(id=0, tokens=np.array([3, 1]), score=-2.5, ended=True)
      Written(id=0, tokens=array([3, 1]), score=-2.5, ended=True)
    """

    id: int
    tokens: np.ndarray
    score: float
    ended: bool


class _Request(NamedTuple):
    """A prompt, and what it asks for."""

    id: int
    prompt: Prompt
    number: int
    key: Any


class ContinuousBatch:
    """Writes texts in the rows of a batch, each of which takes the next when one ends.

    A batch of `generate` runs until its longest text ends; here a row that is free
    reads the next prompt that waits, so that a server or a long list of prompts keeps
    all rows at work (Yu et al., 2022). One program is compiled for the steps, one for
    prompts of up to 16 tokens, 32, 64 and so on. Each text is as `generate` writes it
    alone, with the same key.

    A model that holds a cache of one row, that of a text which all prompts continue,
    gives each row a copy: the text is read once.

    Args:
      model: A bound net without an encoder whose call takes `cache_size`.
      batch_size: How many texts are written at a time.
      cache_size: Room for the tokens of one text, prompt included.
      max_new_tokens: How many tokens to write of a text at most.
      temperature: As in :func:`generate`, like all that follow.
      top_k: Draws from so many tokens.
      top_p: Draws from tokens with this much probability.
      min_p: Draws from tokens this likely.
      repetition_penalty: Makes tokens of the text less likely.
      eos: What ends a text.
      stop: Texts that end a text.
      tokenizer: Of `stop`.
      logits_processor: A function of tokens and logits; the tokens so far are
        ``[batch_size, cache_size + max_new_tokens]``.
      cache_dtype: Of kept keys and values.

    Raises:
      TypeError: `model` isn't a bound net with a cache.
      ValueError: It has an encoder, or numbers don't fit.

    Source:
      Yu et al., 2022, Orca: A Distributed Serving System for Transformer-Based
      Generative Models, OSDI 22, section 3.1.

    Example:
      >>> config = hk.nets.DecoderConfig(
      ...     vocab_size=32, model_size=16, num_layers=2, num_heads=2)
      >>> model = hk.bind(hk.nets.Decoder, config).init(0, jnp.ones([1, 3], jnp.int32))
      >>> batch = hk.generation.ContinuousBatch(
      ...     model, 2, cache_size=32, max_new_tokens=16)
      >>> for prompt, number in ([1, 2], 16), ([3], 2), ([4, 5, 6], 4):
      ...     _ = batch.add(prompt, max_new_tokens=number)
      >>> for text in batch:
      ...     print(text.id, len(text.tokens))
      1 2
      0 16
      2 4
    """

    def __init__(
        self,
        model: Any,
        batch_size: int,
        *,
        cache_size: int,
        max_new_tokens: int,
        temperature: Any = 0.0,
        top_k: Any = None,
        top_p: Any = None,
        min_p: Any = None,
        repetition_penalty: Any = 1.0,
        eos: Any = None,
        stop: Sequence[str] = (),
        tokenizer: Any = None,
        logits_processor: Processor | None = None,
        cache_dtype: Any = None,
    ):
        _check_count("batch_size", batch_size)
        _check_count("cache_size", cache_size)
        options = {
            "temperature": temperature,
            "top_k": top_k,
            "top_p": top_p,
            "min_p": min_p,
            "repetition_penalty": repetition_penalty,
        }
        some = np.zeros([1, 1], np.int32)
        self._task = Task(
            *(model, some, None, max_new_tokens, 0, options, eos, 0),
            *(logits_processor, cache_size, cache_dtype),
        )
        if self._task.prompt.encoded is not None:
            raise ValueError(
                "hk.generation.ContinuousBatch needs a net without an encoder, got "
                f"{self._task.model.net!r}: hk.generation.generate takes it."
            )
        self._stops = StopTexts.checked(stop, tokenizer)
        self._held = _length(self._task.model)  # of a text that all continue
        self._rows: list[_Request | None] = [None] * batch_size
        self._waiting: collections.deque[_Request] = collections.deque()
        self._ended: list[Written] = []  # not handed out yet, since another was wrong
        self._added = 0
        self._texts: Texts | None = None
        self._axes: Any = None  # which of each array in `_texts` is that of rows
        width = cache_size if logits_processor is not None else 1
        self._prompts = np.zeros([2, batch_size, width], np.int32)  # tokens and mask

    @property
    def busy(self) -> bool:
        """Whether a text is being written or waits."""
        return bool(self._waiting or self._ended or any(self._rows))

    def add(
        self, tokens: Any, *, max_new_tokens: int | None = None, rng_key: Any = None
    ) -> int:
        """Lets a prompt wait for a row.

        Args:
          tokens: The prompt, integers ``[T]``.
          max_new_tokens: How many tokens to write at most. Default: the batch's number.
          rng_key: A key or a seed; needed unless `temperature` is 0.

        Returns:
          The text's number, from 0 on.

        Raises:
          ValueError: The prompt is empty, has a token outside of the vocabulary, or is
            too long for the cache.
        """
        task = self._task
        most = task.sizes.number
        number = most if max_new_tokens is None else max_new_tokens
        _check_count("max_new_tokens", number)
        if number > most:
            raise ValueError(
                f"max_new_tokens of a text must be at most the batch's, {most}, got "
                f"{number}."
            )
        tokens = np.asarray(tokens)
        tokens = tokens if tokens.size else tokens.astype(np.int32)
        if tokens.ndim != 1:
            raise ValueError(
                "tokens of hk.generation.ContinuousBatch.add must be one prompt, "
                f"integers [T], got shape {tokens.shape}."
            )
        prompt_of(task.model, tokens[None], None, False)
        needed = self._held + len(tokens) + number
        if needed > task.sizes.cache_size:
            before = f" after {self._held} that the model holds" * bool(self._held)
            raise ValueError(
                f"A prompt of {len(tokens)} tokens{before} and {number} new ones need "
                f"a cache_size of {needed}; that of the batch is "
                f"{task.sizes.cache_size}."
            )
        if task.rules.temperature is not None and rng_key is None:
            raise ValueError(
                "hk.generation.ContinuousBatch draws tokens: give each prompt an "
                "rng_key, a key or a seed such as 42."
            )
        padding = max(_SHORTEST, 1 << (len(tokens) - 1).bit_length()) - len(tokens)
        prompt = Prompt(
            None,
            jnp.asarray(np.pad(tokens, (padding, 0))[None], jnp.int32),
            jnp.asarray(np.arange(padding + len(tokens)) >= padding)[None],
        )
        key = _typed(0 if rng_key is None else rng_key)
        self._waiting.append(_Request(self._added, prompt, number, key))
        self._added += 1
        return self._added - 1

    def cancel(self, id: int) -> None:
        """Takes a text away, whether it waits or is being written.

        Args:
          id: The text's number.

        Raises:
          ValueError: There is no such text, or it has ended.
        """
        for row, request in enumerate(self._rows):
            if request is not None and request.id == id:
                self._rows[row] = None
                return
        for request in self._waiting:
            if request.id == id:
                self._waiting.remove(request)
                return
        raise ValueError(f"No text of number {id!r} waits or is being written.")

    def step(self) -> list[Written]:
        """Gives free rows to prompts that wait, and writes some tokens of each text.

        Returns:
          All texts that were written on, in the order of rows; also those that ended.

        Raises:
          ValueError: Logits were NaN: of the text that the message names, which is
            taken away. The others go on in the next call.
        """
        task = self._task
        for row, request in enumerate(self._rows):
            if request is None and self._waiting:
                self._admit(row, self._waiting.popleft())
        rows = [(i, x) for i, x in enumerate(self._rows) if x is not None]
        if self._texts is None or not rows:
            handed, self._ended = self._ended, []
            return handed
        before = np.array([x is not None for x in self._rows])
        limits = np.array([0 if x is None else x.number for x in self._rows], np.int32)
        lengths = np.asarray(self._texts.lengths)
        until = jnp.asarray(np.minimum(lengths + _CHUNK, limits))
        tokens, mask = self._prompts
        prompts = Prompt(None, jnp.asarray(tokens), jnp.asarray(mask, bool))
        texts = task.advanced(self._texts, until, prompts)
        if self._stops:
            texts = self._stops.ended(texts, before, task.ends.pad)
        self._texts = texts
        found, wrong = self._ended, None
        tokens, lengths = np.array(texts.tokens), np.array(texts.lengths)
        active, log_probs = np.array(texts.active), np.array(texts.log_probs)
        for row, request in rows:
            ended = not active[row] or lengths[row] >= request.number
            score = float(log_probs[row].sum())
            if np.isnan(score):
                wrong, ended = (request, row), True
            else:
                own = tokens[row, : lengths[row]]
                found.append(Written(request.id, own, score, bool(ended)))
            if ended:
                self._rows[row] = None
        if wrong is not None:
            self._ended = [x for x in found if x.ended]
            request, row = wrong
            why = why_nan(task.processor, tokens[row, : lengths[row] - 1])
            raise ValueError(
                f"The logits of text {request.id} were NaN: {why} The other texts can "
                "go on."
            )
        self._ended = []
        return found

    def __iter__(self) -> Iterator[Written]:
        """All texts, as they end; prompts may be added meanwhile."""
        while self.busy:
            yield from (text for text in self.step() if text.ended)

    def _admit(self, row: int, request: _Request) -> None:
        """Reads a prompt into a row."""
        task = self._task
        one = task.begun(request.prompt, request.key)
        if self._texts is None:
            self._axes = self._axes_of(request)
            self._texts = _repeated(one, self._axes, len(self._rows))
        else:
            self._texts = _replaced(self._texts, one, self._axes, jnp.int32(row))
        self._rows[row] = request
        width = self._prompts.shape[2]
        if width > 1:
            tokens, mask = (np.asarray(x)[0, -width:] for x in request.prompt[1:])
            self._prompts[:, row] = 0
            self._prompts[:, row, width - len(tokens) :] = tokens, mask

    def _axes_of(self, request: _Request) -> "_Axes":
        task = self._task
        empty = task.model.replace(state={})

        def shapes(rows: int) -> Any:
            prompt = jax.tree.map(
                lambda x: jax.ShapeDtypeStruct((rows, *x.shape[1:]), x.dtype),
                request.prompt,
            )
            return jax.eval_shape(
                lambda model, prompt, key: begin(
                    model, prompt, task.rules, task.ends, key, task.sizes, task.stacks
                ),
                *(empty, prompt, request.key),
            )

        def axis(one: Any, two: Any) -> int:
            return next(
                i for i, (n, m) in enumerate(zip(one.shape, two.shape)) if n != m
            )

        return _Axes(jax.tree.leaves(jax.tree.map(axis, shapes(1), shapes(2))))


class _Axes(tuple):
    """Axes of the leaves of texts, fixed for a program."""


@functools.partial(jax.jit, static_argnums=(1, 2))
def _repeated(one: Texts, axes: _Axes, number: int) -> Texts:
    """A batch whose rows are all alike."""
    leaves, structure = jax.tree.flatten(one)
    return structure.unflatten(
        jnp.concatenate([x] * number, axis) for x, axis in zip(leaves, axes)
    )


@functools.partial(jax.jit, static_argnums=2, donate_argnums=0)
def _replaced(texts: Texts, one: Texts, axes: _Axes, row: jax.Array) -> Texts:
    """The batch with another text in a row."""
    leaves, structure = jax.tree.flatten(texts)
    return structure.unflatten(
        jax.lax.dynamic_update_slice_in_dim(x, y, row, axis)
        for x, y, axis in zip(leaves, jax.tree.leaves(one), axes)
    )


def _length(model: Any) -> int:
    """How many tokens a model's cache holds."""
    held = [named["length"] for named in model.state.values() if "length" in named]
    return max((int(jnp.max(x)) for x in held), default=0)


def _typed(key: Any) -> Any:
    """A key of the new kind, whose arrays hold keys of both."""
    key = as_key(key, "`rng_key` of hk.generation must be a key")
    if jnp.issubdtype(key.dtype, jax.dtypes.prng_key):
        return key
    return jax.random.wrap_key_data(key)


def _check_count(name: str, value: Any) -> None:
    if type(value) is not int or value < 1:
        raise ValueError(
            f"{name} of hk.generation must be an integer of at least 1, got {value!r}."
        )
