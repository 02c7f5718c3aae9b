"""Taking a tree of parameters apart, and joining it again."""

from __future__ import annotations

from typing import Any

from haiku._trees.places import (
    Dicts,
    Place,
    Tree,
    find_places,
    nested,
    text_of,
    values_of,
)

__all__ = ["merge", "paths", "select", "split"]


def paths(tree: Tree, *patterns: str) -> list[str]:
    """The sorted paths that patterns find in a tree; all paths without patterns.

    Args:
      tree: `{module: {name: value}}`.
      *patterns: Patterns of paths.

    Returns:
      Paths, `module/name`.

    Raises:
      ValueError: A pattern finds nothing.

    Example:
      >>> params = {"mlp/~/linear_0": {"w": 1, "b": 2}, "head": {"w": 3}}
      >>> hk.surgery.paths(params, "**/w")
      ['head/w', 'mlp/~/linear_0/w']
    """
    values = values_of(tree)
    if not patterns:
        return [place.path for place in values]
    found = find_places("hk.surgery.paths", patterns, values)
    return [place.path for place in values if place in found]


def split(tree: Tree, *patterns: str) -> tuple[Dicts, Dicts]:
    """Splits a tree in two: values that a pattern finds, and the rest.

    `merge` undoes it. Pass `jax.grad` one part to keep the other fixed.

    Args:
      tree: `{module: {name: value}}`.
      *patterns: Patterns of paths.

    Returns:
      Two trees.

    Raises:
      ValueError: A pattern finds nothing.

    Example:
      >>> params = {"encoder": {"w": 1.0}, "head": {"w": 3.0}}
      >>> fixed, trained = hk.surgery.split(params, "encoder/**")
      >>> jax.grad(lambda t: hk.surgery.merge(fixed, t)["head"]["w"] ** 2)(trained)
      {'head': {'w': Array(6., dtype=float32, weak_type=True)}}
    """
    values = values_of(tree)
    found = find_places("hk.surgery.split", patterns, values)
    chosen = {place: value for place, value in values.items() if place in found}
    rest = {place: value for place, value in values.items() if place not in found}
    return nested(chosen), nested(rest)


def select(tree: Tree, *patterns: str) -> Dicts:
    """The part of a tree that patterns find.

    Args:
      tree: `{module: {name: value}}`.
      *patterns: Patterns of paths.

    Returns:
      A tree.

    Raises:
      ValueError: A pattern finds nothing.

    Example:
      >>> hk.surgery.select({"a": {"w": 1, "b": 2}, "c": {"w": 3}}, "*/w")
      {'a': {'w': 1}, 'c': {'w': 3}}
    """
    values = values_of(tree)
    found = find_places("hk.surgery.select", patterns, values)
    return nested({p: value for p, value in values.items() if p in found})


def merge(*trees: Tree) -> Dicts:
    """Joins trees that have no path in common.

    Args:
      *trees: Trees `{module: {name: value}}`.

    Returns:
      A tree with all their values.

    Raises:
      ValueError: A path is in two trees.

    Example:
      >>> hk.surgery.merge({"a": {"w": 1}}, {"a": {"b": 2}})
      {'a': {'b': 2, 'w': 1}}
    """
    owner: dict[Place, int] = {}
    out: dict[Place, Any] = {}
    clashes = []
    for number, tree in enumerate(trees):
        for place, value in values_of(tree).items():
            if place in owner:
                clashes.append(
                    f"{place.path}: {text_of(out[place])} in tree {owner[place]}, "
                    f"{text_of(value)} in tree {number}"
                )
            owner[place], out[place] = number, value
    if clashes:
        shown = "; ".join(clashes[:3]) + ("; ..." if clashes[3:] else "")
        raise ValueError(
            "hk.surgery.merge joins trees without common paths, and these have "
            f"{len(clashes)}: {shown}. To let the later tree win write "
            "`hk.data_structures.merge(...)`; to keep both, rename one."
        )
    return nested(dict(sorted(out.items())))
