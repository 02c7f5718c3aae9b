"""Inputs: converting them to arrays, comparing their shapes, and where they lie."""

from typing import Any

import jax
import jax.numpy as jnp


def as_array(x: Any) -> Any:
    """Converts lists and numbers to a JAX array; leaves any array unchanged."""
    return x if hasattr(x, "shape") else jnp.asarray(x)


def at_least_single(dtype: Any) -> Any:
    """The dtype to sum and turn in: float64 stays, all others become float32."""
    return jnp.float64 if jnp.dtype(dtype) == jnp.float64 else jnp.float32


def shapes_broadcast(one: tuple[int, ...], other: tuple[int, ...]) -> bool:
    """Whether two shapes, possibly symbolic, broadcast together."""
    pairs = zip(reversed(one), reversed(other))
    return one == other or all(n == m or 1 in (n, m) for n, m in pairs)


def whole_on_cpu(*arrays: Any) -> bool:
    """Whether arrays lie whole on a CPU, as far as that is known when they are traced.

    Then axes may be merged where XLA for CPUs is faster so. Merging those of an array
    that is split over devices would gather it, or be an error.
    """
    meshes = [jax.sharding.get_abstract_mesh()]
    meshes += [jax.typeof(x).sharding.mesh for x in arrays]
    return jax.default_backend() == "cpu" and all(mesh.empty for mesh in meshes)


def known_size(size: Any, why: str) -> None:
    """Raises if a size of an axis is a symbol, as in an export."""
    if jax.export.is_symbolic_dim(size):
        raise ValueError(
            f"{why}, so it must be a number, and is the symbol {size}: export one "
            "program for each size; the batch may stay symbolic."
        )
