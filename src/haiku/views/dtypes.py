"""The dtypes in which each call of a module stored, computed and returned numbers."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp

from haiku._text import dtype_text
from haiku.views.arrays import is_array
from haiku.views.calls import Call
from haiku.views.costs import Cost, costs_of
from haiku.views.inspection import Inspection

__all__ = ["CallDtypes", "dtypes_of_calls"]


@dataclasses.dataclass(frozen=True)
class CallDtypes:
    """The dtypes of one call of a module's method; its text has a line for each kind.

    Attributes:
      params: Those of the parameters of the module and the modules inside: `("f32",)`.
      compute: Those of the floating point numbers that operations took, in the call and
        the calls inside it; and a float8 if numbers were rounded to it before.
      output: Those of the arrays that the caller got.
    """

    params: tuple[str, ...]
    compute: tuple[str, ...]
    output: tuple[str, ...]

    @classmethod
    def of(cls, call: Call, cost: Cost) -> CallDtypes:
        """The dtypes of a call and its cost."""
        output = (x.dtype for x in jax.tree.leaves(call.received_spec) if is_array(x))
        params = (x.dtype for x in call.details.params.values())
        return cls(_floats(params), _floats(cost.dtypes), _floats(output))

    def __str__(self) -> str:
        kinds = dataclasses.asdict(self).items()
        return "\n".join(f"{kind} {', '.join(d)}" for kind, d in kinds if d)


def dtypes_of_calls(seen: Inspection) -> list[CallDtypes]:
    """The dtypes of each call of a model that was inspected with `received=True`."""
    return [CallDtypes.of(call, cost) for call, cost in zip(seen.calls, costs_of(seen))]


def _floats(dtypes: Iterable[Any]) -> tuple[str, ...]:
    """The dtypes of rounded numbers as text, each once."""
    floats = (dtype for dtype in dtypes if jnp.issubdtype(dtype, jnp.inexact))
    return tuple(dict.fromkeys(dtype_text(dtype) for dtype in floats))
