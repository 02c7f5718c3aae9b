"""Text of a model, token by token.

    out = hk.generation.generate(model, tokens, max_new_tokens=32)    # greedy
    for new in hk.generation.stream(model, tokens, max_new_tokens=32): ...

The cache is the model's state, so no net knows of generation. The rules that choose a
token are functions of logits too: `hk.generation.top_p(logits, 0.9)`.
"""

from haiku.generation.constraint import Constraint
from haiku.generation.continuous import ContinuousBatch, Written
from haiku.generation.generating import Generated, generate, stream
from haiku.generation.logits import (
    min_p,
    repetition_penalty,
    temperature,
    top_k,
    top_p,
)

__all__ = [
    "Constraint",
    "ContinuousBatch",
    "Generated",
    "Written",
    "generate",
    "min_p",
    "repetition_penalty",
    "stream",
    "temperature",
    "top_k",
    "top_p",
]


def __dir__() -> list[str]:
    return __all__
