"""How generation calls a net: with tokens, or with an encoder's input and tokens."""

import inspect
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from haiku._bound import Bound
from haiku._core import Blueprint

__all__ = [
    "Prompt",
    "Sizes",
    "call",
    "check_model",
    "prompt_of",
    "rows_axes",
    "start_of",
]


class Prompt(NamedTuple):
    """What a text begins with.

    Attributes:
      encoded: The input of an encoder and its mask, or None.
      tokens: Integers ``[B, T]``.
      mask: Where `tokens` has a token, ``[B, T]``.
    """

    encoded: tuple[jax.Array, jax.Array | None] | None
    tokens: jax.Array
    mask: jax.Array


class Sizes(NamedTuple):
    """Sizes that a program is compiled for.

    Attributes:
      cache_size: Room for tokens.
      number: How many tokens to write at most.
      vocab: The number of logits.
    """

    cache_size: int
    number: int
    vocab: int


def call(
    model: Bound, prompt: Prompt, tokens: Any, mask: Any, cache_size: int
) -> tuple[jax.Array, Any]:
    """Logits of new tokens ``[B, T]`` after those in the model's cache, and its state.

    Args:
      model: With a cache, or without one for the first call.
      prompt: Of all calls.
      tokens: The new ones.
      mask: Where there are new tokens, or None if everywhere.
      cache_size: Room for all tokens.
    """
    masked = {} if mask is None else {"mask": mask}
    if prompt.encoded is None:
        logits, model = model.updating(tokens, cache_size=cache_size, **masked)
        return logits, model.state
    inputs, inputs_mask = prompt.encoded
    masked = {} if mask is None else {"decoder_mask": mask}
    if inputs_mask is not None:
        masked["mask"] = inputs_mask
    logits, model = model.updating(inputs, tokens, cache_size=cache_size, **masked)
    return logits, model.state


def start_of(model: Bound, prompt: Prompt, cache_size: int) -> tuple[Any, jax.Array]:
    """The state after a prompt without its last tokens, and those, ``[B]``.

    So that the loop reads one token in each step: the logits of the others, which are
    large, are never computed.
    """
    tokens, mask = prompt.tokens, prompt.mask
    if prompt.encoded is not None:  # its prompt is one token; the encoder runs here
        return call(model, prompt, tokens[:, :0], None, cache_size)[1], tokens[:, -1]
    steps = jnp.arange(tokens.shape[1])[None]
    last = jnp.max(jnp.where(mask, steps, 0), axis=1, keepdims=True)
    state = call(model, prompt, tokens, mask & (steps != last), cache_size)[1]
    return state, jnp.take_along_axis(tokens, last, axis=1)[:, 0]


def rows_axes(model: Bound, prompt: Prompt, cache_size: int) -> Any:
    """For each array of the state after a prompt, which axis is that of rows."""
    empty = model.replace(state={})  # a cache that it may hold has rows already

    def shapes(rows: int) -> Any:
        more = jax.tree.map(
            lambda x: jax.ShapeDtypeStruct((rows, *x.shape[1:]), x.dtype), prompt
        )
        return jax.eval_shape(lambda m, p: start_of(m, p, cache_size)[0], empty, more)

    def axis(one: Any, two: Any) -> int:
        differs = [i for i, (n, m) in enumerate(zip(one.shape, two.shape)) if n != m]
        if len(differs) != 1:
            raise ValueError(
                "hk.generation can't tell which axis of the state is that of texts: "
                f"with 1 and 2 texts its shapes are {one.shape} and {two.shape}."
            )
        return differs[0]

    return jax.tree.map(axis, shapes(1), shapes(2))


# ---- Checks --------------------------------------------------------------------------


def check_model(what: str, model: Any) -> bool:
    """Raises unless a model has a cache; returns whether it has an encoder."""
    net = getattr(model, "net", None)
    if not isinstance(model, Bound) or model.params is None:
        raise TypeError(
            f"hk.generation needs {what} with parameters: `hk.bind(hk.nets.Decoder, "
            f"config).init(key, tokens)` or `hk.pretrained.load`. Got "
            f"{type(model).__name__}."
        )
    f = net.module_class.__call__ if isinstance(net, Blueprint) else net
    names = inspect.signature(f).parameters if callable(f) else {}
    if "cache_size" not in names:
        raise TypeError(
            f"hk.generation needs {what} whose call takes cache_size, as that of "
            f"hk.nets.Decoder does; {net!r} has {list(names)}."
        )
    return "decoder_tokens" in names


def prompt_of(model: Bound, tokens: Any, mask: Any, encodes: bool) -> Prompt:
    """The prompt of a call, checked as far as its values are known."""
    tokens = jnp.asarray(tokens)
    texts = jnp.issubdtype(tokens.dtype, jnp.integer)
    if not (texts and tokens.ndim == 2) and not (encodes and tokens.ndim == 3):
        wanted = "integers [B, T]" + (" or features [B, T, D]" if encodes else "")
        raise ValueError(
            f"tokens of hk.generation must be {wanted}, got {tokens.dtype} of shape "
            f"{tokens.shape}. One text is tokens[None]."
        )
    if 0 in tokens.shape:
        raise ValueError(
            f"hk.generation got an empty prompt, tokens of shape {tokens.shape}: begin "
            "with at least one token, such as that for the beginning of a text."
        )
    if mask is not None:
        if tokens.ndim == 3:
            raise ValueError(
                "hk.generation takes no mask for features [B, T, D]: all frames count."
            )
        mask = jnp.asarray(mask)
        if mask.shape != tokens.shape[:2]:
            raise ValueError(
                f"mask of hk.generation must have the shape of tokens, "
                f"{tokens.shape[:2]}, got {mask.shape}."
            )
        mask = mask.astype(bool)
        _check_rows(mask)
    config = getattr(model.net, "arguments", {}).get("config")
    vocab = getattr(config, "vocab_size", None)
    if texts and vocab is not None:
        _check_tokens(tokens, mask, vocab)
    if not encodes:
        whole = jnp.ones(tokens.shape, bool) if mask is None else mask
        return Prompt(None, tokens, whole)
    start = getattr(config, "start_token", 0)
    first = jnp.full((tokens.shape[0], 1), start, jnp.int32)
    return Prompt((tokens, mask), first, jnp.ones_like(first, bool))


def _check_rows(mask: jax.Array) -> None:
    if isinstance(mask, Tracer):
        return
    empty = np.flatnonzero(~np.asarray(mask).any(axis=1))
    if empty.size:
        raise ValueError(
            f"hk.generation got empty prompts: the mask of rows {empty.tolist()[:8]} "
            "has no token. Begin them with at least one."
        )


def _check_tokens(tokens: jax.Array, mask: jax.Array | None, vocab: int) -> None:
    if isinstance(tokens, Tracer) or isinstance(mask, Tracer):
        return
    held = np.asarray(tokens)
    outside = (held < 0) | (held >= vocab)
    if mask is not None:
        outside &= np.asarray(mask)
    if outside.any():
        row, step = np.argwhere(outside)[0]
        raise ValueError(
            f"Token {held[row, step]} of row {row}, step {step} is outside of the "
            f"vocabulary, 0 to {vocab - 1}: is the tokenizer that of the model?"
        )
