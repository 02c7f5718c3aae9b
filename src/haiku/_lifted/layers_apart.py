"""The layers of a stack with arrays of their own, for programs that run them often.

A stack's parameters are arrays with an axis of layers, and XLA copies each layer's out
of them whenever a loop over layers runs. A decoder that writes a text does so for each
token, its cache included. With an :class:`Apart` in place of each stacked array the
stack runs its layers one after the other, without such copies, in a larger program.

Arrays of less than a byte a number stay stacked: copies would take as much again. On a
CPU, XLA reads them as they lie, but unpacks them to bytes where a loop carries them.
"""

import contextlib
import contextvars
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp

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


_each = jax.jit(tuple)  # the layers of an array


def is_packed(x: Any) -> bool:
    """Whether an array has several numbers in a byte."""
    dtype = getattr(x, "dtype", None)
    return dtype is not None and jnp.issubdtype(dtype, jnp.integer) and _bits(dtype) < 8


def _bits(dtype: Any) -> int:
    return jnp.iinfo(dtype).bits


def taken_apart(
    values: Mapping[str, Mapping[str, Any]], stacks: Collection[str]
) -> Values:
    """Values with an `Apart` for each stacked array below the paths of stacks."""

    def apart(path: str, value: Any) -> Any:
        within = any(path.startswith(stack) for stack in stacks)
        stays = not within or isinstance(value, Apart) or is_packed(value)
        return value if stays else Apart(_each(value))

    return {
        path: {name: apart(path, value) for name, value in named.items()}
        for path, named in values.items()
    }


def of_layer(
    values: Mapping[str, Mapping[str, Any]], i: int, after: Any = None
) -> Values:
    """The values of one layer.

    Args:
      values: Of all layers.
      i: The layer.
      after: What the layer gets. Arrays that stay stacked are read once it is there, so
        that XLA can't unpack those of all layers at the beginning.
    """

    def own(x: Any) -> Any:
        if isinstance(x, Apart):
            return x.layers[i]
        return jax.lax.dynamic_index_in_dim(x, _once_there(i, after), keepdims=False)

    return {
        path: {name: own(x) for name, x in named.items()}
        for path, named in values.items()
    }


def _once_there(i: int, after: Any) -> Any:
    """The number `i`, which XLA knows only when it knows an array."""
    floats = [
        x for x in jax.tree.leaves(after) if jnp.issubdtype(x.dtype, jnp.floating)
    ]
    if not floats or not floats[0].size:
        return i
    some = floats[0].reshape(-1)[0]
    return jnp.where((some <= 0) | (some > 0) | jnp.isnan(some), i, 0)


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
