"""Numbers of arrays that live on several devices, or in several processes, on a host.

These functions copy only the requested part and keep nothing. `np.asarray(x)` would
cache a host copy of all of `x` for as long as `x` lives.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

__all__ = ["numbers", "spans_processes"]


def spans_processes(tree: Any) -> bool:
    """Whether a tree has arrays of which this process holds only a part."""
    return any(
        isinstance(x, jax.Array) and not x.is_fully_addressable
        for x in jax.tree.leaves(tree)
    )


def numbers(x: Any, index: tuple[int, ...] = ()) -> np.ndarray:
    """The numbers `x[index]`.

    Args:
      x: An array. If it spans processes, all of them call this at the same time.
      index: Of its first axes.
    """
    if not isinstance(x, jax.Array):
        return np.asarray(x)[index]
    if x.is_fully_replicated:
        return _of_device(x.addressable_data(0), index)
    if not x.is_fully_addressable:
        return _gathered(x, index)
    out = np.empty(x.shape[len(index) :], x.dtype)
    for shard in x.addressable_shards:
        starts = [part.start or 0 for part in shard.index]
        own = tuple(i - start for i, start in zip(index, starts))
        if shard.replica_id or not all(
            0 <= i < n for i, n in zip(own, shard.data.shape)
        ):
            continue
        out[shard.index[len(index) :]] = _of_device(shard.data, own)
    return out


def _of_device(x: jax.Array, index: tuple[int, ...]) -> np.ndarray:
    """The numbers of an array on one device: on a CPU, those in its memory."""
    (device,) = x.devices()
    if index and device.platform != "cpu":
        x, index = x[index], ()
    # Another array of the same memory, which takes NumPy's copy with it when it goes.
    x = jax.make_array_from_single_device_arrays(x.shape, x.sharding, [x])
    return np.asarray(x)[index]


def _gathered(x: jax.Array, index: tuple[int, ...]) -> np.ndarray:
    """`x[index]` of an array with parts in all processes."""
    if not isinstance(x.sharding, NamedSharding):
        return np.asarray(multihost_utils.process_allgather(x, tiled=True))[index]
    mesh: Any = x.sharding.mesh
    spec = x.sharding.spec
    # Explicit axes refuse an index where they split, and another mesh may be set.
    mesh = Mesh(mesh.devices, mesh.axis_names, (AxisType.Auto,) * len(mesh.axis_names))
    parts = [shard.data for shard in x.addressable_shards]
    x = jax.make_array_from_single_device_arrays(
        x.shape, NamedSharding(mesh, spec), parts, dtype=x.dtype
    )
    split = tuple(i for i, axes in enumerate(spec[: len(index)]) if axes)
    everywhere = NamedSharding(mesh, PartitionSpec())
    with jax.set_mesh(mesh):
        take = jax.jit(_taken, static_argnums=2, out_shardings=everywhere)
        return _of_device(take(x, index, split).addressable_data(0), ())


def _taken(x: Any, index: tuple[Any, ...], split: tuple[int, ...]) -> Any:
    """`x[index]`, where XLA would gather axes that are split before it takes an index.

    There the other numbers become zeros, and all are added up: as integers, so that
    each bit stays.
    """
    dtype = x.dtype
    if split:
        x = jax.lax.bitcast_convert_type(x, f"uint{8 * dtype.itemsize}")
    for axis in reversed(range(len(index))):
        if axis in split:
            own = jax.lax.broadcasted_iota(jnp.int32, x.shape, axis) == index[axis]
            x = jnp.sum(jnp.where(own, x, 0), axis, dtype=x.dtype)
        else:
            x = jax.lax.dynamic_index_in_dim(x, index[axis], axis, keepdims=False)
    return jax.lax.bitcast_convert_type(x, dtype) if split else x
