"""The layers of a stack with arrays of their own, for programs that run them often.

A stack's parameters are arrays with an axis of layers, and XLA copies each layer's out
of them whenever a loop over layers runs. A decoder that writes a text does so for each
token, its cache included. With an :class:`Apart` in place of each stacked array the
stack runs its layers one after the other, without such copies, in a larger program.
"""

import contextlib
import contextvars
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import jax

Values = dict[str, dict[str, Any]]


@jax.tree_util.register_pytree_node_class
class Apart:
    """The values of a stack's layers, in place of the stacked array.

    Args:
      layers: One of each layer.
    """

    def __init__(self, layers: Any):
        self.layers = tuple(layers)

    def tree_flatten(self) -> tuple[Any, None]:
        """The layers' values."""
        return self.layers, None

    @classmethod
    def tree_unflatten(cls, _: None, layers: Any) -> "Apart":
        """The inverse."""
        return cls(layers)


def is_apart(values: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether a stack's values are those of its layers."""
    return any(
        isinstance(x, Apart) for named in values.values() for x in named.values()
    )


def taken_apart(
    values: Mapping[str, Mapping[str, Any]], stacks: Collection[str]
) -> Values:
    """Values with an `Apart` for each stacked array below the paths of stacks."""

    def apart(path: str, value: Any) -> Any:
        within = any(path.startswith(stack) for stack in stacks)
        return Apart(value) if within and not isinstance(value, Apart) else value

    return {
        path: {name: apart(path, value) for name, value in named.items()}
        for path, named in values.items()
    }


def of_layer(values: Mapping[str, Mapping[str, Any]], i: int) -> Values:
    """The values of one layer."""
    return {
        path: {
            name: x.layers[i] if isinstance(x, Apart) else x[i]
            for name, x in named.items()
        }
        for path, named in values.items()
    }


def of_layers(each: list[Values]) -> Values:
    """The values of all layers, from those of each."""
    first = each[0] if each else {}
    return {
        path: {name: Apart(one[path][name] for one in each) for name in named}
        for path, named in first.items()
    }


# ---- Which stacks a net has ----------------------------------------------------------

_found: contextvars.ContextVar[set[str] | None] = contextvars.ContextVar(
    "stacks", default=None
)


@contextlib.contextmanager
def noting_stacks() -> Iterator[set[str]]:
    """Collects the paths of the stacks that run meanwhile, without those in others."""
    found: set[str] = set()
    token = _found.set(found)
    try:
        yield found
    finally:
        _found.reset(token)


@contextlib.contextmanager
def noted_stack(path: str) -> Iterator[None]:
    """Around the run of a stack."""
    found = _found.get()
    if found is not None:
        found.add(path)
    token = _found.set(None)
    try:
        yield
    finally:
        _found.reset(token)
