"""What each call of a module costs: operations, memory, and measured time."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from haiku._core import intercept_methods, original_function, transform_with_state
from haiku.views.costs import flops
from haiku.views.jaxprs import branches, called, open_jaxpr
from haiku.views.summary import ArraySpec, Call, MethodInvocation, recorder
from haiku.views.timing import Stopwatch, quickest, split_arrays

__all__ = ["CallCost", "Costs", "costs_of_calls"]


@dataclasses.dataclass(frozen=True)
class CallCost:
    """One call of a module's method, and what it costs.

    Attributes:
      invocation: The call.
      parent: The number of the call around it, or None.
      flops: Floating point operations, those of the calls inside it included.
      own_flops: Those that no call inside it does.
      activation_bytes: Size of the arrays that it and the calls inside it return, each
        array once.
      seconds: Time of the call compiled alone; None if not measured.
      own_seconds: What is left when the calls inside it are taken off.
    """

    invocation: MethodInvocation
    parent: int | None
    flops: int
    own_flops: int
    activation_bytes: int
    seconds: float | None
    own_seconds: float | None


@dataclasses.dataclass(frozen=True)
class Costs:
    """What a function costs.

    Attributes:
      calls: Its calls of modules, in the order in which they began.
      flops: Floating point operations of all of it.
      own_flops: Those outside of modules.
      params: Shapes and dtypes of all its parameters.
      state: Those of all its state.
      output: Those of what it returns, as text.
      seconds: Time of all of it, compiled; None if not measured.
    """

    calls: Sequence[CallCost]
    flops: int
    own_flops: int
    params: Any
    state: Any
    output: str
    seconds: float | None


_SCOPE = "haiku_call_"
_NUMBER = re.compile(_SCOPE + r"(\d+)")


def costs_of_calls(
    f: Callable[..., Any] | Any,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    time: bool = False,
    params: Any = None,
    state: Any = None,
) -> Costs:
    """Counts what each call of a module costs.

    Args:
      f: A function that uses modules, before or after `hk.transform`.
      args: Its positional arguments, arrays or `jax.ShapeDtypeStruct`s; what is no
        array, such as `is_training=True`, stays as it is.
      kwargs: Its keyword arguments.
      time: Whether to run and time each call; else nothing is computed.
      params: Parameters to be timed with. Default: new ones.
      state: State likewise.
    """
    net = transform_with_state(original_function(f))
    arrays, join = split_arrays((args, kwargs))
    key = jax.random.PRNGKey(42)

    def init(key, arrays):
        args, kwargs = join(arrays)
        return net.init(key, *args, **kwargs)

    calls: list[Call] = []

    def apply(params, state, key, arrays):
        args, kwargs = join(arrays)
        with intercept_methods(recorder(calls, _in_scope)):
            return net.apply(params, state, key, *args, **kwargs)

    # A jitted function that has run before would not run its modules again.
    with jax.disable_jit():
        specs = jax.eval_shape(init, key, arrays)
        if params is not None:
            specs = _specs(params), specs[1] if state is None else _specs(state)
        trace = jax.make_jaxpr(apply, return_shape=True)
        program, (out, _) = trace(*specs, key, arrays)
    own = _own_flops(open_jaxpr(program), len(calls))
    total = list(own)
    for call in reversed(calls):  # Calls inside are counted before those around them.
        total[_parent(call)] += total[call.number]
    seconds: list[float | None] = [None] * len(calls)
    whole = None
    if time:
        watch = Stopwatch()
        arrays = jax.tree.map(_example, arrays)
        if params is None:
            params, made = jax.jit(init)(key, arrays)
            state = made if state is None else state
        with jax.disable_jit(), intercept_methods(watch.interceptor()):
            args, kwargs = join(arrays)
            net.apply(params, state or {}, key, *args, **kwargs)

        def all_of_it(params, state, key, arrays):
            args, kwargs = join(arrays)
            return split_arrays(net.apply(params, state, key, *args, **kwargs))[0]

        given = (params, state or {}, key, arrays)
        whole = quickest(jax.jit(all_of_it).lower(*given).compile(), *given)
        seconds = watch.of(calls)
    rows = [
        CallCost(
            call.invocation,
            call.around[0].number if call.around else None,
            total[call.number],
            own[call.number],
            sum(call.returned.values()),
            seconds[call.number],
            _own_seconds(call, calls, seconds),
        )
        for call in calls
    ]
    output = str(_array_specs(out))
    return Costs(rows, total[-1], own[-1], specs[0], specs[1], output, whole)


def _parent(call: Call) -> int:
    return call.around[0].number if call.around else -1


def _in_scope(call: Call, f: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    with jax.named_scope(f"{_SCOPE}{call.number}"):
        return f(*args, **kwargs)


def _own_flops(jaxpr: Any, count: int) -> list[int]:
    """Operations by the innermost call that does them; outside of calls, the last."""
    found = [0] * (count + 1)
    _count(jaxpr, -1, 1, found)
    return found


def _count(jaxpr: Any, owner: int, times: int, found: list[int]) -> None:
    for eqn in jaxpr.eqns:
        numbers = _NUMBER.findall(str(eqn.source_info.name_stack))
        inside = int(numbers[-1]) if numbers else owner
        inner = called(eqn)
        if inner is not None:
            repeated = times * inner.times * _replicas(eqn)
            _count(inner.jaxpr, inside, repeated, found)
        elif choices := branches(eqn):  # The costliest.
            counted = []
            for choice in choices:
                counted.append([0] * len(found))
                _count(choice.jaxpr, inside, times, counted[-1])
            for i, n in enumerate(max(counted, key=sum)):
                found[i] += n
        else:
            found[inside] += times * flops(eqn, None)  # type: ignore[arg-type]


def _replicas(eqn: Any) -> int:
    """On how many devices an equation's inner program runs, each on a part."""
    mesh = eqn.params.get("mesh") if eqn.primitive.name == "shard_map" else None
    return getattr(mesh, "size", 1)


def _own_seconds(
    call: Call, calls: Sequence[Call], seconds: Sequence[float | None]
) -> float | None:
    inside = [seconds[c.number] for c in calls if c.around and c.around[0] is call]
    total = seconds[call.number]
    if total is None or None in inside:
        return None
    # Each was measured alone, so that their sum may be more than the whole.
    return max(0.0, total - sum(s for s in inside if s is not None))


def _array_specs(tree: Any) -> Any:
    return jax.tree.map(ArraySpec.from_array, tree)


def _specs(tree: Any) -> Any:
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(np.shape(x), x.dtype), tree)


def _example(x: Any) -> Any:
    """Numbers to be timed with, in place of a shape alone."""
    if not isinstance(x, jax.ShapeDtypeStruct):
        return x
    if jax.numpy.issubdtype(x.dtype, jax.dtypes.prng_key):
        return (
            jax.random.key(0)
            if not x.shape
            else jax.random.split(jax.random.key(0), x.shape)
        )
    if jax.numpy.issubdtype(x.dtype, jax.numpy.floating):
        return jax.random.normal(jax.random.key(0), x.shape, x.dtype)
    return jax.numpy.zeros(x.shape, x.dtype)
