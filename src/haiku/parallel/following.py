"""Arrays that live beside a net's parameters: of an optimizer, or of a step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
from jax.core import Tracer
from jax.sharding import NamedSharding, PartitionSpec

from haiku.parallel.placed import Call, placed

__all__ = ["follow", "shardings"]


def follow(f: Callable[..., Any]) -> Callable[..., Any]:
    """`f`, for instance `optimizer.init`, with outputs that live beside parameters.

    An array of the output lives where a parameter among the arguments lives, if its
    path ends in the parameter's and it has its shape; the rest is on every device. What
    `f` computes is unchanged. Where no argument lives on a mesh, this calls `f`.

    Args:
      f: A function of parameters that `jax.jit` takes.

    Returns:
      A function of the same arguments.

    Example:
      >>> import optax
      >>> params = {"linear": {"w": jnp.ones([4, 2])}}
      >>> state = hk.parallel.follow(optax.adam(1e-3).init)(params)
    """

    def where(call: Call) -> tuple[Any, Any] | None:
        lives = _shardings_by_path(call.arguments)
        if not lives:
            return None
        mesh = next(iter(lives.values()))[0][1].mesh
        shapes = jax.eval_shape(call.run, call.arrays)
        everywhere = NamedSharding(mesh, PartitionSpec())

        def place(path: Any, x: Any) -> Any:
            for start in range(len(path) + 1):
                for shape, sharding in lives.get(path[start:], ()):
                    if shape == x.shape:
                        return sharding
            return everywhere

        return jax.tree_util.tree_map_with_path(place, shapes), shapes

    return placed(f, where)


def shardings(tree: Any) -> Any:
    """Where each array of a tree lives, for `jax.jit(..., out_shardings=...)`.

    Without `out_shardings` XLA places what a step returns as it likes, and parameters
    drift from where `init` made them.

    Args:
      tree: Arrays, or the structs of :func:`eval_shape`.

    Returns:
      A tree of shardings; None for what lives on no mesh, which `jax.jit` places.

    Example:
      >>> hk.parallel.shardings({"w": jnp.ones([2])})
      {'w': None}
    """

    def sharding(x: Any) -> Any:
        found = getattr(x, "sharding", None)
        return found if isinstance(found, NamedSharding) else None

    return jax.tree.map(sharding, tree)


def _shardings_by_path(tree: Any) -> dict[Any, list[tuple[Any, NamedSharding]]]:
    """Shape and sharding of each array on a mesh, by its path within its argument."""
    found: dict[Any, list[tuple[Any, NamedSharding]]] = {}
    for path, x in jax.tree_util.tree_leaves_with_path(tree):
        place = getattr(x, "sharding", None)
        traced = isinstance(x, Tracer)
        if not traced and isinstance(place, NamedSharding) and not place.mesh.empty:
            found.setdefault(path[2:], []).append((x.shape, place))
    return found
