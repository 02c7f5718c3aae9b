"""`placed`: a function whose outputs are made where they will live."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType

from haiku._core.keys.batched_init import is_staged

# From arguments to where each output lives and the outputs' shapes; None if anywhere.
Where = Callable[[tuple[Any, ...], dict[str, Any]], tuple[Any, Any] | None]


def placed(f: Callable[..., Any], where: Where) -> Callable[..., Any]:
    """`f`, with outputs that are made where they will live.

    Args:
      f: A function that `jax.jit` takes; it may branch on numbers, flags and texts.
      where: Returns the shardings and the shapes of its outputs.

    Returns:
      A function like `f`, whose `eval_shape` returns the shapes with the shardings.
    """

    @functools.wraps(f)
    def call(*args: Any, **kwargs: Any) -> Any:
        found = where(args, kwargs)
        if found is None:
            return f(*args, **kwargs)
        arrays, with_arrays = _arrays_apart((args, kwargs))

        def run(arrays: list[Any]) -> Any:
            args, kwargs = with_arrays(arrays)
            return f(*args, **kwargs)

        places, _ = found
        explicit = _explicit_axes()
        auto: Any = run
        if explicit:
            auto = jax.sharding.auto_axes(run, axes=explicit, out_sharding=places)
        if not is_staged():
            return jax.jit(auto, out_shardings=places)(arrays)
        if explicit:
            return auto(arrays)
        return jax.lax.with_sharding_constraint(run(arrays), places)

    def shapes_of(*args: Any, **kwargs: Any) -> Any:
        found = where(args, kwargs)
        if found is None:
            return jax.eval_shape(f, *args, **kwargs)
        return jax.tree.map(
            lambda place, x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=place),
            *found,
        )

    setattr(call, _EVAL_SHAPE, shapes_of)
    return call


_EVAL_SHAPE = "_haiku_eval_shape"


def eval_shape(f: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """`jax.eval_shape` that also says where each array will live.

    Args:
      f: The `init` of a :func:`sharded` net, or what :func:`follow` returned.
      *args: Its arguments: arrays, or anything with a shape and a dtype.
      **kwargs: Its keyword arguments.

    Returns:
      A tree of `jax.ShapeDtypeStruct`, with shardings where a mesh is set: what
      :class:`hk.checkpoint.Checkpoints` restores into without making it first.

    Raises:
      TypeError: `f` is another function, whose outputs live nowhere in particular.

    Example:
      >>> net = hk.parallel.sharded(hk.transform(lambda x: hk.Linear(2)(x)),
      ...                           hk.parallel.data())
      >>> params = hk.parallel.eval_shape(net.init, jax.random.key(0), jnp.ones([1, 3]))
      >>> params["linear"]["w"].shape
      (3, 2)
    """
    shapes_of = getattr(f, _EVAL_SHAPE, None)
    if shapes_of is None:
        raise TypeError(
            "hk.parallel.eval_shape takes the `init` of a net of hk.parallel.sharded, "
            f"or what hk.parallel.follow returned, got {f!r}. For other functions "
            "write jax.eval_shape."
        )
    return shapes_of(*args, **kwargs)


def current_mesh() -> Any:
    """The mesh of `jax.set_mesh`: devices outside of `jit`, names and sizes inside."""
    return jax.sharding.get_abstract_mesh() if is_staged() else jax.sharding.get_mesh()


def _explicit_axes() -> tuple[str, ...]:
    mesh = jax.sharding.get_abstract_mesh()
    kinds = zip(mesh.axis_names, mesh.axis_types)
    return tuple(name for name, kind in kinds if kind is AxisType.Explicit)


def _arrays_apart(tree: Any) -> tuple[list[Any], Callable[[list[Any]], Any]]:
    """The arrays of a tree, and a function that puts others in their places."""
    leaves, structure = jax.tree.flatten(tree)
    kinds = jax.Array | np.ndarray | np.generic | jax.ShapeDtypeStruct
    places = [i for i, x in enumerate(leaves) if isinstance(x, kinds)]

    def with_arrays(arrays: list[Any]) -> Any:
        filled = list(leaves)
        for i, x in zip(places, arrays):
            filled[i] = x
        return jax.tree.unflatten(structure, filled)

    return [leaves[i] for i in places], with_arrays
