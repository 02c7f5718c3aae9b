"""Which layers of a deep net are alike, and can be one stacked function."""

from collections.abc import Callable, Hashable, Sequence
from typing import Any, NamedTuple

from haiku._lifted.layer_stack import layer_stack


class LayerPlan(NamedTuple):
    """Layers ``[0, start)`` by themselves, then a period many times, then the rest."""

    start: int
    period: int
    repeats: int

    @property
    def stop(self) -> int:
        """Where the layers after the periods begin."""
        return self.start + self.period * self.repeats


def plan_of(kinds: Sequence[Hashable]) -> LayerPlan:
    """The plan that stacks most layers, the shortest period of those.

    Layers that are all alike are a stack even if there is one; another period must come
    twice.
    """
    number = len(kinds)
    if len(set(kinds)) == 1:
        return LayerPlan(0, 1, number)
    best = LayerPlan(0, 0, 0)
    for period in range(1, number // 2 + 1):
        for start in range(number - 2 * period + 1):
            repeats = 1
            pattern = kinds[start : start + period]
            at = start + period
            while at + period <= number and kinds[at : at + period] == pattern:
                repeats, at = repeats + 1, at + period
            if repeats > 1 and period * repeats > best.period * best.repeats:
                best = LayerPlan(start, period, repeats)
    return best


def run_layers(
    layer: Callable[[int, Any, str], Any],
    kinds: Sequence[Hashable],
    x: Any,
    unroll: int = 1,
) -> Any:
    """Applies ``layer(i, x, name)`` for all i, those that are alike as one stack.

    Parameters lie under ``blocks`` (under ``blocks/block_0``, ... if a period has
    several layers), with a leading axis of repeats; those of the other layers under
    ``block_3``, with their index. A loop over the stack takes `unroll` of its repeats
    at a time.
    """
    plan = plan_of(kinds)
    for i in range(plan.start):
        x = layer(i, x, f"block_{i}")

    def period(x):
        for i in range(plan.period):
            name = f"block_{i}" if plan.period > 1 else ""
            x = layer(plan.start + i, x, name)
        return x

    if plan.repeats:
        x = layer_stack(plan.repeats, unroll=unroll, name="blocks")(period)(x)
    for i in range(plan.stop, len(kinds)):
        x = layer(i, x, f"block_{i}")
    return x
