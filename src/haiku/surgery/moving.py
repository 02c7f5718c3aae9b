"""New paths for the values of a tree, and the same surgery on an optimizer's state."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax

from haiku._trees.patterns import pattern
from haiku._trees.places import (
    Dicts,
    Place,
    Tree,
    find_places,
    nested,
    rules_of,
    values_of,
)
from haiku._trees.rules import Rules

__all__ = ["map_like", "rename"]


def rename(tree: Tree, renames: Mapping[str, str]) -> Dicts:
    """Gives values new paths.

    Args:
      tree: `{module: {name: value}}`.
      renames: New paths by pattern. In a new path each `*`, `**` and `{name}` is the
        text that the pattern found, in order or by name. Of several patterns that find
        a path the first counts. All paths change at once, so two can change places.

    Returns:
      A tree with all values; those that no pattern finds keep their path.

    Raises:
      ValueError: A pattern finds nothing; a new path has a wildcard that its pattern
        lacks; or two values would have the same path.
      TypeError: `renames` isn't a mapping.

    Example:
      >>> params = {"net/layer_0": {"w": 1}, "net/layer_1": {"w": 2}}
      >>> hk.surgery.rename(params, {"net/layer_{i}/*": "trunk/block_{i}/*"})
      {'trunk/block_0': {'w': 1}, 'trunk/block_1': {'w': 2}}
    """
    what = "hk.surgery.rename"
    by_text = rules_of(what, renames, "{'old/**': 'new/**'}")
    rules = Rules((old, pattern(new)) for old, new in by_text)
    for old, new in rules:
        new.check_fills(old)
    values = values_of(tree)
    found = find_places(what, rules, values)
    moved: dict[Place, Place] = {}  # from new to old
    for place in values:
        new = place
        if place in found:
            match = found[place]
            new = Place.at(what, match.value.filled(match.found))
        if new in moved:
            raise ValueError(
                f"hk.surgery.rename would give {moved[new].path} and {place.path} the "
                f"same path, {new.path}. Keep what tells them apart in the new path, "
                "with `*`, `**` or `{name}`, or leave one out with hk.surgery.split."
            )
        moved[new] = place
    return nested({new: values[place] for new, place in sorted(moved.items())})


def map_like(function: Callable[[Any], Any], tree: Any, params: Tree) -> Any:
    """Applies a surgery to each part of a tree that has the parameters' paths.

    An optimizer's state holds trees like the parameters, for instance moments, which
    need the same surgery.

    Args:
      function: Takes and returns a tree `{module: {name: value}}`.
      tree: Any pytree, for instance the state of an optax optimizer.
      params: The parameters before the surgery. `function` is applied to each part of
        `tree` with their paths, whatever its values are.

    Returns:
      `tree` with the results of `function` in place of these parts.

    Raises:
      ValueError: No part has the paths of `params`.

    Example:
      >>> params = {"a": {"w": 1.0}}
      >>> state = ("count", {"a": {"w": 0.5}})
      >>> to_b = lambda tree: hk.surgery.rename(tree, {"a/w": "b/w"})
      >>> hk.surgery.map_like(to_b, state, params)
      ('count', {'b': {'w': 0.5}})
    """
    wanted = set(values_of(params))
    count = 0

    def is_like(part: Any) -> bool:
        return (
            isinstance(part, Mapping)
            and all(isinstance(v, Mapping) for v in part.values())
            and set(values_of(part)) == wanted
        )

    def changed(part: Any) -> Any:
        nonlocal count
        if not is_like(part):
            return part
        count += 1
        return function(part)

    out = jax.tree.map(changed, tree, is_leaf=is_like)
    if not count:
        raise ValueError(
            "hk.surgery.map_like found no part of the tree with the paths of the "
            f"{len(wanted)} parameters: pass the parameters that the tree was made "
            "for, as they were before the surgery."
        )
    return out
