"""Batches over the devices: which part a process reads, and the global arrays."""

from __future__ import annotations

import math
from typing import Any

import jax
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from haiku._layers.constrain import free_axes, mesh_axes_of
from haiku.parallel.rules import Rules

__all__ = ["batch_shard", "global_batch"]


def batch_shard(rules: Rules) -> tuple[int, int]:
    """Which part of each global batch this process has to feed.

    This isn't `jax.process_index()`: where an axis of the model spans processes,
    several feed the same rows.

    Args:
      rules: Which say how the batch is split over the mesh of `jax.set_mesh`.

    Returns:
      ``(index, count)``: this process feeds part `index` of `count` equal ones. Without
      a mesh ``(0, 1)``.

    Raises:
      ValueError: The parts of two processes overlap without being the same: take a
        mesh whose axis of the batch lies along the processes.

    Example:
      >>> hk.parallel.batch_shard(hk.parallel.data())
      (0, 1)
    """
    mesh = jax.sharding.get_mesh()
    if mesh.empty:
        return 0, 1
    axes = batch_axes(rules, mesh)
    parts: dict[int, set[int]] = {}
    for place, device in np.ndenumerate(mesh.devices):
        at = dict(zip(mesh.axis_names, place))
        number = 0
        for axis in axes:
            number = number * mesh.shape[axis] + at[axis]
        parts.setdefault(device.process_index, set()).add(number)
    different = sorted({tuple(sorted(part)) for part in parts.values()})
    sizes = {len(part) for part in different}
    if len(sizes) > 1 or sum(map(len, different)) != math.prod(
        mesh.shape[axis] for axis in axes
    ):
        raise ValueError(
            f"The parts of the batch that processes feed overlap on this mesh: "
            f"{different}, for the mesh {dict(mesh.shape)} and the batch split over "
            f"{axes}. Take a mesh whose axes of the batch lie along the processes: put "
            "them first in jax.make_mesh."
        )
    return different.index(tuple(sorted(parts[jax.process_index()]))), len(different)


def global_batch(tree: Any, rules: Rules) -> Any:
    """Global arrays of the rows that each process has.

    Args:
      tree: Arrays ``[rows, ...]``, alike in shape in all processes: the part of the
        batch that :func:`batch_shard` says. Scalars are the same everywhere.
      rules: Which say how the batch is split over the mesh of `jax.set_mesh`.

    Returns:
      The tree of `jax.Array` ``[count * rows, ...]``; without a mesh, the same rows.

    Raises:
      ValueError: The rows can't be split evenly over this process's devices.

    Example:
      >>> batch = hk.parallel.global_batch(np.ones([8, 2]), hk.parallel.data())
      >>> batch.shape
      (8, 2)
    """
    mesh = jax.sharding.get_mesh()
    if mesh.empty:
        return jax.tree.map(jax.numpy.asarray, tree)
    axes = batch_axes(rules, mesh)
    _, count = batch_shard(rules)
    parts = math.prod(mesh.shape[axis] for axis in axes)

    def whole(path: Any, x: Any) -> jax.Array:
        x = x if isinstance(x, jax.Array) and count == 1 else np.asarray(x)
        if not x.shape:
            place = NamedSharding(mesh, PartitionSpec())
            return jax.make_array_from_process_local_data(place, x, ())
        rows = count * x.shape[0]
        if rows % parts:
            name = jax.tree_util.keystr(path) or "The batch"
            raise ValueError(
                f"{name} has {x.shape[0]} rows in this process, {rows} in all, which "
                f"can't be split evenly over {parts} devices of {axes}. Make the batch "
                f"{-(-rows // parts) * parts} rows, for instance by dropping the rest "
                "of the data (grain: batch(..., drop_remainder=True))."
            )
        place = NamedSharding(mesh, PartitionSpec(axes or None))
        if count == 1 and jax.process_count() == 1:
            return jax.device_put(x, place)
        return jax.make_array_from_process_local_data(place, x, (rows, *x.shape[1:]))

    return jax.tree_util.tree_map_with_path(whole, tree)


def batch_axes(rules: Rules, mesh: Any) -> tuple[str, ...]:
    """The mesh axes over which the batch is split."""
    return mesh_axes_of(rules.axes, free_axes(mesh), ("batch",))[0]
