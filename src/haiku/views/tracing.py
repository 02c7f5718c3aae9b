"""Tracing a function whose modules are watched, whatever JAX has traced before."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import jax

from haiku._bound import Binding, Bound
from haiku._core import (
    MethodContext,
    MultiTransformed,
    MultiTransformedWithState,
    intercept_methods,
    original_function,
)
from haiku._core.frame import frames
from haiku.views.jaxprs import open_jaxpr

__all__ = ["function_of", "name_of", "traced", "watching"]


def function_of(model: Any) -> Any:
    """The function whose run shows a model's modules.

    Args:
      model: A function or blueprint, what `hk.transform` or its kin returned, or a
        bound model.

    Returns:
      The function or blueprint that was transformed; of `hk.multi_transform` the one
      that `init` runs, since that runs all that has parameters.
    """
    if isinstance(model, (Bound, Binding)):
        model = model.net
    if isinstance(model, (MultiTransformed, MultiTransformedWithState)):
        model = model.init
    return original_function(model)


def name_of(f: Callable[..., Any]) -> str:
    """What a function is called."""
    while not hasattr(f, "__name__") and hasattr(f, "func"):
        f = f.func  # A functools.partial.
    return getattr(f, "__name__", type(f).__name__)


def traced(
    f: Callable[..., Any],
    interceptor: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    axis_env: Sequence[tuple[Any, int]] | None = None,
) -> tuple[Any, Any]:
    """Traces a function, and keeps nothing of what it would store.

    Args:
      f: The function.
      interceptor: Sees every module method, though JAX may have traced `f` before.
      args: Positional arguments, arrays or `jax.ShapeDtypeStruct`s.
      kwargs: Keyword arguments.
      axis_env: Names and sizes of axes that `f` uses.

    Returns:
      The program, and the shapes and dtypes of what `f` returns.
    """

    def fresh(function: Callable[..., Any]) -> Callable[..., Any]:
        # JAX remembers what it traced by the function: a new one is traced again.
        def call(*args: Any, **kwargs: Any) -> Any:
            with contextlib.ExitStack() as stack:
                if running := frames.get():
                    stack.enter_context(running[-1].holding(running[-1].snapshot()))
                return function(*args, **kwargs)

        return call

    with intercept_methods(interceptor):
        if isinstance(f, jax.stages.Wrapped):
            unjitted = fresh(getattr(f, "__wrapped__", f))
            jax.make_jaxpr(unjitted, axis_env=axis_env)(*args, **kwargs)
        program = jax.make_jaxpr(fresh(f), axis_env=axis_env, return_shape=True)
        closed, out = program(*args, **kwargs)
    return open_jaxpr(closed), out


def watching(
    seen: Callable[[tuple[str, ...], MethodContext], None],
) -> Callable[..., Any]:
    """An interceptor that tells which named scopes each module method ran in.

    Args:
      seen: Called when a method is over, with the names of the scopes around its
        equations, outermost first, and the interceptor's context.

    Returns:
      The interceptor.
    """
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
            seen(tuple(running), context)
        finally:
            del running[before:]
        return out

    return watch
