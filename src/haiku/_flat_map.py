"""Converting nested mappings to plain dictionaries, or to immutable ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, KeysView, Mapping
from typing import Any, TypeVar

import jax
import numpy as np

from haiku._settings import current_settings

K = TypeVar("K")
V = TypeVar("V")


def to_haiku_dict(structure: Mapping[K, V]) -> dict[K, V]:
    """Copies a nested mapping of any kind into plain, mutable dictionaries.

    Containers are copied at every depth, so changing the result doesn't change
    `structure`. Arrays aren't copied.

    Args:
      structure: A mapping, usually `{module: {name: array}}`.

    Returns:
      Dictionaries with the same contents in the same order.

    Example:
      >>> params = {"linear": {"w": 1.0}}
      >>> copy = hk.data_structures.to_haiku_dict(params)
      >>> copy["linear"]["w"] = 2.0
      >>> params
      {'linear': {'w': 1.0}}
    """
    return _copy(structure)


def to_mutable_dict(mapping: Mapping[K, V]) -> dict[K, V]:
    """Converts an immutable mapping to plain, mutable dictionaries.

    Args:
      mapping: The result of `to_immutable_dict`, or any other mapping.

    Returns:
      Dictionaries with the same contents in the same order.

    Raises:
      TypeError: `mapping` isn't a mapping.

    Example:
      >>> params = hk.data_structures.to_immutable_dict({"linear": {"w": 1.0}})
      >>> hk.data_structures.to_mutable_dict(params)
      {'linear': {'w': 1.0}}
    """
    return to_haiku_dict(require_mapping("to_mutable_dict", mapping))


def to_immutable_dict(mapping: Mapping[K, V]) -> FlatMap[K, V]:
    """Converts a nested mapping to an immutable one.

    Args:
      mapping: A mapping, usually `{module: {name: array}}`.

    Returns:
      A `FlatMap` at every depth: a pytree that equals the dictionary with the same
      contents.

    Raises:
      TypeError: `mapping` isn't a mapping.

    Example:
      >>> hk.data_structures.to_immutable_dict({"linear": {"w": 1.0}})
      FlatMap({'linear': FlatMap({'w': 1.0})})
    """
    if isinstance(mapping, FlatMap):
        return mapping
    return FlatMap(require_mapping("to_immutable_dict", mapping))


def _copy(value: Any) -> Any:
    if isinstance(value, (jax.Array, np.ndarray)):
        return value
    if isinstance(value, Mapping):
        return {k: _copy(v) for k, v in value.items()}
    return jax.tree.map(lambda leaf: leaf, value)


def require_mapping(function: str, value: Any) -> Mapping:
    """Returns a mapping unchanged; raises TypeError, naming `function`, otherwise."""
    if isinstance(value, Mapping):
        return value
    raise TypeError(
        f"hk.data_structures.{function} takes a mapping such as "
        f"{{module: {{name: array}}}}, got {type(value).__name__}: {value!r}."
    )


class FlatMap(Mapping[K, V]):
    """An immutable nested mapping.

    It is a pytree, equals the dictionary with the same contents, and is hashable if its
    leaves are. Pickles and copies load as plain dictionaries, or as `FlatMap` after
    `hk.config.set(restore_flatmap=True)`.

    Example:
      >>> params = hk.data_structures.FlatMap({"linear": {"w": 1.0}})
      >>> params["linear"]["w"], params == {"linear": {"w": 1.0}}
      (1.0, True)
    """

    __slots__ = ("_items", "_hash")
    _items: dict[K, V]
    _hash: int | None

    def __init__(self, *args: Any, **kwargs: Any):
        items = {k: _freeze(v) for k, v in dict(*args, **kwargs).items()}
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
        """Returns a view of the keys whose repr omits the values."""
        return KeysOnlyKeysView(self)

    def values(self):
        """Returns a view of the values."""
        return self._items.values()

    def items(self):
        """Returns a view of pairs (key, value)."""
        return self._items.items()

    def __eq__(self, other: object) -> bool:
        if isinstance(other, FlatMap):
            return self._items == other._items
        if isinstance(other, Mapping):
            return self._items == dict(other.items())
        return NotImplemented

    def __hash__(self) -> int:
        cached = self._hash
        if cached is None:
            leaves, treedef = jax.tree.flatten(self)
            cached = hash((tuple(leaves), treedef))
            object.__setattr__(self, "_hash", cached)
        return cached

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(
            f"`x.{name}` is not supported on an immutable mapping: write x[{name!r}]."
        )

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(
            f"`x.{name} = ...` on an immutable mapping: change a copy, "
            "hk.data_structures.to_mutable_dict(x)."
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

    def _to_mapping(self) -> dict[K, V]:  # The reference's own tests call this.
        return to_haiku_dict(self)


class KeysOnlyKeysView(KeysView[K]):
    """Keys of an immutable mapping; the repr shows only the keys."""

    def __repr__(self) -> str:
        return f"KeysOnlyKeysView({list(self)!r})"


def _freeze(value: Any) -> Any:
    if isinstance(value, FlatMap):
        return value
    # Copied, so that a list the caller still holds can't change the mapping later.
    return FlatMap(value) if isinstance(value, Mapping) else _copy(value)


def restored(content: Mapping) -> Mapping:
    """Builds the mapping that a pickle or copy loads as. Pickles name this function."""
    return FlatMap(content) if current_settings().restore_flatmap else dict(content)


def _flatten_with_keys(mapping: FlatMap):
    # Sorted, because JAX sorts the keys of a dictionary.
    keys = tuple(sorted(mapping))
    children = [(jax.tree_util.DictKey(k), mapping[k]) for k in keys]
    return children, keys


def _unflatten(keys: tuple, values: Iterable) -> FlatMap:
    flat = object.__new__(FlatMap)
    object.__setattr__(flat, "_items", dict(zip(keys, values)))
    object.__setattr__(flat, "_hash", None)
    return flat


jax.tree_util.register_pytree_with_keys(FlatMap, _flatten_with_keys, _unflatten)
