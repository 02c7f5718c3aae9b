"""Finds the JAX transformations that are running, and advises against them.

JAX has no public function for this, so it reads Python's stack. It knows a
transformation by the code that runs when it calls a function: each is called once, with
a function that looks at the stack. Nothing depends on names inside JAX; if a later JAX
removes a transformation or calls it in another way, only messages lack it.
"""

import functools
import sys
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import CodeType, FrameType
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
from jax.sharding import AbstractMesh, AxisType, PartitionSpec

F = TypeVar("F", bound=Callable[..., Any])

UNKNOWN = "a JAX transformation"


def _with_rules(f: Callable[..., Any]) -> Callable[..., Any]:
    g = jax.custom_vjp(f)
    g.defvjp(lambda x: (x, None), lambda _, cotangent: (cotangent,))
    return g


def _with_jvp(f: Callable[..., Any]) -> Callable[..., Any]:
    g = jax.custom_jvp(f)
    g.defjvp(lambda primals, tangents: (primals[0], tangents[0]))
    return g


def _sharded(f: Callable[..., Any]) -> Callable[..., Any]:
    mesh = AbstractMesh((1,), ("i",), axis_types=(AxisType.Auto,))
    return jax.shard_map(
        f, mesh=mesh, in_specs=PartitionSpec(), out_specs=PartitionSpec()
    )


# Each calls `f`, which returns its argument, inside a transformation. `x` is a float32
# scalar, `xs` a vector. A transformation may be called in several ways.
_CALLS: tuple[tuple[str, Callable[[Any, Any, Any], Any]], ...] = (
    ("jax.jit", lambda f, x, xs: jax.jit(f)(x)),
    ("jax.jit", lambda f, x, xs: jax.jit(f).trace(x)),
    ("jax.pmap", lambda f, x, xs: jax.pmap(f)(xs)),
    ("jax.vmap", lambda f, x, xs: jax.vmap(f)(xs)),
    ("jax.grad", lambda f, x, xs: jax.grad(f)(x)),
    ("jax.grad", lambda f, x, xs: jax.grad(lambda x: (f(x), x), has_aux=True)(x)),
    ("jax.value_and_grad", lambda f, x, xs: jax.value_and_grad(f)(x)),
    ("jax.jacfwd", lambda f, x, xs: jax.jacfwd(f)(x)),
    ("jax.jacrev", lambda f, x, xs: jax.jacrev(f)(x)),
    ("jax.jvp", lambda f, x, xs: jax.jvp(f, (x,), (x,))),
    ("jax.vjp", lambda f, x, xs: jax.vjp(f, x)),
    ("jax.linearize", lambda f, x, xs: jax.linearize(f, x)),
    ("jax.remat", lambda f, x, xs: jax.checkpoint(f)(x)),
    ("jax.lax.scan", lambda f, x, xs: jax.lax.scan(lambda c, _: (f(c), c), x, xs)),
    ("jax.lax.map", lambda f, x, xs: jax.lax.map(f, xs)),
    (
        "jax.lax.fori_loop",
        lambda f, x, xs: jax.lax.fori_loop(0, 1, lambda _, c: f(c), x),
    ),
    ("jax.lax.while_loop", lambda f, x, xs: jax.lax.while_loop(lambda c: c < 0, f, x)),
    ("jax.lax.cond", lambda f, x, xs: jax.lax.cond(x > 0, f, f, x)),
    ("jax.lax.switch", lambda f, x, xs: jax.lax.switch(jnp.int32(x), [f, f], x)),
    ("jax.eval_shape", lambda f, x, xs: jax.eval_shape(f, x)),
    ("jax.make_jaxpr", lambda f, x, xs: jax.make_jaxpr(f)(x)),
    ("jax.custom_vjp", lambda f, x, xs: _with_rules(f)(x)),
    ("jax.custom_jvp", lambda f, x, xs: _with_jvp(f)(x)),
    ("jax.shard_map", lambda f, x, xs: _sharded(f)(x)),
)
# Their function runs once, and its values may outlive them.
NOT_STAGING = (
    "jax.vmap",
    "jax.grad",
    "jax.value_and_grad",
    "jax.jvp",
    "jax.vjp",
    "jax.linearize",
    "jax.jacfwd",
    "jax.jacrev",
)
# Python runs their function once, the compiled program any number of times.
LOOPS = (
    "jax.lax.scan",
    "jax.lax.map",
    "jax.lax.fori_loop",
    "jax.lax.while_loop",
)
BRANCHES = ("jax.lax.cond", "jax.lax.switch")


class Transformations(NamedTuple):
    """JAX's transformations as seen from inside the functions that they call.

    Attributes:
      entries: Names of transformations by the code that each runs first.
      made_of: For each transformation, itself and those that it uses.
      not_staged: The types of values inside those in NOT_STAGING.
    """

    entries: dict[CodeType, str]
    made_of: dict[str, set[str]]
    not_staged: tuple[type, ...]


@functools.cache
def transformations() -> Transformations:
    """Finds the code of JAX's transformations by calling each once."""
    # In a thread of its own: the first call may come from inside a transformation, and
    # inside `jax.shard_map` JAX refuses one of another mesh.
    with ThreadPoolExecutor(1) as thread:
        seen = thread.submit(_call_each).result()

    # JAX wraps one function around most of its own, to shorten tracebacks.
    first = [codes[0] for _, codes, _ in seen]
    wrappers = {code for code in first if first.count(code) > 2}
    entries: dict[CodeType, str] = {}
    for name, codes, _ in seen:
        entries.setdefault(next(c for c in codes if c not in wrappers), name)
    made_of: dict[str, set[str]] = {name: set() for name, _ in _CALLS}
    for name, codes, _ in seen:
        made_of[name].update(entries[code] for code in codes if code in entries)
    not_staged = {kind for name, _, kind in seen if name in NOT_STAGING}
    return Transformations(entries, made_of, tuple(not_staged))


def _call_each() -> list[tuple[str, list[CodeType], type]]:
    """Names of transformations, the code that each runs, and a value's type inside."""
    seen: list[tuple[str, list[CodeType], type]] = []

    def call_each(x: Any, xs: Any) -> None:
        for name, call in _CALLS:
            _look_around(name, call, x, xs, seen)

    scalar = jax.ShapeDtypeStruct((), jnp.float32)
    several = jax.ShapeDtypeStruct((1,), jnp.float32)
    with jax.disable_jit(False), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        jax.eval_shape(call_each, scalar, several)
    return seen


def _look_around(name, call, x, xs, seen) -> None:
    """Adds the code that `call` runs on the way to its function, outermost first."""

    def looks_around(value):
        codes = []
        for frame in _frames():
            if frame.f_code is _look_around.__code__:
                break
            codes.append(frame.f_code)
        seen.append((name, codes[-2:0:-1], type(value)))  # Without itself and `call`.
        return value

    try:
        call(looks_around, x, xs)
    except Exception:  # This JAX calls it in another way: messages lack it.
        return


_ours: set[CodeType] = set()


def keeps_contents(f: F) -> F:
    """Marks a pure function that hands parameters, state and keys to what it calls.

    Transformations around such a function are sound, so the search ends there.
    """
    _ours.add(f.__code__)
    return f


def running_transformations(outside: bool = False) -> list[str]:
    """The plain JAX transformations around the caller, innermost first.

    Args:
      outside: Whether to return those around the transformed function instead.
    """
    entries, made_of, _ = transformations()
    names: list[str] = []
    for frame in _frames():
        if frame.f_code in _ours:
            if not outside:
                break
            names.clear()
        name = entries.get(frame.f_code)
        if name:
            while names and names[-1] in made_of[name]:
                names.pop()
            names.append(name)
    return names


def _frames() -> Iterator[FrameType]:
    """Python's stack from the caller outwards."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        yield frame
        frame = frame.f_back


_NOT_THE_USERS = ("jax", "haiku", "contextlib", "functools")


def users_line() -> str:
    """The innermost `file:line` outside of Haiku and JAX."""
    for frame in _frames():
        package = frame.f_globals.get("__name__", "").partition(".")[0]
        if package not in _NOT_THE_USERS:
            return f"{frame.f_code.co_filename}:{frame.f_lineno}"
    return "an unknown line"


_IN_HK = (
    "inside a transformed function write `hk.{}`, which knows of parameters, state "
    "and keys"
)
_AROUND = "put `{}` around `init` or `apply` instead"
_NOT_LIFTED = ("jax.pmap", "jax.make_jaxpr")
_LIFTED = {name: name.rpartition(".")[2] for name, _ in _CALLS}


def advice_against(transformation: str) -> str:
    """A clause that says what to write instead of a JAX transformation."""
    if transformation in _NOT_LIFTED:
        return _AROUND.format(transformation)
    if transformation not in _LIFTED:
        return "put it around `init` or `apply` instead"
    clause = _IN_HK.format(_LIFTED[transformation])
    if transformation == "jax.jit":
        clause += f", or {_AROUND.format(transformation)}"
    return clause
