"""Parameters and state as data: nested dictionaries `{module: {name: array}}`.

Functions that walk, split, merge and measure such dictionaries, make them immutable
(`FlatMap`) or pack them into one vector. Nothing here depends on modules.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterable, Mapping
from typing import Any

import jax

from haiku._flat_map import (
    FlatMap,
    require_mapping,
    to_haiku_dict,
    to_immutable_dict,
    to_mutable_dict,
)
from haiku._packed import Packed, pack, unpack
from haiku._text import array_text

__all__ = [
    "FlatMap",
    "Packed",
    "filter",
    "is_subset",
    "map",
    "merge",
    "pack",
    "partition",
    "partition_n",
    "to_haiku_dict",
    "to_immutable_dict",
    "to_mutable_dict",
    "traverse",
    "tree_bytes",
    "tree_size",
    "unpack",
]

Structure = Mapping[str, Mapping[str, Any]]


# ---- Walking, splitting and merging: `traverse`, then `_nest` ------------------------


def traverse(structure: Structure) -> Generator[tuple[str, str, Any], None, None]:
    """Yields each parameter of a structure, sorted by module, then by name.

    Args:
      structure: A mapping `{module: {name: value}}`.

    Yields:
      Triples `(module name, name, value)`.

    Raises:
      TypeError: `structure` isn't a mapping of mappings.

    Example:
      >>> params = {"linear": {"w": 1.0, "b": 0.0}}
      >>> list(hk.data_structures.traverse(params))
      [('linear', 'b', 0.0), ('linear', 'w', 1.0)]
    """
    for module in sorted(require_mapping("traverse", structure)):
        content = structure[module]
        if not isinstance(content, Mapping):
            raise TypeError(
                "A structure maps module names to mappings {name: value}; "
                f"at {module!r} it holds {type(content).__name__}: {content!r}. "
                "Parameters outside any module belong under '~'."
            )
        for name in sorted(content):
            yield module, name, content[name]


def _nest(triples: Iterable[tuple[str, str, Any]]) -> dict[str, dict[str, Any]]:
    out: dict[str, dict[str, Any]] = {}
    for module, name, value in triples:
        out.setdefault(module, {})[name] = value
    return out


def map(
    fn: Callable[[str, str, Any], Any], structure: Structure
) -> dict[str, dict[str, Any]]:
    """Applies a function to each parameter: `out[m][n] = fn(m, n, structure[m][n])`.

    Args:
      fn: Maps module name, name and value to the new value.
      structure: A mapping `{module: {name: value}}`.

    Returns:
      Dictionaries with the same keys; modules without parameters are left out.

    Example:
      >>> params = {"linear": {"w": 2.0, "b": 1.0}}
      >>> hk.data_structures.map(lambda m, n, v: v * (n == "w"), params)
      {'linear': {'b': 0.0, 'w': 2.0}}
    """
    return _nest((m, n, fn(m, n, v)) for m, n, v in traverse(structure))


def filter(
    predicate: Callable[[str, str, Any], Any], structure: Structure
) -> dict[str, dict[str, Any]]:
    """Keeps the parameters for which a predicate is true.

    Args:
      predicate: Function of module name, name and value.
      structure: A mapping `{module: {name: value}}`.

    Returns:
      Dictionaries of the parameters kept, values unchanged.

    Example:
      >>> params = {"linear": {"w": 2.0, "b": 1.0}}
      >>> hk.data_structures.filter(lambda m, n, v: n == "w", params)
      {'linear': {'w': 2.0}}
    """
    return _nest(t for t in traverse(structure) if predicate(*t))


def partition(
    predicate: Callable[[str, str, Any], Any], structure: Structure
) -> tuple[dict[str, dict[str, Any]], dict[str, dict[str, Any]]]:
    """Splits a structure in two, by a predicate.

    `merge` reverses it.

    Args:
      predicate: Function of module name, name and value.
      structure: A mapping `{module: {name: value}}`.

    Returns:
      Two dictionaries: parameters for which `predicate` is true, and the others.

    Example:
      >>> params = {"body": {"w": 1.0}, "head": {"w": 2.0}}
      >>> hk.data_structures.partition(lambda m, n, v: m == "head", params)
      ({'head': {'w': 2.0}}, {'body': {'w': 1.0}})
    """
    no, yes = partition_n(lambda *t: 1 if predicate(*t) else 0, structure, 2)
    return yes, no


def partition_n(
    fn: Callable[[str, str, Any], int], structure: Structure, n: int
) -> tuple[dict[str, dict[str, Any]], ...]:
    """Splits a structure into `n` parts, by a function that numbers the parameters.

    `merge` reverses it.

    Args:
      fn: Maps module name, name and value to an integer in [0, n).
      structure: A mapping `{module: {name: value}}`.
      n: Number of parts.

    Returns:
      `n` dictionaries; the i-th holds the parameters for which `fn` returned i.

    Raises:
      AssertionError: `fn` returned a number outside [0, n).

    Example:
      >>> params = {"body": {"w": 1.0, "b": 0.0}}
      >>> hk.data_structures.partition_n(lambda m, n, v: int(n == "w"), params, 2)
      ({'body': {'b': 0.0}}, {'body': {'w': 1.0}})
    """
    parts: list[dict[str, dict[str, Any]]] = [{} for _ in range(n)]
    for module, name, value in traverse(structure):
        i = fn(module, name, value)
        if not 0 <= i < n:
            raise AssertionError(
                f"partition_n into {n} parts needs numbers in [0, {n}), got {i} "
                f"for {module}/{name}. Return one of these, or pass a larger n."
            )
        parts[i].setdefault(module, {})[name] = value
    return tuple(parts)


def merge(
    *structures: Structure, check_duplicates: bool = False
) -> dict[str, dict[str, Any]]:
    """Merges structures; if several have the same path, the last one wins.

    Args:
      *structures: Mappings `{module: {name: value}}`.
      check_duplicates: Whether arrays with the same path must agree in shape and
        dtype. Default False.

    Returns:
      Dictionaries of all parameters.

    Raises:
      ValueError: With `check_duplicates`, arrays with the same path differ in shape or
        dtype.

    Example:
      >>> old, new = {"a": {"w": 1.0}, "b": {"w": 2.0}}, {"a": {"w": 3.0}}
      >>> hk.data_structures.merge(old, new)
      {'a': {'w': 3.0}, 'b': {'w': 2.0}}
    """
    out: dict[str, dict[str, Any]] = {}
    for structure in structures:
        for module, name, value in traverse(structure):
            before = out.setdefault(module, {}).get(name)
            if check_duplicates and name in out[module]:
                _check_same_kind(f"{module}.{name}", before, value)
            out[module][name] = value
    return out


def _check_same_kind(path: str, old: Any, new: Any) -> None:
    if not hasattr(old, "shape") and not hasattr(new, "shape"):
        return
    kinds = [(getattr(v, "shape", None), getattr(v, "dtype", None)) for v in (old, new)]
    if kinds[0] != kinds[1]:
        raise ValueError(
            f"Duplicate array found with different shape/dtype for {path}: "
            f"{_kind_text(old)} vs {_kind_text(new)}. Give the parameters different "
            "paths, or merge without check_duplicates to keep the last one."
        )


def _kind_text(value: Any) -> str:
    return array_text(value) if hasattr(value, "shape") else repr(value)


def is_subset(*, subset: Structure, superset: Structure) -> bool:
    """Whether one structure contains every path of another, whatever the values.

    Args:
      subset: A mapping `{module: {name: value}}`.
      superset: A mapping of the same form.

    Returns:
      True if `superset` has every path of `subset`; modules without parameters don't
      count.

    Example:
      >>> small, large = {"a": {"w": 1.0}}, {"a": {"w": 2.0, "b": 0.0}}
      >>> hk.data_structures.is_subset(subset=small, superset=large)
      True
    """
    return all(
        n in require_mapping("is_subset", superset).get(m, {})
        for m, n, _ in traverse(subset)
    )


# ---- Measuring ----------------------------------------------------------------------


def tree_size(tree: Any) -> int:
    """Counts the numbers in a tree of arrays.

    Args:
      tree: A pytree of arrays or `jax.ShapeDtypeStruct`s, for example parameters.

    Returns:
      The sum of the arrays' sizes.

    Raises:
      AttributeError: A leaf isn't an array.

    Example:
      >>> hk.data_structures.tree_size({"linear": {"w": jnp.ones([2, 3])}})
      6
    """
    return sum(_size(leaf) for leaf in _array_leaves("tree_size", tree))


def tree_bytes(tree: Any) -> int:
    """Counts the bytes in a tree of arrays.

    Args:
      tree: A pytree of arrays or `jax.ShapeDtypeStruct`s, for example parameters.

    Returns:
      The sum over arrays of size times bytes per number.

    Raises:
      AttributeError: A leaf isn't an array.

    Example:
      >>> hk.data_structures.tree_bytes({"linear": {"w": jnp.ones([2, 3])}})
      24
    """
    leaves = _array_leaves("tree_bytes", tree)
    return sum(_size(leaf) * leaf.dtype.itemsize for leaf in leaves)


def _size(leaf: Any) -> int:
    return math.prod(leaf.shape)


def _array_leaves(function: str, tree: Any) -> list[Any]:
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    for path, leaf in leaves:
        if not hasattr(leaf, "dtype"):
            # An AttributeError, since existing programs may catch that.
            raise AttributeError(
                f"hk.data_structures.{function} takes arrays, got "
                f"{type(leaf).__name__} at {jax.tree_util.keystr(path) or 'the top'}: "
                f"{leaf!r}. Convert a number with jnp.asarray(x), or leave it out."
            )
    return [leaf for _, leaf in leaves]


def __dir__() -> list[str]:
    return __all__
