"""Where the arrays of a net live: rules and names of axes become partition specs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import jax
from jax.sharding import NamedSharding, PartitionSpec

from haiku._core.variables.axis_names import Names
from haiku._layers.constrain import check_divides, free_axes, mesh_axes_of
from haiku._trees.rules import Match
from haiku._trees.rules import Rules as ByPattern
from haiku.parallel.placed import current_mesh
from haiku.parallel.rules import Rules

Values = Mapping[str, Mapping[str, Any]]
Groups = list[tuple[str, ...]]  # for each axis of an array its mesh axes


def shardings_of(
    rules: Rules,
    names: Mapping[str, Mapping[str, Names]],
    params: Values,
    state: Values,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """`specs_of` on the mesh of `jax.set_mesh`, as shardings."""
    mesh = current_mesh()
    sizes = free_axes(jax.sharding.get_abstract_mesh())
    specs = specs_of(rules, sizes, names, params, state)
    return jax.tree.map(lambda spec: NamedSharding(mesh, spec), specs)


def specs_of(
    rules: Rules,
    sizes: Mapping[str, int],
    names: Mapping[str, Mapping[str, Names]],
    params: Values,
    state: Values,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """A `PartitionSpec` for each parameter and each array of state.

    Args:
      rules: The rules.
      sizes: The mesh's axes.
      names: Those of parameters that blocks and layers gave, see `axis_names`.
      params: Parameters, or their shapes.
      state: State, or its shapes, which is split by patterns of the rules alone.

    Raises:
      ValueError: A pattern finds nothing, an array has fewer axes than names, or an
        axis can't be split evenly.
    """
    paths = [
        f"{m}/{n}" for values in (params, state) for m in values for n in values[m]
    ]
    found = ByPattern(rules.arrays).find("hk.parallel.Rules", paths)

    def of_parameter(module: str, name: str, x: Any) -> PartitionSpec:
        path = f"{module}/{name}"
        own = names.get(module, {}).get(name, (None,) * len(x.shape))
        named = _named(path, x.shape, found.get(path), own)
        groups = _split_by_name(rules, sizes, path, x.shape, named)
        if rules.largest and math.prod(x.shape) >= rules.smallest:
            _split_largest(rules.largest, sizes, x.shape, named, groups)
        return _spec(groups)

    def of_state(module: str, name: str, value: Any) -> Any:
        path = f"{module}/{name}"
        match = found.get(path)
        if match is None:
            return jax.tree.map(lambda _: PartitionSpec(), value)

        def spec(x: Any) -> PartitionSpec:
            named = _named(path, x.shape, match, ())
            return _spec(_split_by_name(rules, sizes, path, x.shape, named))

        return jax.tree.map(spec, value)

    def each(f: Any, values: Values) -> dict[str, Any]:
        return {m: {n: f(m, n, x) for n, x in v.items()} for m, v in values.items()}

    return each(of_parameter, params), each(of_state, state)


def _named(path: str, shape: Any, match: Match | None, own: Names) -> Names:
    """A name or None for every axis of an array, those of stacks too."""
    names = own if match is None else match.value
    in_front = len(shape) - len(names)
    if in_front < 0 and match is not None:
        raise ValueError(
            f"hk.parallel.Rules: {match.pattern.text!r} gives {len(names)} names, "
            f"{names}, but {path} has shape {list(shape)}. Write at most one name for "
            "each axis, None for an axis that stays whole."
        )
    if in_front < 0:  # an adaptation stores it otherwise
        return (None,) * len(shape)
    return ("layers",) * in_front + tuple(names)


def _split_by_name(rules, sizes, path, shape, names) -> Groups:
    groups = mesh_axes_of(rules.axes, sizes, names)
    check_divides(path, shape, names, groups, sizes)
    return groups


def _split_largest(largest, sizes, shape, names, groups) -> None:
    """Splits the largest axis that isn't split yet, in place."""
    taken = {axis for group in groups for axis in group}
    wanted = (largest,) if isinstance(largest, str) else largest
    left = tuple(axis for axis in wanted if axis in sizes and axis not in taken)
    parts = math.prod(sizes[axis] for axis in left)
    free = [
        i
        for i, n in enumerate(shape)
        if not groups[i] and names[i] != "layers" and n % parts == 0
    ]
    if left and free:
        groups[max(free, key=lambda i: (shape[i], -i))] = left


def _spec(groups: Groups) -> PartitionSpec:
    entries = [g[0] if len(g) == 1 else g or None for g in groups]
    while entries and entries[-1] is None:
        entries.pop()
    return PartitionSpec(*entries)
