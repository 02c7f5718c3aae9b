"""The costs of each call of a module: operations, dtypes, measured time."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp

from haiku._text import dtype_text
from haiku.views.arrays import is_array
from haiku.views.calls import Call
from haiku.views.flops import flops, is_move
from haiku.views.inspection import Inspection
from haiku.views.jaxprs import branches, called, calls_around
from haiku.views.timing import time_calls

__all__ = ["CallDtypes", "Cost", "costs_of", "dtypes_of_calls"]


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


# ---- Dtypes -----------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class CallDtypes:
    """The dtypes of one call of a module's method; its text has a line for each kind.

    Attributes:
      params: Those of the parameters of the module and the modules inside: `("f32",)`.
      compute: Those of the floating point numbers that operations took, in the call and
        the calls inside it; and a float8 if numbers were rounded to it before.
      output: Those of the arrays that the caller got.
    """

    params: tuple[str, ...]
    compute: tuple[str, ...]
    output: tuple[str, ...]

    @classmethod
    def of(cls, call: Call, cost: Cost) -> CallDtypes:
        """The dtypes of a call and its cost."""
        output = (x.dtype for x in jax.tree.leaves(call.received_spec) if is_array(x))
        params = (x.dtype for x in call.details.params.values())
        return cls(_floats(params), _floats(cost.dtypes), _floats(output))

    def __str__(self) -> str:
        kinds = dataclasses.asdict(self).items()
        return "\n".join(f"{kind} {', '.join(d)}" for kind, d in kinds if d)


def dtypes_of_calls(seen: Inspection) -> list[CallDtypes]:
    """The dtypes of each call of a model that was inspected with `received=True`."""
    return [CallDtypes.of(call, cost) for call, cost in zip(seen.calls, costs_of(seen))]


def _floats(dtypes: Iterable[Any]) -> tuple[str, ...]:
    """The dtypes of rounded numbers as text, each once."""
    floats = (dtype for dtype in dtypes if jnp.issubdtype(dtype, jnp.inexact))
    return tuple(dict.fromkeys(dtype_text(dtype) for dtype in floats))
