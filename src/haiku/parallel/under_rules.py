"""`UnderRules`: rules that a net runs under, as a block and as a bound model's hook."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Iterator
from typing import Any

import jax
from jax.sharding import AxisType, PartitionSpec

from haiku._core.runs.stack import Stack
from haiku._core.variables import hooks
from haiku._layers.constrain import rules_in_force
from haiku.parallel.rules import Rules


@dataclasses.dataclass(frozen=True, repr=False)
class UnderRules:
    """Rules that a net runs under while a block runs, where a mesh is set.

    On Explicit mesh axes parameters that `largest` split are gathered when they are
    read. A bound model holds it as a hook.

    Args:
      rules: The rules.
    """

    rules: Rules

    def __enter__(self):
        block = contextlib.ExitStack()
        block.enter_context(_in_force(self.rules))
        _blocks.set((*_blocks.get(), block))
        return self

    def __exit__(self, *error: Any) -> None:
        *others, block = _blocks.get()
        _blocks.set(tuple(others))
        block.close()

    def __repr__(self) -> str:
        return repr(self.rules)


_blocks: Stack[contextlib.ExitStack] = Stack(
    "rules_blocks"
)  # open ones, innermost last


@contextlib.contextmanager
def _in_force(rules: Rules) -> Iterator[None]:
    mesh = jax.sharding.get_abstract_mesh()
    with contextlib.ExitStack() as held:
        if not mesh.empty:
            held.enter_context(rules_in_force.push(rules))
            gathered = _explicit_of(mesh, rules.largest)
            if gathered:
                getter = functools.partial(_gather, gathered)
                held.enter_context(hooks.param_getters.push(getter))
        yield


def _explicit_of(mesh: Any, axes: Any) -> set[str]:
    """Those of some mesh axes whose arrays carry their sharding in their type."""
    axes = (axes,) if isinstance(axes, str) else axes or ()
    kinds = dict(zip(mesh.axis_names, mesh.axis_types))
    return {axis for axis in axes if kinds.get(axis) is AxisType.Explicit}


def _gather(axes: set[str], next_getter: Any, value: Any, context: Any) -> Any:
    """A getter that makes parameters whole along some mesh axes."""
    del context
    spec = jax.typeof(value).sharding.spec
    entries = [entry if isinstance(entry, tuple) else (entry,) for entry in spec]
    kept = [tuple(axis for axis in e if axis not in axes) for e in entries]
    if kept == entries:
        return next_getter(value)
    whole = PartitionSpec(*(group if any(group) else None for group in kept))
    return next_getter(jax.sharding.reshard(value, whole))
