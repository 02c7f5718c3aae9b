"""Which parameters train, and how: masks and labels for optax."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax

from haiku._trees.places import (
    Place,
    Tree,
    find_places,
    rules_of,
    values_of,
)

__all__ = ["labels", "mask"]


def mask(params: Tree, *patterns: str) -> Any:
    """True for each parameter that any of the patterns finds, False for the others.

    For `optax.masked(optimizer, mask)`, weight decay on matrices alone for instance.
    Where the mask is False `optax.masked` passes the gradient on as it is: to freeze
    parameters use `labels`, or `split` and differentiate one part.

    Args:
      params: `{module: {name: value}}`.
      *patterns: Patterns of paths.

    Returns:
      A tree of the structure of `params`, with a bool for each leaf.

    Raises:
      ValueError: A pattern finds nothing.

    Example:
      >>> hk.surgery.mask({"a": {"w": 1.0, "b": 2.0}}, "**/w")
      {'a': {'b': False, 'w': True}}
    """
    found = find_places("hk.surgery.mask", patterns, values_of(params))
    return _like(params, lambda place: place in found)


def labels(params: Tree, by_pattern: Mapping[str, Any], default: Any = None) -> Any:
    """A label for each parameter, for `optax.multi_transform`.

    Args:
      params: `{module: {name: value}}`.
      by_pattern: Labels by pattern. A path that several patterns find has the label of
        the first.
      default: The label of parameters that no pattern finds. Without one, all must be
        found.

    Returns:
      A tree of the structure of `params`, with a label for each leaf.

    Raises:
      ValueError: A pattern finds nothing; or there is no `default`, and a parameter is
        found by no pattern.
      TypeError: `by_pattern` is no mapping.

    Example:
      >>> params = {"encoder": {"w": 1.0}, "head": {"w": 2.0}}
      >>> hk.surgery.labels(params, {"encoder/**": "frozen"}, default="trained")
      {'encoder': {'w': 'frozen'}, 'head': {'w': 'trained'}}
    """
    rules = rules_of("hk.surgery.labels", by_pattern, "{'encoder/**': 'frozen'}")
    values = values_of(params)
    found = find_places("hk.surgery.labels", rules, values)
    left = [place.path for place in values if place not in found]
    if left and default is None:
        raise ValueError(
            f"hk.surgery.labels has no label for {', '.join(left[:4])}"
            f"{', ...' if left[4:] else ''}: give a `default`, or a pattern for them."
        )
    return _like(params, lambda p: found[p].value if p in found else default)


def _like(params: Tree, label: Any) -> Any:
    """A tree of the very structure of `params`, as optax compares them."""

    def at(path: Any, leaf: Any) -> Any:
        del leaf
        module, name = (key.key for key in path[:2])
        return label(Place(module, name))

    return jax.tree_util.tree_map_with_path(at, params)
