"""Parameters and state as data: nested dictionaries `{module: {name: array}}`.

Functions that walk, split, join and measure such dictionaries, and `FlatMap`, a
mapping of that form which nobody can change. Nothing here knows of modules.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterable, Iterator, KeysView, Mapping
from typing import Any, TypeVar

import jax
import numpy as np

from haiku._text import array_text

__all__ = [
    "FlatMap",
    "filter",
    "is_subset",
    "map",
    "merge",
    "partition",
    "partition_n",
    "to_haiku_dict",
    "to_immutable_dict",
    "to_mutable_dict",
    "traverse",
    "tree_bytes",
    "tree_size",
]

K = TypeVar("K")
V = TypeVar("V")
Structure = Mapping[str, Mapping[str, Any]]


# Converting between kinds of mapping.


def to_haiku_dict(structure: Mapping[K, V]) -> dict[K, V]:
    """Copies a nested mapping of any kind into plain, mutable dictionaries.

    Containers are copied at every depth, arrays are not: what happens to the result
    does not reach `structure`.

    Args:
      structure: A mapping, usually `{module: {name: array}}`.

    Returns:
      Dictionaries of the same content in the same order.
    """
    if isinstance(structure, Mapping):
        return {k: _copied(v) for k, v in structure.items()}
    return _copied(structure)


def to_mutable_dict(mapping: Mapping[K, V]) -> dict[K, V]:
    """Turns an immutable mapping into plain, mutable dictionaries.

    Args:
      mapping: What `to_immutable_dict` returned, or any other mapping.

    Returns:
      Dictionaries of the same content in the same order.
    """
    return to_haiku_dict(_mapping("to_mutable_dict", mapping))


def to_immutable_dict(mapping: Mapping[K, V]) -> FlatMap[K, V]:
    """Turns a nested mapping into one that can't be changed.

    Args:
      mapping: A mapping, usually `{module: {name: array}}`.

    Returns:
      A `FlatMap` at every depth: a pytree that equals the dictionary of the same
      content.
    """
    if isinstance(mapping, FlatMap):
        return mapping
    return FlatMap(_mapping("to_immutable_dict", mapping))


def _copied(value: Any) -> Any:
    if isinstance(value, (jax.Array, np.ndarray)):
        return value
    if isinstance(value, Mapping):
        return {k: _copied(v) for k, v in value.items()}
    return jax.tree.map(lambda leaf: leaf, value)


def _mapping(function: str, value: Any) -> Mapping:
    if isinstance(value, Mapping):
        return value
    raise TypeError(
        f"hk.data_structures.{function} takes a mapping such as "
        f"{{module: {{name: array}}}}, got {type(value).__name__}: {value!r}."
    )


class FlatMap(Mapping[K, V]):
    """A nested mapping that can't be changed.

    It is a pytree, equals the dictionary of the same content, and is hashable where
    its leaves are. A pickle or a copy of it is a plain dictionary, unless
    `hk.config.set(restore_flatmap=True)` says otherwise.
    """

    __slots__ = ("_items", "_hash")
    _items: dict[K, V]
    _hash: int | None

    def __init__(self, *args: Any, **kwargs: Any):
        content = dict(*args, **kwargs)
        items = {
            k: FlatMap(v) if _is_plain_mapping(v) else _copied_unless_flat(v)
            for k, v in content.items()
        }
        object.__setattr__(self, "_items", items)
        object.__setattr__(self, "_hash", None)

    def __getitem__(self, key: K) -> V:
        return self._items[key]

    def __iter__(self) -> Iterator[K]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __contains__(self, key: object) -> bool:
        return key in self._items

    def keys(self) -> KeysView[K]:
        """The keys, as a view whose repr leaves the values out."""
        return KeysOnlyKeysView(self)

    def values(self):
        """The values."""
        return self._items.values()

    def items(self):
        """Pairs of key and value."""
        return self._items.items()

    def __eq__(self, other: object) -> bool:
        if isinstance(other, FlatMap):
            return self._items == other._items
        if isinstance(other, Mapping):
            return self._items == dict(other.items())
        return NotImplemented

    def __hash__(self) -> int:
        known = self._hash
        if known is None:
            leaves, treedef = jax.tree.flatten(self)
            known = hash((tuple(leaves), treedef))
            object.__setattr__(self, "_hash", known)
        return known

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(
            f"`x.{name}` is not supported on an immutable mapping: write x[{name!r}]."
        )

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(
            f"`x.{name} = ...` on an immutable mapping: "
            "hk.data_structures.to_mutable_dict(x) can be changed."
        )

    def __repr__(self) -> str:
        rows = [f"{k!r}: " for k in self._items]
        values = [repr(v) for v in self._items.values()]
        line = f"FlatMap({{{', '.join(r + v for r, v in zip(rows, values))}}})"
        if len(line) <= 80 and "\n" not in line:
            return line
        body = "".join(
            "  " + r + v.replace("\n", "\n" + " " * (len(r) + 2)) + ",\n"
            for r, v in zip(rows, values)
        )
        return f"FlatMap({{\n{body}}})"

    def __reduce__(self):
        return restored, (self._to_mapping(),)

    def _to_mapping(self) -> dict[K, V]:
        return to_haiku_dict(self)


class KeysOnlyKeysView(KeysView[K]):
    """Keys of an immutable mapping; the repr shows the keys alone."""

    def __repr__(self) -> str:
        return f"KeysOnlyKeysView({list(self)!r})"


def _is_plain_mapping(value: Any) -> bool:
    return isinstance(value, Mapping) and not isinstance(value, FlatMap)


def _copied_unless_flat(value: Any) -> Any:
    # What a caller still holds, a list say, must not change the mapping later.
    return value if isinstance(value, FlatMap) else _copied(value)


def restored(content: Mapping) -> Mapping:
    """Makes what a pickle or copy of an immutable mapping loads as."""
    from haiku.config import settings

    return FlatMap(content) if settings().restore_flatmap else dict(content)


def _flatten_with_keys(mapping: FlatMap):
    # Sorted, as JAX sorts a dictionary's keys.
    keys = tuple(sorted(mapping))
    children = [(jax.tree_util.DictKey(k), mapping[k]) for k in keys]
    return children, keys


def _unflatten(keys: tuple, values: Iterable) -> FlatMap:
    flat = object.__new__(FlatMap)
    object.__setattr__(flat, "_items", dict(zip(keys, values)))
    object.__setattr__(flat, "_hash", None)
    return flat


jax.tree_util.register_pytree_with_keys(FlatMap, _flatten_with_keys, _unflatten)


# Walking, splitting and joining. Everything is `traverse` and `_gathered`.


def traverse(structure: Structure) -> Generator[tuple[str, str, Any], None, None]:
    """Yields each parameter of a structure, sorted by module, then by name.

    Args:
      structure: A mapping `{module: {name: value}}`.

    Yields:
      Triples `(module name, name, value)`.
    """
    for module in sorted(_mapping("traverse", structure)):
        content = structure[module]
        if not isinstance(content, Mapping):
            raise TypeError(
                "A structure maps module names to mappings {name: value}; "
                f"at {module!r} it holds {type(content).__name__}: {content!r}."
            )
        for name in sorted(content):
            yield module, name, content[name]


def _gathered(triples: Iterable[tuple[str, str, Any]]) -> dict[str, dict[str, Any]]:
    out: dict[str, dict[str, Any]] = {}
    for module, name, value in triples:
        out.setdefault(module, {})[name] = value
    return out


def map(
    fn: Callable[[str, str, Any], Any], structure: Structure
) -> dict[str, dict[str, Any]]:
    """Applies a function to each parameter: `out[m][n] = fn(m, n, structure[m][n])`.

    Args:
      fn: Takes module name, name and value, returns the new value.
      structure: A mapping `{module: {name: value}}`.

    Returns:
      Dictionaries with the same keys; modules without parameters are left out.
    """
    return _gathered((m, n, fn(m, n, v)) for m, n, v in traverse(structure))


def filter(
    predicate: Callable[[str, str, Any], Any], structure: Structure
) -> dict[str, dict[str, Any]]:
    """Keeps the parameters that a predicate is true of.

    Args:
      predicate: Takes module name, name and value.
      structure: A mapping `{module: {name: value}}`.

    Returns:
      Dictionaries with the chosen parameters, values unchanged.
    """
    return _gathered(t for t in traverse(structure) if predicate(*t))


def partition(
    predicate: Callable[[str, str, Any], Any], structure: Structure
) -> tuple[dict[str, dict[str, Any]], dict[str, dict[str, Any]]]:
    """Splits a structure in two: where a predicate is true, and the rest.

    `merge` undoes it.

    Args:
      predicate: Takes module name, name and value.
      structure: A mapping `{module: {name: value}}`.

    Returns:
      Two dictionaries: parameters that `predicate` is true of, and the others.
    """
    no, yes = partition_n(lambda *t: 1 if predicate(*t) else 0, structure, 2)
    return yes, no


def partition_n(
    fn: Callable[[str, str, Any], int], structure: Structure, n: int
) -> tuple[dict[str, dict[str, Any]], ...]:
    """Splits a structure into `n` by the number that a function gives each parameter.

    `merge` undoes it.

    Args:
      fn: Takes module name, name and value, returns an integer in [0, n).
      structure: A mapping `{module: {name: value}}`.
      n: How many structures to split into.

    Returns:
      `n` dictionaries; the i-th holds the parameters for which `fn` returned i.

    Raises:
      AssertionError: `fn` returned a number outside [0, n).
    """
    parts: list[dict[str, dict[str, Any]]] = [{} for _ in range(n)]
    for module, name, value in traverse(structure):
        i = fn(module, name, value)
        if not 0 <= i < n:
            raise AssertionError(
                f"partition_n into {n} parts wants numbers in [0, {n}), got {i} "
                f"for {module}/{name}."
            )
        parts[i].setdefault(module, {})[name] = value
    return tuple(parts)


def merge(
    *structures: Structure, check_duplicates: bool = False
) -> dict[str, dict[str, Any]]:
    """Joins structures; of parameters that share a path the last one stays.

    Args:
      *structures: Mappings `{module: {name: value}}`.
      check_duplicates: Whether arrays that share a path must agree in shape and
        dtype. Default False.

    Returns:
      Dictionaries with every parameter.

    Raises:
      ValueError: `check_duplicates`, and two arrays of one path differ in shape or
        dtype.
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
            f"{_kind_text(old)} vs {_kind_text(new)}. Give the parameters paths of "
            "their own, or merge without check_duplicates to keep the last one."
        )


def _kind_text(value: Any) -> str:
    return array_text(value) if hasattr(value, "shape") else repr(value)


def is_subset(*, subset: Structure, superset: Structure) -> bool:
    """Whether each path of one structure is in another, whatever its value.

    Args:
      subset: A mapping `{module: {name: value}}`.
      superset: Another one.

    Returns:
      True if `superset` has every path of `subset`; modules without parameters don't
      count.
    """
    return all(
        n in _mapping("is_subset", superset).get(m, {}) for m, n, _ in traverse(subset)
    )


# Measuring.


def tree_size(tree: Any) -> int:
    """Counts the numbers in a tree of arrays: the sum of their sizes.

    Args:
      tree: A pytree of arrays or `jax.ShapeDtypeStruct`s, parameters for example.

    Returns:
      How many numbers they hold.
    """
    return sum(_size(leaf) for leaf in _array_leaves("tree_size", tree))


def tree_bytes(tree: Any) -> int:
    """Counts the bytes in a tree of arrays: the sum of size times bytes per number.

    Args:
      tree: A pytree of arrays or `jax.ShapeDtypeStruct`s, parameters for example.

    Returns:
      How many bytes they hold.
    """
    leaves = _array_leaves("tree_bytes", tree)
    return sum(_size(leaf) * leaf.dtype.itemsize for leaf in leaves)


def _size(leaf: Any) -> int:
    return math.prod(leaf.shape)


def _array_leaves(function: str, tree: Any) -> list[Any]:
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    for path, leaf in leaves:
        if not hasattr(leaf, "dtype"):
            # An AttributeError, since that is what programs may catch here.
            raise AttributeError(
                f"hk.data_structures.{function} takes arrays, got "
                f"{type(leaf).__name__} at {jax.tree_util.keystr(path)}: {leaf!r}."
            )
    return [leaf for _, leaf in leaves]
