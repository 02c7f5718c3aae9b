"""Functions on whole trees of arrays."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from rlax._core import errors, masks
from rlax._core.arrays import at_least_single
from rlax._core.types import ArrayTree


def tree_select(pred: ArrayLike, on_true: ArrayTree, on_false: ArrayTree) -> ArrayTree:
    """Chooses one of two trees by a boolean.

    Args:
      pred: One boolean; or of every leaf's shape.
      on_true: The tree where pred holds.
      on_false: The other, of the same structure, shapes and dtypes.

    Returns:
      A tree of the same structure.

    Example:
      >>> print(rlax.tree_select(False, {"w": 1.0}, {"w": 0.0})["w"])
      0.0
    """
    pred = jnp.asarray(pred)

    def select(a: ArrayLike, b: ArrayLike) -> jax.Array:
        return jax.lax.select(pred, jnp.asarray(a), jnp.asarray(b))

    return jax.tree.map(select, on_true, on_false)


def tree_map_zipped(fn: Callable[..., Any], nests: Sequence[ArrayTree]) -> ArrayTree:
    """Applies fn to the corresponding leaves of many trees.

    Args:
      fn: Takes one leaf of each tree.
      nests: Trees of one structure.

    Returns:
      A tree of that structure; nests itself if it is empty.

    Raises:
      ValueError: If the structures differ.

    Example:
      >>> rlax.tree_map_zipped(lambda x, y: x + y, [{"w": 1}, {"w": 2}])
      {'w': 3}
    """
    if not nests:
        return nests
    structure = jax.tree.structure(nests[0])
    for i, nest in enumerate(nests):
        if jax.tree.structure(nest) != structure:
            raise ValueError(
                "tree_map_zipped: all nests must share the same tree structure; "
                f"nests[0] is {structure}, nests[{i}] is {jax.tree.structure(nest)}."
            )
    leaves = [jax.tree.leaves(nest) for nest in nests]
    return jax.tree.unflatten(structure, [fn(*same) for same in zip(*leaves)])


def tree_split_key(
    rng_key: jax.Array, tree_like: ArrayTree
) -> tuple[jax.Array, ArrayTree]:
    """Splits a random key into one for each leaf, and one for later.

    Args:
      rng_key: A key, typed or legacy.
      tree_like: Any tree.

    Returns:
      (a fresh key, a tree of keys with tree_like's structure).

    Example:
      >>> key, keys = rlax.tree_split_key(jax.random.key(0), {"w": 1, "b": 2})
      >>> sorted(keys)
      ['b', 'w']
    """
    leaves, structure = jax.tree.flatten(tree_like)
    key, *keys = jax.random.split(rng_key, len(leaves) + 1)
    return key, jax.tree.unflatten(structure, keys)


def tree_split_leaves(
    tree_like: ArrayTree, axis: int = 0, keepdim: bool = False
) -> tuple[ArrayTree, ...]:
    """Splits a tree of stacked leaves into one tree for each index along an axis.

    Args:
      tree_like: A tree of arrays, all of one size along `axis`.
      axis: The axis to split.
      keepdim: Whether the axis stays, with size 1.

    Returns:
      As many trees as the axis is long.

    Raises:
      ValueError: If the leaves differ in size along the axis.

    Example:
      >>> len(rlax.tree_split_leaves({"w": jnp.ones((3, 2))}))
      3
    """
    leaves, structure = jax.tree.flatten(tree_like)
    sizes = sorted({leaf.shape[axis] for leaf in leaves})
    if len(sizes) != 1:
        raise ValueError(
            f"tree_split_leaves: every leaf must have the same size along axis {axis}, "
            f"got {sizes or 'no leaves'}."
        )

    def at(leaf: jax.Array, i: int) -> jax.Array:
        index: list[int | slice] = [slice(None)] * leaf.ndim
        index[axis] = slice(i, i + 1) if keepdim else i
        return leaf[tuple(index)]

    return tuple(
        jax.tree.unflatten(structure, [at(leaf, i) for leaf in leaves])
        for i in range(sizes[0])
    )


def tree_replace_masked(
    tree_data: ArrayTree, tree_replacement: ArrayTree, mask: ArrayLike
) -> ArrayTree:
    """Applies `replace_masked` to every leaf.

    Args:
      tree_data: A tree of arrays, which all start with the axes of mask.
      tree_replacement: A tree of the same structure; None stands for zeros.
      mask: `[...]`, set where not 0.

    Returns:
      A tree of the same structure.

    Example:
      >>> print(rlax.tree_replace_masked({"w": [1.0, 2.0]}, None, True)["w"][0])
      0.0
    """

    def replace(data: ArrayLike, new: ArrayLike | None = None) -> jax.Array:
        return masks.replace_masked(data, new, mask)

    if tree_replacement is None:
        return jax.tree.map(replace, tree_data)
    return jax.tree.map(replace, tree_data, tree_replacement)


def tree_fn(fn: Callable[..., Any], **unmapped_kwargs: Any) -> Callable[..., Any]:
    """Turns a function of arrays into one of trees.

    Args:
      fn: A function of leaves.
      **unmapped_kwargs: Passed to every call of fn as they are.

    Returns:
      A function of trees of one structure.

    Example:
      >>> rlax.tree_fn(lambda x, scale: scale * x, scale=2)({"w": 3})
      {'w': 6}
    """
    leaf_fn = functools.partial(fn, **unmapped_kwargs)

    def mapped(*trees: ArrayTree) -> ArrayTree:
        return jax.tree.map(leaf_fn, *trees)

    return mapped


def transpose_last_axis_to_first(tree: ArrayTree) -> ArrayTree:
    """Moves the last axis of every leaf to the front.

    Args:
      tree: A tree of arrays `[..., Z]`.

    Returns:
      A tree of arrays `[Z, ...]`.

    Example:
      >>> rlax.transpose_last_axis_to_first({"x": jnp.zeros([2, 3, 4])})["x"].shape
      (4, 2, 3)
    """
    return jax.tree.map(lambda x: jnp.moveaxis(x, -1, 0), tree)


def transpose_first_axis_to_last(tree: ArrayTree) -> ArrayTree:
    """Moves the first axis of every leaf to the end.

    Args:
      tree: A tree of arrays `[Z, ...]`.

    Returns:
      A tree of arrays `[..., Z]`.

    Example:
      >>> rlax.transpose_first_axis_to_last({"x": jnp.zeros([2, 3, 4])})["x"].shape
      (3, 4, 2)
    """
    return jax.tree.map(lambda x: jnp.moveaxis(x, 0, -1), tree)


def tree_dot(x: ArrayTree, y: ArrayTree) -> jax.Array:
    """Σ x y over all leaves of two trees of arrays, in single precision at least."""

    def sum_of(x: jax.Array, y: jax.Array) -> jax.Array:
        wide = at_least_single(x.dtype)
        return jnp.sum(x.astype(wide) * y.astype(wide))

    return jnp.asarray(sum(map(sum_of, jax.tree.leaves(x), jax.tree.leaves(y))))


def check_alike(op: str, name: str, tree: ArrayTree, like: ArrayTree) -> None:
    """Raises unless a tree of arrays has the structure and shapes of another."""
    given, wanted = (
        (jax.tree.structure(x), [leaf.shape for leaf in jax.tree.leaves(x)])
        for x in (tree, like)
    )
    errors.check(
        given == wanted,
        f"{op}: {name} must have structure and shapes {wanted}, got {given}.",
    )
