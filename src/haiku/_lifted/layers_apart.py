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
import numpy as np

Values = dict[str, dict[str, Any]]


@jax.tree_util.register_pytree_node_class
class Apart:
    """The values of a stack's layers, in place of the stacked array.

    Args:
      layers: One of each layer.
    """

    def __init__(self, layers: Any):
        self.layers = tuple(layers)

    def __repr__(self) -> str:
        return f"<{len(self.layers)} layers of {self.layers[0]!r}>"

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


def numbers_of_layers(values: Mapping[str, Mapping[str, Any]]) -> list[int]:
    """Of each array, apart or stacked, how many layers it has."""
    return [
        len(x.layers) if isinstance(x, Apart) else np.shape(x)[0]
        for named in values.values()
        for x in named.values()
    ]


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
        within = f"{path}/".startswith(tuple(stacks))
        if not within or isinstance(value, Apart) or is_packed(value):
            return value
        # Of no layers the shape would be lost.
        return Apart(_each(value)) if np.shape(value)[0] else value

    return {
        path: {name: apart(path, value) for name, value in named.items()}
        for path, named in values.items()
    }


def unstack_layers(values: Mapping[str, Mapping[str, Any]], *stacks: str) -> Values:
    """Parameters or state, with an array of its own for each layer of some stacks.

    Arrays of a stack have an axis of layers, so that a program is small and compiles
    once for all layers. But XLA copies each layer's part out of them whenever the stack
    runs, and its gradient into them. With arrays of their own `hk.layer_stack` runs the
    layers one after the other without these copies: a longer program, which compiles
    more slowly and runs faster where copies count, as in decoding on a CPU. Numbers
    stay the same. Gradients come in the same form as the parameters, so optimizers need
    no change; a cache that such a model makes is in it too.

    Args:
      values: Parameters, state or gradients of a whole net, stacked.
      stacks: Paths of stacks, such as ``"decoder/blocks"``.

    Returns:
      A copy, in which each array below these paths is a tree of an array for each
      layer, in its attribute `layers`. Arrays of int4 and smaller stay stacked. It is
      for calls and training; to save it or place it on a mesh, stack it again with
      `hk.stack_layers`.

    Raises:
      ValueError: No stack is given; there is nothing below a path; arrays below it
        don't have the same number of layers.

    Example:
      >>> def stack(x):
      ...     return hk.layer_stack(3, name="stack")(lambda x: hk.Linear(2)(x))(x)
      >>> f, x = hk.without_apply_rng(hk.transform(stack)), jnp.ones([1, 2])
      >>> params = f.init(0, x)
      >>> params["stack/linear"]["w"].shape
      (3, 2, 2)
      >>> apart = hk.unstack_layers(params, "stack")
      >>> [w.shape for w in apart["stack/linear"]["w"].layers]
      [(2, 2), (2, 2), (2, 2)]
      >>> bool(jnp.allclose(f.apply(apart, x), f.apply(params, x)))
      True
    """
    if not stacks:
        raise ValueError(
            "hk.unstack_layers needs the path of a stack, such as 'decoder/blocks'; "
            f"there are {', '.join(sorted(values))}."
        )
    for stack in stacks:
        _check_stack(values, stack)
    return taken_apart(values, [f"{stack}/" for stack in stacks])


def stack_layers(values: Mapping[str, Mapping[str, Any]]) -> Values:
    """The inverse of `hk.unstack_layers`: arrays with an axis of layers again.

    Args:
      values: Parameters, state or gradients, of which some have an array for each
        layer.

    Returns:
      A copy, whose arrays have an axis of layers as `hk.layer_stack` made them.

    Example:
      >>> params = {"stack/linear": {"b": jnp.zeros([3, 2])}}
      >>> apart = hk.unstack_layers(params, "stack")
      >>> hk.stack_layers(apart)["stack/linear"]["b"].shape
      (3, 2)
    """

    def together(x: Any) -> Any:
        if not isinstance(x, Apart):
            return x
        return jax.tree.map(lambda *layers: jnp.stack(layers), *x.layers)

    return {
        path: {name: together(x) for name, x in named.items()}
        for path, named in values.items()
    }


def _check_stack(values: Mapping[str, Mapping[str, Any]], stack: str) -> None:
    numbers = {
        f"{path}/{name}": np.shape(x)[:1]
        for path, named in values.items()
        if f"{path}/".startswith(f"{stack}/")
        for name, x in named.items()
        if not isinstance(x, Apart)
        for x in jax.tree.leaves(x)
    }
    below = any(f"{path}/".startswith(f"{stack}/") for path in values)
    if not below:
        raise ValueError(
            f"hk.unstack_layers finds nothing below {stack!r}; there are "
            f"{', '.join(sorted(values))}."
        )
    if len({*numbers.values()}) > 1 or () in numbers.values():
        found = ", ".join(
            f"{name}: {n[0] if n else 'none'}" for name, n in numbers.items()
        )
        raise ValueError(
            f"Arrays below {stack!r} don't have one number of layers as their first "
            f"axis ({found}). Give hk.unstack_layers the path of an hk.layer_stack."
        )


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
