"""In which dtypes each call of a module kept, computed and returned its numbers."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from haiku._core import (
    MethodContext,
    intercept_methods,
    original_function,
    transform_with_state,
)
from haiku._core.hooks import interceptors
from haiku._text import dtype_text
from haiku.views.costs import is_move
from haiku.views.jaxprs import branches, called, open_jaxpr
from haiku.views.summary import ModuleDetails

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


_SCOPE = "haiku_dtypes_of_"
_NUMBER = re.compile(_SCOPE + r"(\d+)")
_ROUNDING = "haiku_rounding"


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
    net = transform_with_state(original_function(f))
    leaves, treedef = jax.tree.flatten((args, dict(kwargs)))
    arrays = {i: x for i, x in enumerate(leaves) if hasattr(x, "dtype")}
    begun: list[MethodContext] = []
    params: dict[int, Mapping[str, Any]] = {}
    outputs: dict[int, tuple[str, ...]] = {}
    running: list[int] = []

    # A policy's casts are around the method as interceptors see it: what the caller
    # gets is seen by one that is around the policy.
    def around(next_f, args, kwargs, context: MethodContext):
        if context.method_name == "__init__":
            return next_f(*args, **kwargs)
        number = len(begun)
        begun.append(context)
        running.append(number)
        try:
            out = next_f(*args, **kwargs)
        finally:
            running.pop()
        details = ModuleDetails.of(context.module, context.method_name)
        params[number] = details.params
        outputs[number] = _named(x.dtype for x in jax.tree.leaves(out) if _is_array(x))
        return out

    def inside(next_f, args, kwargs, context: MethodContext):
        if context.method_name == "__init__":
            return next_f(*args, **kwargs)
        with jax.named_scope(f"{_SCOPE}{running[-1]}"):
            return next_f(*args, **kwargs)

    def init_and_apply(key, arrays):
        given = [arrays.get(i, x) for i, x in enumerate(leaves)]
        args, kwargs = jax.tree.unflatten(treedef, given)
        values = net.init(key, *args, **kwargs)
        with interceptors.push_below(around), intercept_methods(inside):
            net.apply(*values, key, *args, **kwargs)

    # A jitted function that has run before would not run its modules again.
    with jax.disable_jit():
        program = jax.make_jaxpr(init_and_apply)(jax.random.PRNGKey(42), arrays)
    found: list[dict[str, None]] = [{} for _ in begun]
    _collect(open_jaxpr(program), (), False, found)
    return [
        CallDtypes(
            _named(spec.dtype for spec in params[i].values()),
            tuple(found[i]),
            outputs[i],
        )
        for i in range(len(begun))
    ]


def _collect(
    jaxpr: Any, calls: tuple[int, ...], rounding: bool, found: list[dict[str, None]]
) -> None:
    """Writes the dtypes that operations took to the calls that they belong to."""
    for eqn in jaxpr.eqns:
        scopes = str(eqn.source_info.name_stack)
        inside = (*calls, *map(int, _NUMBER.findall(scopes)))
        rounds = rounding or _ROUNDING in scopes
        inner = called(eqn)
        if inner is not None:
            _collect(inner.jaxpr, inside, rounds, found)
            continue
        for choice in branches(eqn):
            _collect(choice.jaxpr, inside, rounds, found)
        variables = eqn.invars
        if rounds:
            both = (*eqn.invars, *eqn.outvars)
            variables = [v for v in both if _is_narrow(v.aval)]
        elif is_move(eqn):
            variables = []
        for call in inside:
            found[call].update(
                dict.fromkeys(_named(v.aval.dtype for v in variables if _is_array(v)))
            )


def _named(dtypes: Iterable[Any]) -> tuple[str, ...]:
    """Dtypes of numbers that are rounded, each once."""
    floats = (d for d in dtypes if jnp.issubdtype(d, jnp.inexact))
    return tuple(dict.fromkeys(dtype_text(d) for d in floats))


def _is_narrow(aval: Any) -> bool:
    dtype = getattr(aval, "dtype", None)
    return (
        dtype is not None
        and jnp.issubdtype(dtype, jnp.floating)
        and jnp.finfo(dtype).bits <= 8
    )


def _is_array(x: Any) -> bool:
    return hasattr(getattr(x, "aval", x), "dtype")
