"""`constrain`: keeps an array split over the devices as the rules in force say."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Protocol

import jax
from jax.sharding import AxisType, PartitionSpec

from haiku._core.runs.stack import Stack

__all__ = ["constrain", "is_split", "prefer", "rules_in_force", "split_over"]


class AxisRules(Protocol):
    """What `constrain` reads of `hk.parallel.Rules`."""

    @property
    def axes(self) -> Mapping[str, Any]:
        """From logical axis to mesh axis, a tuple of them, or None."""
        ...


rules_in_force: Stack[AxisRules] = Stack("parallel_rules")


def constrain(x: jax.Array, *names: Any) -> jax.Array:
    """Splits an array over the devices as the rules in force say.

    Rules are in force while the `apply` of a :func:`sharded` net runs, on the mesh of
    `jax.set_mesh`; elsewhere this is `x`. Axes of size 1 stay whole.

    Args:
      x: An array.
      *names: For each axis a logical axis, a mesh axis, or None for an axis that stays
        whole. Within one array a mesh axis is used once, by the leftmost: write None in
        place of ``length`` where ``mlp`` or ``heads`` shall have it.

    Returns:
      `x`, its axes split or whole as named. Mesh axes that a surrounding `shard_map`
      has taken are left out. Under `vmap` the names are those of one example.

    Raises:
      ValueError: There are more or fewer names than axes, or the mesh axis doesn't
        divide the axis.

    Example:
      >>> def f(x):
      ...     h = jax.nn.relu(hk.Linear(32)(x))
      ...     return hk.parallel.constrain(h, "batch", "mlp")
    """
    if rules_in_force.get() and len(names) != len(x.shape):
        raise ValueError(
            f"hk.parallel.constrain got {len(names)} names, {names}, for an array of "
            f"shape {x.shape}. Write one for each axis, None for an axis that stays "
            "whole."
        )
    return _split(x, names, strict=True)


def prefer(x: jax.Array, *names: Any) -> jax.Array:
    """`constrain` for layers: an axis that can't be split evenly stays whole."""
    return _split(x, names, strict=False)


def _split(x: jax.Array, names: Any, strict: bool) -> jax.Array:
    rules = rules_in_force.get()
    if not rules:
        return x
    sizes = free_axes(jax.sharding.get_abstract_mesh())
    if not sizes:
        return x
    groups = mesh_axes_of(rules[-1].axes, sizes, names)
    groups = [() if n == 1 else group for n, group in zip(x.shape, groups)]
    if strict:
        check_divides("An array", x.shape, names, groups, sizes)
    else:
        parts = [math.prod(sizes[axis] for axis in group) for group in groups]
        groups = [g if n % k == 0 else () for n, k, g in zip(x.shape, parts, groups)]
    return put(x, PartitionSpec(*(group or None for group in groups)))


def put(x: jax.Array, spec: PartitionSpec) -> jax.Array:
    """`x`, split by its type over Explicit axes of the mesh, by XLA over Auto ones."""
    mesh = jax.sharding.get_abstract_mesh()
    if AxisType.Explicit in mesh.axis_types:
        x = jax.sharding.reshard(x, part_of(spec, AxisType.Explicit))
    if AxisType.Auto in mesh.axis_types:
        x = jax.lax.with_sharding_constraint(x, part_of(spec, AxisType.Auto))
    return x


def part_of(spec: PartitionSpec, kind: AxisType) -> PartitionSpec:
    """What a spec says of the current mesh's axes of one kind."""
    mesh = jax.sharding.get_abstract_mesh()
    kinds = dict(zip(mesh.axis_names, mesh.axis_types))
    kept = (tuple(a for a in _entries(e) if kinds[a] is kind) for e in spec)
    return PartitionSpec(*(group or None for group in kept))


def is_split(name: str) -> bool:
    """Whether the rules in force split a logical axis over some devices."""
    return bool(split_over(name, 0))


def split_over(name: str, size: int) -> tuple[str, ...]:
    """The mesh axes over which the rules in force split an axis of some size evenly."""
    rules = rules_in_force.get()
    if not rules:
        return ()
    sizes = free_axes(jax.sharding.get_abstract_mesh())
    (axes,) = mesh_axes_of(rules[-1].axes, sizes, (name,))
    return axes if size % math.prod(sizes[axis] for axis in axes) == 0 else ()


def free_axes(mesh: Any) -> dict[str, int]:
    """The sizes of a mesh's axes, without those that a `shard_map` has taken."""
    kinds = zip(mesh.axis_names, mesh.axis_types)
    return {name: mesh.shape[name] for name, kind in kinds if kind != AxisType.Manual}


def mesh_axes_of(
    axes: Mapping[str, Any], sizes: Mapping[str, int], names: Any
) -> list[tuple[str, ...]]:
    """The mesh axes over which each axis of an array is split.

    Args:
      axes: From logical axis to mesh axis, a tuple of them, or None.
      sizes: The mesh's axes.
      names: Of the array's axes: logical axes, mesh axes, tuples of them, or None.
    """
    taken: set[str] = set()
    groups = []
    for name in names:
        group = []
        for entry in _entries(name):
            for axis in _entries(axes[entry]) if entry in axes else (entry,):
                if axis in sizes and axis not in taken:
                    taken.add(axis)
                    group.append(axis)
        groups.append(tuple(group))
    return groups


def check_divides(
    what: str,
    shape: tuple[int, ...],
    names: Any,
    groups: list[tuple[str, ...]],
    sizes: Mapping[str, int],
) -> None:
    """Raises ValueError if an axis can't be split evenly."""
    for i, (n, name, group) in enumerate(zip(shape, names, groups)):
        parts = math.prod(sizes[axis] for axis in group)
        if n % parts == 0:
            continue
        one = group[0] if len(group) == 1 else group
        whole = "write None in its place"
        if isinstance(name, str):
            whole = f"leave it whole: `rules | hk.parallel.Rules({{{name!r}: None}})`"
        raise ValueError(
            f"{what} of shape {list(shape)} has {n} along axis {i}, {name!r}, which "
            f"can't be split evenly over the mesh axis {one!r} of {parts} devices. "
            f"Make it {-(-n // parts) * parts}, or {whole}."
        )


def _entries(name: Any) -> tuple[Any, ...]:
    if name is None:
        return ()
    return tuple(name) if isinstance(name, (tuple, list)) else (name,)
