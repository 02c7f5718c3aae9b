"""The time of each call of a module, compiled alone and run on its arguments."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import jax

from haiku._core import intercept_methods
from haiku._core.leaks.watch import trace_state
from haiku._core.runs.frame import changes, current_frame
from haiku._lifted.pure import pure
from haiku.views.arrays import split_arrays
from haiku.views.calls import Call, recorder
from haiku.views.inspection import Inspection

__all__ = ["time_calls"]

# A call runs at least so often, until so many seconds are over. The quickest run
# counts, since whatever else the machine does only adds to it.
_RUNS, _SECONDS = 5, 0.02


def time_calls(seen: Inspection, params: Any, state: Any) -> list[float | None]:
    """The time of each call, and behind them that of the whole function.

    None in the place of parameters or state makes new ones. A call has no time if it
    did not run, as in a branch that was not taken, or if it ran inside a transformation
    of JAX's, such as `jax.vmap`, without arrays to run on.
    """
    model = seen.model
    arrays = [_example(x) for x in model.arrays]
    if params is None:
        params, made = jax.jit(model.init)(model.key, arrays)
        state = made if state is None else state
    values = params, state or {}, model.key, arrays
    # A loop may run its body more often than when it was inspected: calls are the same
    # if they are the n-th of a method in both runs.
    seconds = {key: iter(times) for key, times in _seconds(model.apply, values).items()}
    times = [next(seconds.get(call.key, iter(())), None) for call in seen.calls]
    whole = jax.jit(lambda *values: split_arrays(model.apply(*values))[0])
    return [*times, _quickest(whole.lower(*values).compile(), *values)]


def _example(x: Any) -> Any:
    """An array for timing: made-up numbers if only a shape is given."""
    if not isinstance(x, jax.ShapeDtypeStruct):
        return x
    key = jax.random.key(0)
    if jax.numpy.issubdtype(x.dtype, jax.dtypes.prng_key):
        return jax.random.split(key, x.shape) if x.shape else key
    if jax.numpy.issubdtype(x.dtype, jax.numpy.floating):
        return jax.random.normal(key, x.shape, x.dtype)
    return jax.numpy.zeros(x.shape, x.dtype)


def _seconds(
    apply: Callable[..., Any], values: tuple[Any, ...]
) -> dict[tuple[str, str], list[float | None]]:
    """The times of calls on real arrays, by module and method."""
    seconds: dict[tuple[str, str], list[float | None]] = {}
    known: dict[str, float] = {}  # Calls with the same program are timed once.
    outside = trace_state()
    is_timing = False

    def run(call: Call, f: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        nonlocal is_timing
        contents = current_frame("a timed call").snapshot()
        times = seconds.setdefault(call.key, [])
        place = len(times)
        times.append(None)
        if trace_state() == outside:
            is_timing = True
            try:
                with jax.disable_jit(False):
                    times[place] = _time(known, f, contents, args, kwargs)
            finally:
                is_timing = False
        return f(*args, **kwargs)

    record = recorder([], run)

    def intercept(next_f, args, kwargs, context):
        # Runs for the clock are not calls of the model.
        if is_timing:
            return next_f(*args, **kwargs)
        return record(next_f, args, kwargs, context)

    with jax.disable_jit(), intercept_methods(intercept):
        apply(*values)
    return seconds


def _time(
    known: dict[str, float],
    f: Callable[..., Any],
    contents: Any,
    args: Any,
    kwargs: Any,
) -> float:
    arrays, join = split_arrays((args, kwargs))

    def arrays_only(contents, arrays):
        args, kwargs = join(arrays)
        out, after = pure(f)(contents, *args, **kwargs)
        return split_arrays((out, changes(contents, after)))[0]

    lowered = jax.jit(arrays_only).lower(contents, arrays)
    text = lowered.as_text()
    if text not in known:
        known[text] = _quickest(lowered.compile(), contents, arrays)
    return known[text]


def _quickest(compiled: Callable[..., Any], *args: Any) -> float:
    """The time of a compiled function's quickest run."""
    jax.block_until_ready(compiled(*args))
    seconds: list[float] = []
    while len(seconds) < _RUNS or sum(seconds) < _SECONDS:
        start = time.perf_counter()
        jax.block_until_ready(compiled(*args))
        seconds.append(time.perf_counter() - start)
    return min(seconds)
