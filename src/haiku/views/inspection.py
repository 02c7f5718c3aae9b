"""Runs a model on shapes and records its calls: every view starts here."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from haiku._bound import Bound
from haiku._core import (
    MethodContext,
    intercept_methods,
    original_function,
    transform_with_state,
)
from haiku._core.runs.frame import frames
from haiku._core.variables.hooks import interceptors
from haiku.views.arrays import ArraySpec, split_arrays
from haiku.views.calls import Call, recorder, spec
from haiku.views.jaxprs import call_scope, open_jaxpr


class Inspection:
    """A model with its arguments, and the facts that a run on shapes adds.

    Arguments other than arrays and `jax.ShapeDtypeStruct`s, such as `True`, are passed
    on unchanged.
    """

    program: Any  # What `apply` computes; `calls_around` knows the calls of equations.
    params: Any  # Shapes and dtypes of all parameters,
    state: Any  # of all state,
    output: Any  # and of the output, as `ArraySpec`s.

    def __init__(self, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]):
        self.calls: list[Call] = []  # In the order they began, without constructors.
        self.key = jax.random.PRNGKey(42)
        self.arrays, self._join = split_arrays((args, kwargs))
        self._net = transform_with_state(function)

    def init(self, key: Any, arrays: list[Any]) -> Any:
        """Parameters and state."""
        args, kwargs = self._join(arrays)
        return self._net.init(key, *args, **kwargs)

    def apply(self, params: Any, state: Any, key: Any, arrays: list[Any]) -> Any:
        """The arrays of the output, which may hold other objects, and state."""
        args, kwargs = self._join(arrays)
        out, state = self._net.apply(params, state, key, *args, **kwargs)
        outputs, self._join_output = split_arrays(out)
        return outputs, state


def inspect(
    f: Any,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    params: Any = None,
    state: Any = None,
    received: bool = False,
) -> Inspection:
    """Runs `init` and `apply` of a model on shapes; nothing is computed.

    Without parameters or state, those of `init` are taken. `received` fills in
    `received_spec` of each call.
    """
    seen = Inspection(function_of(f), args, kwargs)
    # A jitted function that has run before would not run its modules again.
    with jax.disable_jit(), contextlib.ExitStack() as hooks:
        made = jax.eval_shape(seen.init, seen.key, seen.arrays)
        seen.params = made[0] if params is None else _shapes(params)
        seen.state = made[1] if state is None else _shapes(state)
        if received:
            hooks.enter_context(interceptors.push_below(_receiver(seen.calls)))
        hooks.enter_context(intercept_methods(recorder(seen.calls, _run_in_scope)))
        trace = jax.make_jaxpr(seen.apply, return_shape=True)
        closed, out = trace(seen.params, seen.state, seen.key, seen.arrays)
    seen.program = open_jaxpr(closed)
    seen.output = seen._join_output([ArraySpec.from_array(x) for x in out[0]])
    return seen


def _shapes(tree: Any) -> Any:
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(np.shape(x), x.dtype), tree)


def _run_in_scope(call: Call, f: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    with call_scope(call.number):
        return call.run(f, args, kwargs)


def _receiver(calls: list[Call]) -> Callable[..., Any]:
    """An interceptor around all others, which sees what the caller gets."""

    def receive(next_f, args, kwargs, context: MethodContext):
        first = len(calls)
        out = next_f(*args, **kwargs)
        # Another interceptor may have called other modules before this method.
        for call in calls[first:]:
            if call.context.orig_method == context.orig_method:
                call.received_spec = spec(out)
                break
        return out

    return receive


def function_of(model: Any) -> Any:
    """The function or blueprint that was transformed to make a model."""
    if isinstance(model, Bound):
        model = model.net
    if isinstance(model, tuple):  # What `hk.transform` or its kin returned.
        model = getattr(model, "init", model)  # It runs all that have parameters.
    function = original_function(model)
    transform_with_state(function)  # Raises TypeError unless it can run.
    return function


def name_of(f: Callable[..., Any]) -> str:
    """The name of a function, of a blueprint's class, or of a partial's function."""
    f = getattr(f, "module_class", f)
    while not hasattr(f, "__name__") and hasattr(f, "func"):
        f = f.func
    return getattr(f, "__name__", type(f).__name__)


def check_callable(what: str, f: Any) -> None:
    """Raises TypeError unless `f` is a function that can be traced."""
    if not callable(f):
        raise TypeError(
            f"{what} takes a function, got {type(f).__name__}: {f!r}. Give it `apply` "
            "of what hk.transform returned, or a loss."
        )


def traced(
    f: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    axis_env: Sequence[tuple[Any, int]] | None = None,
    run: Callable[..., Any] | None = None,
) -> tuple[Any, Any, dict[tuple[str, ...], Call]]:
    """Traces a function of arrays, `apply` or a gradient, and keeps none of its state.

    `run` runs each call, as in `recorder`. Returns the program, shapes and dtypes of
    the output, and the last call of each module by the named scopes of its equations.
    """
    calls: list[Call] = []
    with intercept_methods(recorder(calls, run)):
        if isinstance(f, jax.stages.Wrapped):
            # JAX may have traced it before, and then would not run its modules.
            unjitted = _fresh(getattr(f, "__wrapped__", f))
            jax.make_jaxpr(unjitted, axis_env=axis_env)(*args, **kwargs)
        program = jax.make_jaxpr(_fresh(f), axis_env=axis_env, return_shape=True)
        closed, out = program(*args, **kwargs)
    return open_jaxpr(closed), out, {_scope_names(call): call for call in calls}


def _fresh(function: Callable[..., Any]) -> Callable[..., Any]:
    # JAX remembers what it traced by the function: a new one is traced again.
    def call(*args: Any, **kwargs: Any) -> Any:
        with contextlib.ExitStack() as stack:
            if running := frames.get():
                stack.enter_context(running[-1].holding(running[-1].snapshot()))
            return function(*args, **kwargs)

    return call


def _scope_names(call: Call) -> tuple[str, ...]:
    names: list[str] = []
    for module, method, *_ in (it.context for it in (call, *call.around)):
        names += [module.name] if method == "__call__" else [module.name, method]
    return tuple(reversed(names))
