"""The arguments of `generate` and `stream`, checked."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from haiku._bound import Bound
from haiku._core.keys.batched_init import is_staged
from haiku._core.keys.key_sequence import as_key
from haiku._lifted.layers_apart import noting_stacks, taken_apart
from haiku.generation.cache_dtypes import check_cache_dtype, with_cache_dtype
from haiku.generation.callers import Prompt, Sizes, call, check_model, prompt_of
from haiku.generation.decoding import (
    Ends,
    Texts,
    advance,
    advance_packed,
    begin,
    begin_packed,
    goes_on,
)
from haiku.generation.sampling import Rules, checked_rules
from haiku.generation.stacks import small_stacks, unpacked_in_loops


class Task:
    """Checked arguments of `generate` or `stream`, and the two compiled functions."""

    def __init__(
        self,
        model,
        tokens,
        mask,
        number,
        rng_key,
        options,
        eos,
        pad,
        processor,
        room,
        cache_dtype,
    ):
        encodes = check_model("a bound model", model)
        model = with_cache_dtype(model, cache_dtype)
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
        self.ends = _ends(eos, pad, getattr(processor, "eos", None))
        room = _room(room, self.prompt.tokens.shape[1], number)
        with noting_stacks() as stacks:
            self.sizes = Sizes(room, number, self._vocab(room, cache_dtype))
        self.stacks = small_stacks(model, stacks)
        self.unpacked_in_loops = unpacked_in_loops(model, self.stacks)

    def _vocab(self, room: int, cache_dtype: Any) -> int:
        def first(model, prompt):
            return call(model, prompt, prompt.tokens[:, :1], None, room)

        logits, state = jax.eval_shape(first, self.model, self.prompt)
        check_cache_dtype(state, cache_dtype)
        shape = logits.shape
        if len(shape) != 3:
            raise ValueError(
                "hk.generation needs a model that returns logits [B, T, V], and this "
                f"one returns {shape}: its config must have head='tokens'."
            )
        return shape[-1]

    def begun(self, prompt: Prompt | None = None, key: Any = None) -> Texts:
        """The texts of the task's prompts or others, before the first new token."""
        fixed = self.prompt if prompt is None else prompt, self.rules, self.ends
        model, key = self.model, self.key if key is None else key
        reads = begin
        if self.unpacked_in_loops:  # that over its layers is one
            model = self.stepping.replace(state=model.state)
            reads = begin if is_staged() else begin_packed
        return reads(model, *fixed, key, self.sizes, self.stacks)

    def advanced(self, texts: Texts, until: Any, prompt: Prompt | None = None) -> Texts:
        """The texts with `until` tokens, after the task's prompts or others."""
        fixed = self.prompt if prompt is None else prompt, self.rules, self.ends
        traced = any(isinstance(x, Tracer) for x in jax.tree.leaves(texts))
        loops = traced or not self.unpacked_in_loops
        steps = functools.partial(
            advance if loops else advance_packed,
            *(self.stepping, *fixed),
            until=until,
            sizes=self.sizes,
            processor=self.processor,
            loops=loops,
        )
        if loops:
            return steps(texts)
        while bool(jnp.any(goes_on(texts, until))):
            texts = steps(texts)
        return texts

    @functools.cached_property
    def stepping(self) -> Bound:
        """The model that makes steps."""
        params = taken_apart(self.model.params, self.stacks)
        return self.model.replace(params=params, state={})

    @property
    def given(self) -> tuple[Bound, Prompt, Rules, Ends]:
        """What all ways to write texts need."""
        return self.model, self.prompt, self.rules, self.ends


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


def _ends(eos: Any, pad: Any, of_processor: Any) -> Ends:
    if of_processor is not None:
        if not {*np.ravel([] if eos is None else eos)} <= {*of_processor}:
            raise ValueError(
                f"eos of hk.generation is {eos!r}, and logits_processor ends texts "
                f"with {of_processor}: leave eos out."
            )
        eos = of_processor
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
