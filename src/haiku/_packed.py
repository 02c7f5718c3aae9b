"""Packing parameters into one vector, which makes jitted calls cheaper.

A jitted call inspects every array that it takes and returns. With hundreds of small
parameters that takes longer than the computation on a fast device.
"""

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp

__all__ = ["Packed", "pack", "unpack"]


class Layout:
    """Position of each array of a tree in the vectors; equal layouts are one object."""

    __slots__ = ("dtypes", "shapes", "sizes", "treedef", "vector_of")

    def __init__(self, treedef: Any, shapes: tuple[Any, ...], dtypes: tuple[Any, ...]):
        self.treedef = treedef
        self.shapes = shapes
        self.dtypes = dtypes
        kinds = list(dict.fromkeys(dtypes))
        self.vector_of = [kinds.index(dtype) for dtype in dtypes]
        self.sizes: list[list[int]] = [[] for _ in kinds]
        for shape, vector in zip(shapes, self.vector_of):
            self.sizes[vector].append(math.prod(shape))

    def __reduce__(self):
        return _layout, (self.treedef, self.shapes, self.dtypes)

    def __repr__(self) -> str:
        return f"{len(self.shapes)} arrays"


@functools.cache
def _layout(treedef: Any, shapes: tuple[Any, ...], dtypes: tuple[Any, ...]) -> Layout:
    """Returns one object per layout, so that JAX compares layouts by identity."""
    return Layout(treedef, shapes, dtypes)


@functools.partial(
    jax.tree_util.register_dataclass, data_fields=["vectors"], meta_fields=["layout"]
)
class Packed:
    """A tree of arrays packed into one vector per dtype, made by :func:`pack`.

    It is a pytree of the vectors: `jax.grad`, `jax.tree.map`, checkpoints, and
    optimizers that treat all elements alike accept it.

    Attributes:
      vectors: Arrays ``[elements]``, one per dtype in order of appearance.
      layout: Positions of the arrays in the vectors.

    Example:
      >>> hk.data_structures.pack({"w": jnp.ones([2]), "b": jnp.ones([1])})
      Packed(2 arrays in (Array([1., 1., 1.], dtype=float32),))
    """

    __slots__ = ("layout", "vectors")

    def __init__(self, vectors: Any, layout: Layout):
        self.vectors = vectors
        self.layout = layout

    def __repr__(self) -> str:
        return f"Packed({self.layout!r} in {self.vectors!r})"


def pack(tree: Any) -> Packed:
    """Packs a tree of arrays into one vector per dtype.

    Calling a jitted step with `Packed` parameters costs as much for hundreds of
    parameters as for one. ``apply`` of a transformed function accepts them.

    Args:
      tree: Any pytree of arrays, such as parameters.

    Returns:
      A :class:`Packed`, a pytree of one or few vectors.

    Gradient:
      Linear: a gradient by `Packed` parameters is `Packed` too.

    Raises:
      TypeError: A leaf of `tree` isn't an array.

    Example:
      >>> net = hk.without_apply_rng(hk.transform(lambda x: hk.nets.MLP([8, 1])(x)))
      >>> x = jnp.ones([4, 3])
      >>> packed = hk.data_structures.pack(net.init(jax.random.key(0), x))
      >>> grads = jax.grad(lambda packed: jnp.mean(net.apply(packed, x) ** 2))(packed)
      >>> packed = jax.tree.map(lambda p, g: p - 0.1 * g, packed, grads)
    """
    leaves, treedef = jax.tree.flatten(tree)
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        if not hasattr(leaf, "dtype") and not isinstance(leaf, (bool, int, float)):
            raise TypeError(
                "hk.data_structures.pack takes a tree of arrays, but "
                f"{jax.tree_util.keystr(path) or 'it'} is {type(leaf).__name__} "
                f"{leaf!r}: leave it out."
            )
    arrays = [jnp.asarray(leaf) for leaf in leaves]
    shapes = tuple(x.shape for x in arrays)
    layout = _layout(treedef, shapes, tuple(x.dtype for x in arrays))
    return Packed(_concatenate(tuple(arrays), layout), layout)


def unpack(packed: Packed) -> Any:
    """Restores the tree that was packed.

    Args:
      packed: The result of `pack`, or a tree computed from it. The vectors may have
        extra leading axes, such as those of ``jax.vmap``.

    Returns:
      The tree; each array has the extra axes, then its own.

    Gradient:
      Linear: the gradient by the vectors is the packed gradient by the arrays.

    Raises:
      TypeError: `packed` isn't a `Packed`.
      ValueError: A vector has another length than its arrays together.

    Example:
      >>> packed = hk.data_structures.pack({"w": jnp.ones([2, 3]), "b": jnp.zeros([3])})
      >>> packed.vectors[0].shape, hk.data_structures.unpack(packed)["w"].shape
      ((9,), (2, 3))
    """
    if not isinstance(packed, Packed):
        raise TypeError(
            "hk.data_structures.unpack takes what hk.data_structures.pack returned, "
            f"got {type(packed).__name__}: use a tree that isn't packed directly."
        )
    layout = packed.layout
    for vector, sizes in zip(packed.vectors, layout.sizes):
        if not vector.shape or vector.shape[-1] != sum(sizes):
            raise ValueError(
                f"A vector of {layout!r} has shape {vector.shape}: its last axis must "
                f"have their {sum(sizes)} elements."
            )
    return jax.tree.unflatten(layout.treedef, _split(packed.vectors, layout))


def unpacked(values: Any) -> Any:
    """Parameters as dicts, even if they are `Packed`."""
    return unpack(values) if isinstance(values, Packed) else values


@functools.partial(jax.jit, static_argnums=1)
def _concatenate(arrays, layout):
    parts: list[list[Any]] = [[] for _ in layout.sizes]
    for x, vector in zip(arrays, layout.vector_of):
        parts[vector].append(jnp.ravel(x))
    return tuple(jnp.concatenate(xs) for xs in parts)


@functools.partial(jax.jit, static_argnums=1)
def _split(vectors, layout):
    # Split instead of sliced: the transpose of a split is one concatenation.
    parts = [
        iter(jax.lax.split(x, sizes, axis=x.ndim - 1))
        for x, sizes in zip(vectors, layout.sizes)
    ]
    arrays = []
    for shape, vector in zip(layout.shapes, layout.vector_of):
        x = next(parts[vector])
        arrays.append(jnp.reshape(x, (*x.shape[:-1], *shape)))
    return arrays
