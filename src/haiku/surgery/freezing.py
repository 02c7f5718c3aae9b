"""Masks and labels for optax: which parameters train, and how."""

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
    """A mask of a tree: True for each parameter that a pattern finds.

    For `optax.masked(optimizer, mask)`, for instance to decay matrices alone. Where the
    mask is False, `optax.masked` returns the gradient unchanged: to freeze parameters
    use `labels`, or `split` and differentiate one part.

    Args:
      params: `{module: {name: value}}`.
      *patterns: Patterns of paths.

    Returns:
      A tree with the structure of `params`, and a bool for each leaf.

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
      by_pattern: Labels by pattern. Of several patterns that find a path the first
        counts.
      default: The label of all other parameters. Without one, patterns must find every
        parameter.

    Returns:
      A tree with the structure of `params`, and a label for each leaf.

    Raises:
      ValueError: A pattern finds nothing; or no pattern finds a parameter, and there is
        no `default`.
      TypeError: `by_pattern` isn't a mapping.

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
            f"{', ...' if left[4:] else ''}: pass a `default`, or a pattern for them."
        )
    return _like(params, lambda p: found[p].value if p in found else default)


def _like(params: Tree, label: Any) -> Any:
    """A tree with exactly the structure of `params`, since optax compares them."""

    def at(path: Any, leaf: Any) -> Any:
        del leaf
        module, name = (key.key for key in path[:2])
        return label(Place(module, name))

    return jax.tree_util.tree_map_with_path(at, params)
