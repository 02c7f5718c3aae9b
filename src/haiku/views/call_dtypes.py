"""In which dtypes each call of a module kept, computed and returned its numbers."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from haiku._core import MethodContext, intercept_methods
from haiku._core.variables.hooks import interceptors
from haiku._text import dtype_text
from haiku.views.arrays import is_array
from haiku.views.calls import Call, ModuleDetails, recorder
from haiku.views.flops import is_move
from haiku.views.jaxprs import branches, called
from haiku.views.model import Model
from haiku.views.scopes import call_scope, calls_around

__all__ = ["CallDtypes", "dtypes_of_calls"]


@dataclasses.dataclass(frozen=True)
class CallDtypes:
    """The dtypes of one call of a module's method; its text has a line for each kind.

    Attributes:
      params: Those in which the parameters of the module and of those inside it are
        stored: `("f32",)`.
      compute: Those of the floating point numbers that operations took, in the call and
        the calls inside it; and a float8 if numbers were rounded to it before.
      output: Those of the arrays that the caller got.
    """

    params: tuple[str, ...]
    compute: tuple[str, ...]
    output: tuple[str, ...]

    def __str__(self) -> str:
        kinds = dataclasses.asdict(self).items()
        return "\n".join(f"{kind} {', '.join(d)}" for kind, d in kinds if d)


_ROUNDING = "haiku_rounding"  # The scope in which a policy rounds to a float8.


def dtypes_of_calls(
    f: Callable[..., Any] | Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> list[CallDtypes]:
    """Finds the dtypes of each call of a module; nothing is computed.

    Args:
      f: A function that uses modules, before or after `hk.transform`.
      args: Its positional arguments, arrays or `jax.ShapeDtypeStruct`s.
      kwargs: Its keyword arguments.

    Returns:
      One `CallDtypes` for each method call in `apply` but those of constructors, in the
      order in which they began.
    """
    calls: list[Call] = []
    running: list[Call] = []
    params: dict[int, Mapping[str, Any]] = {}

    # A policy's casts are around the method as interceptors see it: what the caller
    # gets is seen by a recorder that is around the policy.
    def around(call: Call, f: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        running.append(call)
        try:
            out = f(*args, **kwargs)
        finally:
            running.pop()
        # Now: inside `layer_stack` a module has a frame that is gone afterwards.
        details = ModuleDetails.of(call.context.module, call.context.method_name)
        params[call.number] = details.params
        return out

    def inside(next_f, args, kwargs, context: MethodContext):
        if context.method_name == "__init__":
            return next_f(*args, **kwargs)
        with call_scope(running[-1].number):
            return next_f(*args, **kwargs)

    model = Model(f, args, kwargs)
    specs = model.specs()
    with interceptors.push_below(recorder(calls, around)), intercept_methods(inside):
        program, _ = model.program(*specs)
    found: list[dict[str, None]] = [{} for _ in calls]
    _collect(program, (), False, found)
    return [
        CallDtypes(
            params=_named(params[call.number].values()),
            compute=tuple(found[call.number]),
            output=_named(jax.tree.leaves(call.output_spec)),
        )
        for call in calls
    ]


def _collect(
    jaxpr: Any, calls: tuple[int, ...], rounding: bool, found: list[dict[str, None]]
) -> None:
    """Writes the dtypes that operations took to the calls that they belong to."""
    for eqn in jaxpr.eqns:
        inside = (*calls, *calls_around(eqn))
        rounds = rounding or _ROUNDING in str(eqn.source_info.name_stack)
        inner = called(eqn)
        if inner is not None:
            _collect(inner.jaxpr, inside, rounds, found)
            continue
        for choice in branches(eqn):
            _collect(choice.jaxpr, inside, rounds, found)
        taken = _taken(eqn, rounds)
        for call in inside:
            found[call].update(dict.fromkeys(taken))


def _taken(eqn: Any, rounding: bool) -> tuple[str, ...]:
    """The dtypes of what an operation computes with; of a rounding, what to."""
    if rounding:
        both = (v.aval for v in (*eqn.invars, *eqn.outvars))
        return _named(aval for aval in both if _is_narrow(aval))
    return () if is_move(eqn) else _named(v.aval for v in eqn.invars)


def _named(arrays: Iterable[Any]) -> tuple[str, ...]:
    """Dtypes of numbers that are rounded, each once."""
    dtypes = (x.dtype for x in arrays if is_array(x))
    floats = (d for d in dtypes if jnp.issubdtype(d, jnp.inexact))
    return tuple(dict.fromkeys(dtype_text(d) for d in floats))


def _is_narrow(aval: Any) -> bool:
    return (
        is_array(aval)
        and jnp.issubdtype(aval.dtype, jnp.floating)
        and jnp.finfo(aval.dtype).bits <= 8
    )
