"""The costs of each call of a module: operations, dtypes, measured time."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp

from haiku._core import intercept_methods
from haiku._core.leaks.watch import trace_state
from haiku._core.runs.frame import changes, current_frame
from haiku._lifted.pure import pure
from haiku._text import dtype_text
from haiku.views.arrays import is_array, split_arrays
from haiku.views.calls import Call, recorder
from haiku.views.inspection import Inspection
from haiku.views.jaxprs import branches, called, calls_around


@dataclasses.dataclass
class Cost:
    """The cost of one call of a module's method."""

    own_flops: int = 0  # Floating point operations outside the calls inside it.
    flops: int = 0  # All of them.
    # Dtypes of the numbers that operations took, and a float8 that any were rounded to.
    dtypes: dict[Any, None] = dataclasses.field(default_factory=dict)
    seconds: float | None = None  # Of the call compiled alone; None if not measured.
    own_seconds: float | None = None  # Without the calls inside it.


def costs_of(
    seen: Inspection, timed: bool = False, params: Any = None, state: Any = None
) -> list[Cost]:
    """Sets the cost of each call; returns all, and at -1 that of the whole function.

    Only if `timed` is anything computed, with these parameters and state or new ones.
    """
    costs = [Cost() for _ in (*seen.calls, None)]
    _count(seen.program, (-1,), 1, False, costs)
    for cost in costs:
        cost.flops = cost.own_flops
    if timed:
        for cost, seconds in zip(costs, _times(seen, params, state)):
            cost.seconds = cost.own_seconds = seconds
    for call in reversed(seen.calls):  # Calls inside come before those around them.
        call.cost = cost = costs[call.number]
        around = costs[call.parent]
        around.flops += cost.flops
        if around.own_seconds is not None:
            # Each was measured alone, so their sum may be more than the whole.
            left = around.own_seconds - (cost.seconds or 0.0)
            around.own_seconds = None if cost.seconds is None else max(0.0, left)
    return costs


def _count(
    jaxpr: Any, calls: tuple[int, ...], times: int, rounding: bool, costs: list[Cost]
) -> None:
    """Adds the operations of a program, and their dtypes, to the calls around them."""
    for eqn in jaxpr.eqns:
        inside = (*calls, *calls_around(eqn))
        # A policy rounds to a float8 in a scope of this name.
        rounds = rounding or "haiku_rounding" in str(eqn.source_info.name_stack)
        if (inner := called(eqn)) is not None:
            # Each device of a `shard_map` runs a part.
            devices = getattr(eqn.params.get("mesh"), "size", 1)
            _count(inner.jaxpr, inside, times * inner.times * devices, rounds, costs)
            continue
        counted = []
        for choice in branches(eqn):
            counted.append([Cost(dtypes=cost.dtypes) for cost in costs])
            _count(choice.jaxpr, inside, times, rounds, counted[-1])
        if counted:  # The costliest.
            most = max(counted, key=lambda branch: sum(x.own_flops for x in branch))
            for cost, found in zip(costs, most):
                cost.own_flops += found.own_flops
        else:
            costs[inside[-1]].own_flops += times * flops(eqn)
        for call in inside:
            costs[call].dtypes.update(dict.fromkeys(_dtypes(eqn, rounds)))


def _dtypes(eqn: Any, rounding: bool) -> list[Any]:
    """The dtypes of an operation's inputs; of a rounding, the float8."""
    if rounding:
        both = (v.aval for v in (*eqn.invars, *eqn.outvars))
        return [x.dtype for x in both if is_array(x) and _is_float8(x.dtype)]
    return (
        [] if _is_move(eqn) else [v.aval.dtype for v in eqn.invars if is_array(v.aval)]
    )


def _is_float8(dtype: Any) -> bool:
    return jnp.issubdtype(dtype, jnp.floating) and jnp.finfo(dtype).bits <= 8


def flops(eqn: Any, expression: Any = None) -> int:
    """Counts an equation's floating point operations, for `compute_flops`.

    Products of matrices and convolutions count a multiplication and an addition for
    each pair of numbers; a reduction counts its inputs; any other operation counts one
    for each floating point number it returns; moving data counts nothing.

    Args:
      eqn: A `jax.extend.core.JaxprEqn`.
      expression: Its `Expression`; not used.

    Returns:
      How many floating point operations one run of it takes.

    Example:
      >>> info = hk.experimental.jaxpr_info
      >>> count = info.make_model_info(jnp.dot, compute_flops=hk.views.flops)
      >>> count(jnp.ones([2, 4]), jnp.ones([4, 3])).flops
      48
    """
    del expression
    name = eqn.primitive.name
    shapes: list[Any] = [getattr(v.aval, "shape", ()) for v in eqn.invars]
    size = sum(math.prod(v.aval.shape) for v in eqn.outvars if _is_float(v.aval))
    if name == "dot_general":
        (contracted, _), _ = eqn.params["dimension_numbers"]
        return 2 * size * math.prod(shapes[0][d] for d in contracted)
    if name == "conv_general_dilated":
        # Each output sums over the kernel's window and input channels.
        out_channels = eqn.params["dimension_numbers"].rhs_spec[0]
        return 2 * size * math.prod(shapes[1]) // max(1, shapes[1][out_channels])
    if _is_move(eqn):
        return 0
    if name.startswith(("reduce_", "cum", "arg")):
        return math.prod(shapes[0]) if _is_float(eqn.invars[0].aval) else 0
    return size


# fmt: off
_MOVES = frozenset((
    "bitcast_convert_type", "broadcast", "broadcast_in_dim", "concatenate",
    "convert_element_type", "copy", "copy_p", "device_put", "dynamic_slice",
    "dynamic_update_slice", "expand_dims", "gather", "iota", "optimization_barrier",
    "pad", "reshape", "rev", "scatter", "select_n", "slice", "split", "squeeze",
    "stop_gradient", "transpose",
))
# fmt: on


def _is_move(eqn: Any) -> bool:
    """Whether an equation only moves numbers, or changes their dtype."""
    return eqn.primitive.name in _MOVES


def _is_float(aval: Any) -> bool:
    return is_array(aval) and jnp.issubdtype(aval.dtype, jnp.inexact)


# A call runs at least so often, until so many seconds are over. The quickest run
# counts, since whatever else the machine does only adds to it.
_RUNS, _SECONDS = 5, 0.02


def _times(seen: Inspection, params: Any, state: Any) -> list[float | None]:
    """The time of each call, and behind them that of the whole function.

    A call has no time if it did not run, as in a branch that was not taken, or ran
    inside a transformation of JAX's, such as `jax.vmap`, without arrays to run on.
    """
    arrays = [_example(x) for x in seen.arrays]
    if params is None:
        params, made = jax.jit(seen.init)(seen.key, arrays)
        state = made if state is None else state
    values = params, state or {}, seen.key, arrays
    # A loop may run its body more often than when it was inspected: calls are the same
    # if they are the n-th of a method in both runs.
    seconds = {key: iter(times) for key, times in _seconds(seen.apply, values).items()}
    times = [next(seconds.get(call.key, iter(())), None) for call in seen.calls]
    whole = jax.jit(lambda *values: split_arrays(seen.apply(*values))[0])
    return [*times, _quickest(whole.lower(*values).compile(), *values)]


def _example(x: Any) -> Any:
    """An array for timing: made-up numbers if only a shape is given."""
    if not isinstance(x, jax.ShapeDtypeStruct):
        return x
    key = jax.random.key(0)
    if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
        return jax.random.split(key, x.shape)
    if jnp.issubdtype(x.dtype, jnp.floating):
        return jax.random.normal(key, x.shape, x.dtype)
    return jnp.zeros(x.shape, x.dtype)


def _seconds(apply: Any, values: Any) -> dict[tuple[str, str], list[float | None]]:
    """The times of calls on real arrays, by module and method."""
    seconds: dict[tuple[str, str], list[float | None]] = {}
    known: dict[str, float] = {}  # Calls with the same program are timed once.
    outside = trace_state()
    is_timing = False

    def run(call: Call, f: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        nonlocal is_timing
        if is_timing:  # Runs for the clock are not calls of the model.
            return f(*args, **kwargs)
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

    with jax.disable_jit(), intercept_methods(recorder([], run)):
        apply(*values)
    return seconds


def _time(known: dict[str, float], f: Any, contents: Any, *arguments: Any) -> float:
    arrays, join = split_arrays(arguments)

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


def dtypes_of(call: Call) -> dict[str, tuple[str, ...]]:
    """The dtypes of a call with `cost` and `received_spec`, `{"params": ("f32",)}`.

    Of the parameters of the module and the modules inside, of the numbers that
    operations took, and of the arrays that the caller got.
    """
    params, output = call.details.params, call.received_spec
    return {
        "params": _floats(x.dtype for x in params.values()),
        "compute": _floats(call.cost.dtypes),
        "output": _floats(x.dtype for x in jax.tree.leaves(output) if is_array(x)),
    }


def _floats(dtypes: Iterable[Any]) -> tuple[str, ...]:
    """The dtypes of rounded numbers as text, each once."""
    floats = (dtype for dtype in dtypes if jnp.issubdtype(dtype, jnp.inexact))
    return tuple(dict.fromkeys(dtype_text(dtype) for dtype in floats))
