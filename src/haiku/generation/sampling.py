"""How the next token is chosen from logits."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from haiku.generation.logits import (
    min_p,
    repetition_penalty,
    temperature,
    top_k,
    top_p,
)

# A function of the tokens so far [B, N], -1 where there is none, and logits [B, V].
# With an attribute `reads_prompt`, which is False, it gets the new tokens alone.
Processor = Callable[[jax.Array, jax.Array], jax.Array]


class Rules(NamedTuple):
    """Numbers of the rules; None where a rule doesn't apply.

    Without a temperature the largest logit wins.
    """

    temperature: Any = None
    top_k: Any = None
    top_p: Any = None
    min_p: Any = None
    repetition_penalty: Any = None

    def penalised(self, logits: jax.Array, seen: jax.Array | None) -> jax.Array:
        """Logits ``[..., V]`` after the penalty of tokens that were seen."""
        if self.repetition_penalty is None or seen is None:
            return logits
        return repetition_penalty(logits, seen, self.repetition_penalty)

    def filtered(self, logits: jax.Array) -> jax.Array:
        """Logits ``[..., V]`` from which a token is drawn."""
        if self.temperature is None:
            return logits
        logits = temperature(logits, self.temperature)
        for rule, value in (
            (top_k, self.top_k),
            (top_p, self.top_p),
            (min_p, self.min_p),
        ):
            if value is not None:
                logits = rule(logits, value)
        return logits

    def choose(self, keys: Any, logits: jax.Array) -> jax.Array:
        """Tokens ``[B]`` for filtered logits ``[B, V]``, with the keys of all rows."""
        if self.temperature is None:
            return jnp.argmax(logits, axis=-1).astype(jnp.int32)
        return jax.vmap(jax.random.categorical)(keys, logits).astype(jnp.int32)


def why_nan(processor: Any, tokens: Any) -> str:
    """What may have made the logits NaN after new tokens ``[n]``."""
    nothing_fits = getattr(processor, "why_nothing_fits", None)
    left = "a logits_processor has left no token."
    if nothing_fits is not None:
        left = f"the logits_processor has left no token: {nothing_fits(tokens)}."
    return (
        "the model's parameters may be NaN, the text longer than its learned "
        f"positions, or {left}"
    )


def checked_rules(options: dict[str, Any]) -> Rules:
    """Rules of the keywords of `generate`, as arrays, checked by the rules' functions.

    Raises:
      ValueError: A number is outside of what its rule takes.
    """
    probe = jnp.zeros([1, 1])
    heat = options["temperature"]
    greedy = isinstance(heat, int | float) and heat == 0
    if not greedy:
        temperature(probe, heat)
    for rule, name in ((top_k, "top_k"), (top_p, "top_p"), (min_p, "min_p")):
        if options[name] is not None:
            try:
                rule(probe, options[name])
            except ValueError as error:
                raise ValueError(f"{name} of hk.generation: {error}") from error
    penalty = options["repetition_penalty"]
    repetition_penalty(probe, probe > 0, penalty)
    drawn = {} if greedy else {x: options[x] for x in ("top_k", "top_p", "min_p")}
    if not greedy:
        drawn["temperature"] = heat
    if not (isinstance(penalty, int | float) and penalty == 1):
        drawn["repetition_penalty"] = penalty
    return Rules(**{k: jnp.asarray(v) for k, v in drawn.items() if v is not None})
