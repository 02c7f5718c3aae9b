"""Tracing a function whose modules are watched, whatever JAX has traced before."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

import jax

from haiku._bound import Bound
from haiku._core import (
    MethodContext,
    MultiTransformed,
    MultiTransformedWithState,
    intercept_methods,
    original_function,
)
from haiku._core.runs.frame import frames
from haiku.views.jaxprs import open_jaxpr

__all__ = ["Traced", "check_callable", "function_of", "name_of", "traced"]

T = TypeVar("T")


def function_of(model: Any) -> Any:
    """The function whose run shows a model's modules.

    Args:
      model: A function or blueprint, what `hk.transform` or its kin returned, or a
        bound model.

    Returns:
      The function or blueprint that was transformed; of `hk.multi_transform` the one
      that `init` runs, since that runs all that has parameters.
    """
    if isinstance(model, Bound):
        model = model.net
    if isinstance(model, (MultiTransformed, MultiTransformedWithState)):
        model = model.init
    return original_function(model)


def name_of(f: Callable[..., Any]) -> str:
    """What a function is called."""
    while not hasattr(f, "__name__") and hasattr(f, "func"):
        f = f.func  # A functools.partial.
    return getattr(f, "__name__", type(f).__name__)


def check_callable(what: str, f: Any) -> None:
    """Raises TypeError unless `f` is a function that can be traced."""
    if not callable(f):
        raise TypeError(
            f"{what} takes a function, got {type(f).__name__}: {f!r}. Give it `apply` "
            "of what hk.transform returned, or a loss."
        )


@dataclasses.dataclass(frozen=True)
class Traced(Generic[T]):
    """What is known of a function that was traced.

    Attributes:
      program: Its program, with `eqns`.
      out: Shapes and dtypes of what it returns.
      modules: What was noted of each module, by the names of the scopes around its
        equations, outermost first.
    """

    program: Any
    out: Any
    modules: dict[tuple[str, ...], T]


def traced(
    f: Callable[..., Any],
    note: Callable[[MethodContext], T],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    axis_env: Sequence[tuple[Any, int]] | None = None,
) -> Traced[T]:
    """Traces a function, and keeps nothing of what it would store.

    Args:
      f: The function.
      note: What to note of a method that is over, though JAX may have traced `f`
        before; given what an interceptor gets.
      args: Positional arguments, arrays or `jax.ShapeDtypeStruct`s.
      kwargs: Keyword arguments.
      axis_env: Names and sizes of axes that `f` uses.
    """
    modules: dict[tuple[str, ...], T] = {}
    with intercept_methods(_noting(note, modules)):
        if isinstance(f, jax.stages.Wrapped):
            unjitted = _fresh(getattr(f, "__wrapped__", f))
            jax.make_jaxpr(unjitted, axis_env=axis_env)(*args, **kwargs)
        program = jax.make_jaxpr(_fresh(f), axis_env=axis_env, return_shape=True)
        closed, out = program(*args, **kwargs)
    return Traced(open_jaxpr(closed), out, modules)


def _fresh(function: Callable[..., Any]) -> Callable[..., Any]:
    # JAX remembers what it traced by the function: a new one is traced again.
    def call(*args: Any, **kwargs: Any) -> Any:
        with contextlib.ExitStack() as stack:
            if running := frames.get():
                stack.enter_context(running[-1].holding(running[-1].snapshot()))
            return function(*args, **kwargs)

    return call


def _noting(note: Callable[[MethodContext], T], noted: dict[tuple[str, ...], T]) -> Any:
    """An interceptor that writes down what there is to note, by named scopes."""
    running: list[str] = []

    def watch(next_f, args, kwargs, context: MethodContext):
        name = context.method_name
        if name == "__init__":  # It has no scope.
            return next_f(*args, **kwargs)
        before = len(running)
        running.extend([name] if name != "__call__" else [])
        running.append(context.module.name)
        try:
            out = next_f(*args, **kwargs)
            noted[tuple(running)] = note(context)
        finally:
            del running[before:]
        return out

    return watch
