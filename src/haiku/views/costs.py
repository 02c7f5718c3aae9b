"""The costs of each call of a module: operations, dtypes, measured time."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp

from haiku._text import dtype_text
from haiku.views.arrays import is_array
from haiku.views.flops import flops, is_move
from haiku.views.inspection import Inspection
from haiku.views.jaxprs import branches, called, calls_around
from haiku.views.timing import time_calls

__all__ = ["CallDtypes", "Cost", "costs_of", "dtypes_of_calls"]


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
    seen: Inspection, time: bool = False, params: Any = None, state: Any = None
) -> list[Cost]:
    """The cost of each call, and behind them, at -1, that of the whole function.

    Only with `time` is anything computed, with these parameters and state or new ones.
    """
    costs = [Cost() for _ in (*seen.calls, None)]
    _count(seen.program, (-1,), 1, False, costs)
    for cost in costs:
        cost.flops = cost.own_flops
    if time:
        for cost, seconds in zip(costs, time_calls(seen, params, state)):
            cost.seconds = cost.own_seconds = seconds
    for call in reversed(seen.calls):  # Calls inside come before those around them.
        cost, around = costs[call.number], costs[call.parent]
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
            repeated = times * inner.times * _replicas(eqn)
            _count(inner.jaxpr, inside, repeated, rounds, costs)
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


def _replicas(eqn: Any) -> int:
    """On how many devices an equation's inner program runs, each on a part."""
    mesh = eqn.params.get("mesh") if eqn.primitive.name == "shard_map" else None
    return getattr(mesh, "size", 1)


def _dtypes(eqn: Any, rounding: bool) -> list[Any]:
    """The dtypes of an operation's inputs; of a rounding, the float8."""
    if rounding:
        both = (v.aval for v in (*eqn.invars, *eqn.outvars))
        return [x.dtype for x in both if is_array(x) and _is_float8(x.dtype)]
    return (
        [] if is_move(eqn) else [v.aval.dtype for v in eqn.invars if is_array(v.aval)]
    )


def _is_float8(dtype: Any) -> bool:
    return jnp.issubdtype(dtype, jnp.floating) and jnp.finfo(dtype).bits <= 8


@dataclasses.dataclass(frozen=True)
class CallDtypes:
    """The dtypes of one call, `("f32",)`; its text has a line for each kind."""

    params: tuple[str, ...]  # Of the module and the modules inside.
    compute: tuple[str, ...]  # Of the numbers that operations took, as in `Cost`.
    output: tuple[str, ...]  # That the caller got.

    def __str__(self) -> str:
        kinds = dataclasses.asdict(self).items()
        return "\n".join(f"{kind} {', '.join(d)}" for kind, d in kinds if d)


def dtypes_of_calls(seen: Inspection) -> list[CallDtypes]:
    """The dtypes of each call of a model that was inspected with `received=True`."""
    return [
        CallDtypes(
            params=_floats(_dtypes_in(dict(call.details.params))),
            compute=_floats(cost.dtypes),
            output=_floats(_dtypes_in(call.received_spec)),
        )
        for call, cost in zip(seen.calls, costs_of(seen))
    ]


def _dtypes_in(tree: Any) -> Iterable[Any]:
    return (x.dtype for x in jax.tree.leaves(tree) if is_array(x))


def _floats(dtypes: Iterable[Any]) -> tuple[str, ...]:
    """The dtypes of rounded numbers as text, each once."""
    floats = (dtype for dtype in dtypes if jnp.issubdtype(dtype, jnp.inexact))
    return tuple(dict.fromkeys(dtype_text(dtype) for dtype in floats))
