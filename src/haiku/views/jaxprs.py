"""Reads the programs that JAX traced, in the same way for every JAX version."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax

# Primitives that run an inner program, with the name that a reader knows.
_CALLS = {
    "call": "call",
    "closed_call": "call",
    "eval_jaxpr": "call",
    "custom_jvp_call": "custom_jvp",
    "custom_vjp_call": "custom_vjp",
    "remat2": "remat",
    "shard_map": "shard_map",
}
_KERNEL = "haiku_"  # The names of layers' compiled arithmetic begin so.


class Inner(NamedTuple):
    """A program inside an equation."""

    title: str  # For readers: a jitted function's name, `scan length=3 unroll=1`.
    jaxpr: Any
    invars: Sequence[Any]  # The equation's inputs that become its own, one for one.
    times: int = 1  # How often it runs, if that is known.

    @property
    def is_kernel(self) -> bool:
        """Whether it is a layer's compiled arithmetic, to be shown in place."""
        return self.title.startswith(_KERNEL)


def open_jaxpr(jaxpr: Any) -> Any:
    """The part of a program that has `eqns`, `invars` and `outvars`."""
    # One step only: in newer JAX the two classes are one, and each has `.jaxpr`.
    return getattr(jaxpr, "jaxpr", jaxpr)


def called(eqn: Any) -> Inner | None:
    """The program that an equation runs, if it runs exactly one."""
    name, params = eqn.primitive.name, eqn.params
    if name == "while":
        return _inner("while", params["body_jaxpr"], eqn)
    if name == "scan":
        title = f"scan length={params['length']} unroll={params['unroll']}"
        return _inner(title, params["jaxpr"], eqn, params["length"])
    if name == "jit":
        inner = _inner(params["name"], params["jaxpr"], eqn)
        return inner and _without_repetition(inner)
    if name in _CALLS:
        programs = (v for v in params.values() if hasattr(open_jaxpr(v), "eqns"))
        return _inner(_CALLS[name], next(programs, None), eqn)
    return None


def _without_repetition(inner: Inner) -> Inner:
    """The function that is called, if a function does nothing but call it."""
    if len(inner.jaxpr.eqns) != 1:
        return inner
    middle = called(inner.jaxpr.eqns[0])
    if middle is None:
        return inner
    outside = dict(zip(inner.jaxpr.invars, inner.invars))
    invars = [v if is_literal(v) else outside[v] for v in middle.invars]
    # Layers' elementwise arithmetic is computed again for the gradient.
    if inner.is_kernel and middle.title == "remat":
        return middle._replace(title=inner.title, invars=invars)
    # `relu` is only `custom_jvp` that is only `relu`: Haiku's layers jit JAX's
    # activations, which are jitted already.
    if middle.title == "custom_jvp" and len(middle.jaxpr.eqns) == 1:
        last = called(middle.jaxpr.eqns[0])
        if last and last.title == inner.title:
            return middle._replace(invars=invars)
    return inner


def branches(eqn: Any) -> list[Inner]:
    """The programs that an equation chooses between: those of `cond` and `switch`."""
    programs = eqn.params["branches"] if eqn.primitive.name == "cond" else ()
    inner = (_inner(f"branch {i}", jaxpr, eqn) for i, jaxpr in enumerate(programs))
    return [branch for branch in inner if branch is not None]


def _inner(title: str, jaxpr: Any, eqn: Any, times: int = 1) -> Inner | None:
    if jaxpr is None:
        return None
    jaxpr = open_jaxpr(jaxpr)
    # The equation has further inputs before: the index of `cond`, the constants of the
    # condition of `while`.
    first = len(eqn.invars) - len(jaxpr.invars)
    if first < 0 or len(jaxpr.outvars) != len(eqn.outvars):
        return None
    return Inner(title, jaxpr, eqn.invars[first:], times)


def is_literal(variable: Any) -> bool:
    """Whether an equation's input is a number written into the program."""
    return hasattr(variable, "val")


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
        self._stands_for: dict[Any, Any] = {}

    def __call__(self, variable: Any) -> str:
        """The variable's name; a number written into the program is its own name."""
        while not is_literal(variable) and variable in self._stands_for:
            variable = self._stands_for[variable]
        if is_literal(variable):
            return str(variable.val)
        return self._names.setdefault(variable, _letters(len(self._names)))

    def inside(self, inner: Inner, eqn: Any) -> None:
        """Prepares for a kernel that is shown in the place of its equation."""
        # JAX traced it once for all layers, so its variables are new at every use.
        made = [variable for step in inner.jaxpr.eqns for variable in step.outvars]
        self._stands_for |= {variable: object() for variable in made}
        returned = zip(inner.jaxpr.outvars, eqn.outvars)
        self._stands_for |= {v: outer for v, outer in returned if not is_literal(v)}
        self._stands_for |= zip(inner.jaxpr.invars, inner.invars)


def _letters(number: int) -> str:
    letters = chr(ord("a") + number % 26)
    return _letters(number // 26) + letters if number >= 26 else letters


def call_scope(number: int) -> Any:
    """A `with` block whose equations belong to the call of that number."""
    return jax.named_scope(f"haiku_call_{number}")


def calls_around(eqn: Any) -> list[int]:
    """The numbers of the calls that an equation belongs to, the outermost first."""
    names = str(eqn.source_info.name_stack)
    return [int(n) for n in re.findall(r"haiku_call_(\d+)", names)]


def scopes(eqn: Any) -> list[str]:
    """The named scopes around an equation, outermost first: `["mlp", "linear_0"]`."""
    text = str(eqn.source_info.name_stack)
    # A slash inside parentheses is part of a name: `jvp(a/b)`.
    names, depth, start = [], 0, 0
    for i, letter in enumerate(text + "/"):
        depth += (letter == "(") - (letter == ")")
        if letter == "/" and depth <= 0:
            names.append(text[start:i])
            start = i + 1
    return [n for n in names if n]


class Group(NamedTuple):
    """Equations in a row that share a named scope."""

    path: tuple[str, ...]  # The names of the scopes, outermost first.
    items: list[Any]  # Equations, and groups of those in a further scope.


def grouped(jaxpr: Any) -> list[Any]:
    """A program's equations, with those in named scopes put into `Group`s."""
    root = Group((), [])
    open_groups = [root]  # Outermost first.
    for eqn in jaxpr.eqns:
        if not eqn.outvars and str(eqn.params.get("name")).startswith(_KERNEL):
            continue  # A kernel of which a gradient needs nothing.
        path = tuple(scopes(eqn))
        # Close the groups that this equation isn't in, then open those it is in.
        while open_groups[-1].path != path[: len(open_groups[-1].path)]:
            open_groups.pop()
        for depth in range(len(open_groups[-1].path), len(path)):
            group = Group(path[: depth + 1], [])
            open_groups[-1].items.append(group)
            open_groups.append(group)
        open_groups[-1].items.append(eqn)
    return root.items
