"""What each call of a module costs: operations, memory, and measured time."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax

from haiku._core import intercept_methods
from haiku.views.arrays import ArraySpec, specs_of, split_arrays
from haiku.views.calls import Call, MethodInvocation, recorder
from haiku.views.flops import flops_of
from haiku.views.jaxprs import branches, called
from haiku.views.model import Model
from haiku.views.scopes import call_scope, calls_around
from haiku.views.timing import Stopwatch, examples, quickest

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
      own_seconds: What is left when the calls are taken off.
    """

    calls: Sequence[CallCost]
    flops: int
    own_flops: int
    params: Any
    state: Any
    output: str
    seconds: float | None
    own_seconds: float | None


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

    Returns:
      The costs of the whole, and of each call.
    """
    model = Model(f, args, kwargs)
    made = model.specs()
    params_spec = made[0] if params is None else specs_of(params)
    state_spec = made[1] if state is None else specs_of(state)
    calls: list[Call] = []
    with intercept_methods(recorder(calls, _in_scope)):
        program, out = model.program(params_spec, state_spec)

    own = _own_flops(program, len(calls))
    total = list(own)
    for call in reversed(calls):  # Calls inside are counted before those around them.
        total[_OUTSIDE if call.parent is None else call.parent] += total[call.number]
    seconds: list[float | None] = [None] * len(calls)
    whole = None
    if time:
        values = _values(model, params, state)
        seconds = _seconds(model, calls, values)
        whole = _whole_seconds(model, values)
    rows = [
        CallCost(
            call.invocation,
            call.parent,
            total[call.number],
            own[call.number],
            sum(call.returned.values()),
            seconds[call.number],
            _own_seconds(seconds[call.number], call.number, calls, seconds),
        )
        for call in calls
    ]
    return Costs(
        calls=rows,
        flops=total[_OUTSIDE],
        own_flops=own[_OUTSIDE],
        params=params_spec,
        state=state_spec,
        output=str(jax.tree.map(ArraySpec.from_array, out)),
        seconds=whole,
        own_seconds=_own_seconds(whole, None, calls, seconds),
    )


def _in_scope(call: Call, f: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    with call_scope(call.number):
        return f(*args, **kwargs)


# ---- Operations -------------------------------------------------------------------

_OUTSIDE = -1  # Where lists by call have what is outside of all calls.


def _own_flops(jaxpr: Any, count: int) -> list[int]:
    """Operations by the innermost call that does them; outside of calls, the last."""
    found = [0] * (count + 1)
    _count(jaxpr, _OUTSIDE, 1, found)
    return found


def _count(jaxpr: Any, owner: int, times: int, found: list[int]) -> None:
    for eqn in jaxpr.eqns:
        inside = [owner, *calls_around(eqn)][-1]
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
            found[inside] += times * flops_of(eqn)


def _replicas(eqn: Any) -> int:
    """On how many devices an equation's inner program runs, each on a part."""
    mesh = eqn.params.get("mesh") if eqn.primitive.name == "shard_map" else None
    return getattr(mesh, "size", 1)


# ---- Time -------------------------------------------------------------------------


def _values(model: Model, params: Any, state: Any) -> tuple[Any, ...]:
    """What `apply` is timed with: what is given, and the rest made up."""
    arrays = examples(model.arrays)
    if params is None:
        params, made = jax.jit(model.init)(model.key, arrays)
        state = made if state is None else state
    return params, state or {}, model.key, arrays


def _seconds(
    model: Model, calls: Sequence[Call], values: tuple[Any, ...]
) -> list[float | None]:
    watch = Stopwatch()
    with jax.disable_jit(), intercept_methods(watch.interceptor()):
        model.apply(*values)
    return watch.of(calls)


def _whole_seconds(model: Model, values: tuple[Any, ...]) -> float:
    arrays_alone = jax.jit(lambda *values: split_arrays(model.apply(*values))[0])
    return quickest(arrays_alone.lower(*values).compile(), *values)


def _own_seconds(
    total: float | None,
    number: int | None,
    calls: Sequence[Call],
    seconds: Sequence[float | None],
) -> float | None:
    """What of a call's time those right inside it leave; None if one was not timed."""
    inside = [seconds[call.number] for call in calls if call.parent == number]
    known = [s for s in inside if s is not None]
    if total is None or len(known) < len(inside):
        return None
    # Each was measured alone, so that their sum may be more than the whole.
    return max(0.0, total - sum(known))
