"""What a view needs to know of JAX's equations, the same for every JAX version."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Sequence
from typing import Any

__all__ = [
    "Inner",
    "Letters",
    "aval_text",
    "branches",
    "called",
    "is_literal",
    "open_jaxpr",
    "without_kernels",
]

# Primitives that stand for "run this inner program", by the name a reader knows.
_CALLS = {
    "closed_call": "call",
    "core_call": "call",
    "custom_jvp_call": "custom_jvp",
    "custom_vjp_call": "custom_vjp",
    "custom_vjp_call_jaxpr": "custom_vjp",
    "checkpoint": "remat",
    "remat": "remat",
    "remat2": "remat",
    "shard_map": "shard_map",
}


@dataclasses.dataclass(frozen=True)
class Inner:
    """A program inside an equation.

    Attributes:
      title: What a reader calls it: a jitted function's name, `scan length=3 unroll=1`.
      jaxpr: The inner program.
      invars: The equation's inputs that its inputs stand for, one for one.
      times: How often it runs, where that is known.
    """

    title: str
    jaxpr: Any
    invars: Sequence[Any]
    times: int = 1


def open_jaxpr(jaxpr: Any) -> Any:
    """The part of a program that has `eqns`, `invars` and `outvars`."""
    # One step only: in newer JAX the two classes are one, and each has `.jaxpr`.
    return getattr(jaxpr, "jaxpr", jaxpr)


def called(eqn: Any) -> Inner | None:
    """The program that an equation stands for, if it stands for exactly one."""
    name, params = eqn.primitive.name, eqn.params
    if name == "while":
        return _inner("while", params["body_jaxpr"], eqn)
    if name == "scan":
        length = params["length"]
        title = f"scan length={length} unroll={params['unroll']}"
        return _inner(title, params["jaxpr"], eqn, length)
    if name in ("jit", "pjit", "xla_pmap"):
        jaxpr = params.get("jaxpr", params.get("call_jaxpr"))
        inner = _inner(str(params.get("name", name)), jaxpr, eqn)
        return inner and _without_repetition(inner)
    if name in _CALLS:
        jaxpr = next((v for v in params.values() if _is_jaxpr(v)), None)
        return _inner(_CALLS[name], jaxpr, eqn)
    return None


def _without_repetition(inner: Inner) -> Inner:
    """For a function that is only a call of what it is about: what is called."""
    if len(inner.jaxpr.eqns) != 1:
        return inner
    middle = called(inner.jaxpr.eqns[0])
    if middle is None:
        return inner
    outside = dict(zip(inner.jaxpr.invars, inner.invars))
    invars = [v if is_literal(v) else outside[v] for v in middle.invars]
    # Layers' elementwise arithmetic is computed again for the gradient.
    if inner.title.startswith("haiku_") and middle.title == "remat":
        return dataclasses.replace(middle, title=inner.title, invars=invars)
    # `relu` is only `custom_jvp` that is only `relu`: Haiku's layers jit JAX's
    # activations, which are jitted already.
    if middle.title == "custom_jvp" and len(middle.jaxpr.eqns) == 1:
        last = called(middle.jaxpr.eqns[0])
        if last and last.title == inner.title:
            return dataclasses.replace(middle, invars=invars)
    return inner


def branches(eqn: Any) -> list[Inner]:
    """The programs that an equation chooses between: those of `cond` and `switch`."""
    if eqn.primitive.name != "cond":
        return []
    inner = (
        _inner(f"branch {i}", jaxpr, eqn)
        for i, jaxpr in enumerate(eqn.params["branches"])
    )
    return [b for b in inner if b is not None]


def _inner(title: str, jaxpr: Any, eqn: Any, times: int = 1) -> Inner | None:
    if jaxpr is None:
        return None
    jaxpr = open_jaxpr(jaxpr)
    # What comes before belongs to the equation: the index of `cond`, the constants of
    # `while`'s condition.
    first = len(eqn.invars) - len(jaxpr.invars)
    if first < 0 or len(jaxpr.outvars) != len(eqn.outvars):
        return None
    return Inner(title, jaxpr, eqn.invars[first:], times)


def _is_jaxpr(value: Any) -> bool:
    return hasattr(open_jaxpr(value), "eqns")


def is_literal(variable: Any) -> bool:
    """Whether an equation's input is a number written into the program."""
    return hasattr(variable, "val")


@dataclasses.dataclass(eq=False)
class _Variable:
    """A variable of a program that was put into another one."""

    aval: Any


@dataclasses.dataclass(eq=False)
class _Equation:
    """An equation of a program that was put into another one."""

    primitive: Any
    params: Any
    invars: list[Any]
    outvars: list[Any]
    source_info: Any


def without_kernels(eqns: Sequence[Any]) -> Iterator[Any]:
    """The equations, with those inside of layers' compiled arithmetic in its place."""
    for eqn in eqns:
        name = str(eqn.params.get("name", ""))
        inner = called(eqn) if name.startswith("haiku_") else None
        if inner is None or not _makes_all_it_returns(inner.jaxpr):
            yield eqn
            continue
        # JAX traced it once for all layers, so its variables are new at every use.
        new = dict(zip(inner.jaxpr.invars, inner.invars))
        new |= dict(zip(inner.jaxpr.outvars, eqn.outvars))
        for step in inner.jaxpr.eqns:
            for variable in step.outvars:
                new.setdefault(variable, _Variable(variable.aval))
            yield _Equation(
                step.primitive,
                step.params,
                [v if is_literal(v) else new[v] for v in step.invars],
                [new[v] for v in step.outvars],
                eqn.source_info,
            )


def _makes_all_it_returns(jaxpr: Any) -> bool:
    made = [variable for eqn in jaxpr.eqns for variable in eqn.outvars]
    returned = [v for v in jaxpr.outvars if not is_literal(v)]
    return len(set(returned)) == len(jaxpr.outvars) and set(returned) <= set(made)


def aval_text(variable: Any) -> str:
    """Writes a variable's dtype and shape: `f32[2,3]`, `int32[]`."""
    aval = variable.aval
    if not hasattr(aval, "shape") or not hasattr(aval, "dtype"):
        return str(aval)
    dtype = re.sub(r"^(b?)float", r"\1f", str(aval.dtype))
    return f"{dtype}[{','.join(str(d) for d in aval.shape)}]"


class Letters:
    """Gives each variable of a program a short name: a, b, ..., z, ba, bb, ..."""

    def __init__(self) -> None:
        self._names: dict[Any, str] = {}
        self._fresh = _letters()

    def __call__(self, variable: Any) -> str:
        """The variable's name; a number written into the program is its own."""
        if is_literal(variable):
            return str(variable.val)
        if variable not in self._names:
            self._names[variable] = next(self._fresh)
        return self._names[variable]


def _letters() -> Iterator[str]:
    number = 0
    while True:
        digits, rest = "", number
        while rest or not digits:
            rest, digit = divmod(rest, 26)
            digits = chr(ord("a") + digit) + digits
        yield digits
        number += 1
