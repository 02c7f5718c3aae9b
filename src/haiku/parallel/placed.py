"""`placed`: a function whose outputs are made where they will live."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import AxisType

from haiku._core.keys.batched_init import is_staged
from haiku._layers.constrain import part_of, put


class Call(NamedTuple):
    """A call, with its arrays apart: functions may branch on numbers, flags and texts.

    Attributes:
      arguments: Positional and keyword arguments.
      arrays: The arrays among them.
      run: The function of the arrays.
    """

    arguments: tuple[tuple[Any, ...], dict[str, Any]]
    arrays: list[Any]
    run: Callable[[list[Any]], Any]


# Where each output of a call lives, and the outputs' shapes; None if anywhere.
Where = Callable[[Call], tuple[Any, Any] | None]


def placed(f: Callable[..., Any], where: Where) -> Callable[..., Any]:
    """`f`, with outputs that are made where they will live.

    Args:
      f: A function that `jax.jit` takes.
      where: Returns the shardings and the shapes of its outputs.

    Returns:
      A function like `f`, which :func:`eval_shape` takes.
    """

    @functools.wraps(f)
    def placed_f(*args: Any, **kwargs: Any) -> Any:
        call = _call(f, args, kwargs)
        found = where(call)
        if found is None:
            return f(*args, **kwargs)
        places, _ = found
        run: Any = call.run
        explicit = _explicit_axes()
        specs = jax.tree.map(lambda place: place.spec, places)
        if explicit:
            of_types = jax.tree.map(lambda s: part_of(s, AxisType.Explicit), specs)
            run = jax.sharding.auto_axes(run, axes=explicit, out_sharding=of_types)
        if not is_staged():
            return jax.jit(run, out_shardings=places)(call.arrays)
        return jax.tree.map(put, run(call.arrays), specs)

    def shapes_of(*args: Any, **kwargs: Any) -> Any:
        call = _call(f, args, kwargs)
        found = where(call)
        if found is None:
            return jax.eval_shape(call.run, call.arrays)
        return jax.tree.map(
            lambda place, x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=place),
            *found,
        )

    setattr(placed_f, _EVAL_SHAPE, shapes_of)
    return placed_f


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


def _call(f: Callable[..., Any], args: Any, kwargs: Any) -> Call:
    leaves, structure = jax.tree.flatten((args, kwargs))
    kinds = jax.Array | np.ndarray | np.generic | jax.ShapeDtypeStruct
    places = [i for i, x in enumerate(leaves) if isinstance(x, kinds)]

    def run(arrays: list[Any]) -> Any:
        filled = list(leaves)
        for i, x in zip(places, arrays):
            filled[i] = x
        args, kwargs = jax.tree.unflatten(structure, filled)
        return f(*args, **kwargs)

    return Call((args, kwargs), [leaves[i] for i in places], run)
