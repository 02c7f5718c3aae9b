"""The costs of each call of a module: operations, dtypes and measured time."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax.numpy as jnp

from haiku.views.arrays import is_array
from haiku.views.flops import flops, is_move
from haiku.views.inspection import Inspection
from haiku.views.jaxprs import branches, called
from haiku.views.scopes import calls_around
from haiku.views.timing import time_calls

__all__ = ["Cost", "costs_of"]


@dataclasses.dataclass
class Cost:
    """The cost of one call of a module's method.

    Attributes:
      own_flops: Floating point operations outside the calls inside it.
      flops: All of them.
      dtypes: The dtypes of the numbers that its operations took, and a float8 if
        numbers were rounded to it before.
      seconds: Time of the call compiled alone; None if not measured.
      own_seconds: The rest when the calls inside it are subtracted.
    """

    own_flops: int = 0
    flops: int = 0
    dtypes: dict[Any, None] = dataclasses.field(default_factory=dict)
    seconds: float | None = None
    own_seconds: float | None = None


def costs_of(
    seen: Inspection, time: bool = False, params: Any = None, state: Any = None
) -> list[Cost]:
    """Counts the costs of each call, and of the whole function.

    Args:
      seen: The inspected model.
      time: Whether to run and time each call; otherwise nothing is computed.
      params: Parameters for timing. Default: new ones.
      state: State for timing. Default: a new one.

    Returns:
      The cost of each call, and behind them, at -1, that of the function.
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
            around.own_seconds = (
                None if cost.seconds is None else around.own_seconds - cost.seconds
            )
    for cost in costs:
        if cost.own_seconds is not None:
            # Each was measured alone, so their sum may be more than the whole.
            cost.own_seconds = max(0.0, cost.own_seconds)
    return costs


def _count(
    jaxpr: Any, calls: tuple[int, ...], times: int, rounding: bool, costs: list[Cost]
) -> None:
    """Adds the operations of a program, and their dtypes, to the calls around them."""
    for eqn in jaxpr.eqns:
        inside = (*calls, *calls_around(eqn))
        # A policy rounds to a float8 in a scope of this name.
        rounds = rounding or "haiku_rounding" in str(eqn.source_info.name_stack)
        inner = called(eqn)
        if inner is not None:
            repeated = times * inner.times * _replicas(eqn)
            _count(inner.jaxpr, inside, repeated, rounds, costs)
            continue
        if choices := branches(eqn):
            _count_costliest(choices, inside, times, rounds, costs)
        else:
            costs[inside[-1]].own_flops += times * flops(eqn)
        for call in inside:
            costs[call].dtypes.update(dict.fromkeys(_dtypes(eqn, rounds)))


def _count_costliest(
    choices: Any, calls: tuple[int, ...], times: int, rounding: bool, costs: list[Cost]
) -> None:
    """Adds the operations of the costliest branch, and the dtypes of all."""
    counted = []
    for choice in choices:
        counted.append([Cost(dtypes=cost.dtypes) for cost in costs])
        _count(choice.jaxpr, calls, times, rounding, counted[-1])
    costliest = max(counted, key=lambda branch: sum(cost.own_flops for cost in branch))
    for cost, found in zip(costs, costliest):
        cost.own_flops += found.own_flops


def _dtypes(eqn: Any, rounding: bool) -> list[Any]:
    """The dtypes of an operation's inputs; of a rounding, the float8."""
    if rounding:
        avals = [v.aval for v in (*eqn.invars, *eqn.outvars)]
        return [x.dtype for x in avals if _is_narrow(x)]
    return (
        [] if is_move(eqn) else [v.aval.dtype for v in eqn.invars if is_array(v.aval)]
    )


def _is_narrow(aval: Any) -> bool:
    return (
        is_array(aval)
        and jnp.issubdtype(aval.dtype, jnp.floating)
        and jnp.finfo(aval.dtype).bits <= 8
    )


def _replicas(eqn: Any) -> int:
    """On how many devices an equation's inner program runs, each on a part."""
    mesh = eqn.params.get("mesh") if eqn.primitive.name == "shard_map" else None
    return getattr(mesh, "size", 1)
