"""How long calls of modules take, each compiled alone and run on what it was given."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import jax

from haiku._core.leaks.watch import trace_state
from haiku._core.runs.frame import changes, current_frame
from haiku._lifted.pure import pure
from haiku.views.arrays import split_arrays
from haiku.views.calls import Call, recorder

__all__ = ["Stopwatch", "examples", "quickest"]

# Runs of a call: at least so many, until so many seconds are over. The quickest counts,
# since whatever else the machine does only adds to it.
_RUNS, _SECONDS = 5, 0.02


class Stopwatch:
    """Times every call of a module's method.

    Calls whose compiled programs are the same are timed once. A call inside of a
    transformation of JAX's, such as `jax.vmap`, has no arrays of its own to run on, and
    no time.
    """

    def __init__(self) -> None:
        self._seconds: dict[tuple[str, str], list[float | None]] = {}
        self._known: dict[str, float] = {}
        self._timing = False
        self._outside: Any = None

    def interceptor(self) -> Callable[..., Any]:
        """Times the calls of what runs under it, on real arrays."""
        record = recorder([], self._run)
        self._outside = trace_state()

        def intercept(next_f, args, kwargs, context):
            # What runs for the clock is no call of the model's.
            if self._timing:
                return next_f(*args, **kwargs)
            return record(next_f, args, kwargs, context)

        return intercept

    def of(self, calls: Sequence[Call]) -> list[float | None]:
        """The times of calls that were recorded in another run.

        A loop may have run its body more often, and a branch not at all: calls are the
        same if they are the n-th of a method in both runs.
        """
        rest = {key: iter(seconds) for key, seconds in self._seconds.items()}
        return [next(rest.get(_key(call), iter(())), None) for call in calls]

    def _run(self, call: Call, f: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        contents = current_frame("a timed call").snapshot()
        times = self._seconds.setdefault(_key(call), [])
        times.append(None)
        place = len(times) - 1
        if trace_state() == self._outside:
            self._timing = True
            try:
                with jax.disable_jit(False):
                    times[place] = self._time(f, contents, args, kwargs)
            finally:
                self._timing = False
        return f(*args, **kwargs)

    def _time(self, f: Callable[..., Any], contents: Any, args: Any, kwargs: Any):
        arrays, join = split_arrays((args, kwargs))

        def arrays_only(contents, arrays):
            args, kwargs = join(arrays)
            out, after = pure(f)(contents, *args, **kwargs)
            return split_arrays((out, changes(contents, after)))[0]

        lowered = jax.jit(arrays_only).lower(contents, arrays)
        text = lowered.as_text()
        if text not in self._known:
            self._known[text] = quickest(lowered.compile(), contents, arrays)
        return self._known[text]


def _key(call: Call) -> tuple[str, str]:
    return call.context.module.module_name, call.context.method_name


def quickest(compiled: Callable[..., Any], *args: Any) -> float:
    """The time of a compiled function's quickest run."""
    jax.block_until_ready(compiled(*args))
    seconds: list[float] = []
    while len(seconds) < _RUNS or sum(seconds) < _SECONDS:
        start = time.perf_counter()
        jax.block_until_ready(compiled(*args))
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def examples(arrays: list[Any]) -> list[Any]:
    """Arrays to be timed with: numbers where shapes alone are given."""
    return [_example(x) if isinstance(x, jax.ShapeDtypeStruct) else x for x in arrays]


def _example(spec: jax.ShapeDtypeStruct) -> Any:
    key = jax.random.key(0)
    if jax.numpy.issubdtype(spec.dtype, jax.dtypes.prng_key):
        return jax.random.split(key, spec.shape) if spec.shape else key
    if jax.numpy.issubdtype(spec.dtype, jax.numpy.floating):
        return jax.random.normal(key, spec.shape, spec.dtype)
    return jax.numpy.zeros(spec.shape, spec.dtype)
