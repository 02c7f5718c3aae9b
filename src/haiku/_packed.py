"""Parameters packed into one vector: what a call with many of them costs least with.

A jitted call looks at every array that it is given and returns. With hundreds of small
parameters that takes longer than the computation on a fast device; one vector does not.
"""

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp

__all__ = ["Packed", "pack", "unpack"]


class Layout:
    """Where each array of a tree lies; equal ones are one object."""

    __slots__ = ("dtypes", "places", "shapes", "sizes", "treedef")

    def __init__(self, treedef: Any, shapes: tuple[Any, ...], dtypes: tuple[Any, ...]):
        self.treedef = treedef
        self.shapes = shapes
        self.dtypes = dtypes
        kinds = list(dict.fromkeys(dtypes))
        self.places = [kinds.index(dtype) for dtype in dtypes]  # in which vector
        self.sizes: list[list[int]] = [[] for _ in kinds]
        for shape, place in zip(shapes, self.places):
            self.sizes[place].append(math.prod(shape))

    def __reduce__(self):
        return _layout, (self.treedef, self.shapes, self.dtypes)

    def __repr__(self) -> str:
        return f"{len(self.shapes)} arrays"


@functools.cache
def _layout(treedef: Any, shapes: tuple[Any, ...], dtypes: tuple[Any, ...]) -> Layout:
    """One object for equal layouts: JAX compares them at each call, so by identity."""
    return Layout(treedef, shapes, dtypes)


@functools.partial(
    jax.tree_util.register_dataclass, data_fields=["vectors"], meta_fields=["layout"]
)
class Packed:
    """A tree of arrays as one vector, or one for each dtype: a pytree of these.

    `jax.grad`, `jax.tree.map`, optimizers that treat all elements alike and checkpoints
    take it as they take any pytree. Made by :func:`pack`.

    Attributes:
      vectors: Arrays ``[elements]``, one for each dtype in order of appearance.
      layout: Where the arrays lie.

    Example:
      >>> hk.experimental.pack({"w": jnp.ones([2]), "b": jnp.ones([1])})
      Packed(2 arrays in (Array([1., 1., 1.], dtype=float32),))
    """

    __slots__ = ("layout", "vectors")

    def __init__(self, vectors: Any, layout: Layout):
        self.vectors = vectors
        self.layout = layout

    def __repr__(self) -> str:
        return f"Packed({self.layout!r} in {self.vectors!r})"


def pack(tree: Any) -> Packed:
    """Packs a tree of arrays into one vector, or one for each dtype.

    A jitted step that is given `Packed` parameters and returns them costs as much to
    call with hundreds of parameters as with one. ``apply`` of a transformed function
    takes them as they are.

    Args:
      tree: Arrays in any pytree, such as parameters.

    Returns:
      A pytree of one or few vectors.

    Gradient:
      Linear: a gradient with respect to `Packed` parameters is `Packed` likewise.

    Raises:
      TypeError: There is something in `tree` that is no array.

    Example:
      >>> net = hk.without_apply_rng(hk.transform(lambda x: hk.nets.MLP([8, 1])(x)))
      >>> x = jnp.ones([4, 3])
      >>> packed = hk.experimental.pack(net.init(jax.random.key(0), x))
      >>> grads = jax.grad(lambda packed: jnp.mean(net.apply(packed, x) ** 2))(packed)
      >>> packed = jax.tree.map(lambda p, g: p - 0.1 * g, packed, grads)
    """
    leaves, treedef = jax.tree.flatten(tree)
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        if not hasattr(leaf, "dtype") and not isinstance(leaf, (bool, int, float)):
            raise TypeError(
                "hk.experimental.pack takes a tree of arrays, and "
                f"{jax.tree_util.keystr(path) or 'it'} is {type(leaf).__name__} "
                f"{leaf!r}: leave it out."
            )
    arrays = [jnp.asarray(leaf) for leaf in leaves]
    shapes = tuple(x.shape for x in arrays)
    layout = _layout(treedef, shapes, tuple(x.dtype for x in arrays))
    return Packed(_join(tuple(arrays), layout), layout)


def unpack(packed: Packed) -> Any:
    """The tree that was packed.

    Args:
      packed: What `pack` returned, or what became of it. Its vectors may have more axes
        in front, as ``jax.vmap`` adds them.

    Returns:
      The tree; each array has the axes in front, then its shape.

    Gradient:
      Linear: that of the vectors is the gradients of the arrays, packed.

    Raises:
      TypeError: `packed` is no `Packed`.
      ValueError: A vector has another length than the arrays together.

    Example:
      >>> packed = hk.experimental.pack({"w": jnp.ones([2, 3]), "b": jnp.zeros([3])})
      >>> packed.vectors[0].shape, hk.experimental.unpack(packed)["w"].shape
      ((9,), (2, 3))
    """
    if not isinstance(packed, Packed):
        raise TypeError(
            "hk.experimental.unpack takes what hk.experimental.pack returned, got "
            f"{type(packed).__name__}. What was not packed is used as it is."
        )
    layout = packed.layout
    for vector, sizes in zip(packed.vectors, layout.sizes):
        if not vector.shape or vector.shape[-1] != sum(sizes):
            raise ValueError(
                f"A vector of {layout!r} has shape {vector.shape}: its last axis must "
                f"be their {sum(sizes)} elements."
            )
    return jax.tree.unflatten(layout.treedef, _separate(packed.vectors, layout))


def unpacked(values: Any) -> Any:
    """Parameters as dicts, `Packed` ones too."""
    return unpack(values) if isinstance(values, Packed) else values


@functools.partial(jax.jit, static_argnums=1)
def _join(arrays, layout):
    parts: list[list[Any]] = [[] for _ in layout.sizes]
    for x, place in zip(arrays, layout.places):
        parts[place].append(jnp.ravel(x))
    return tuple(jnp.concatenate(xs) for xs in parts)


@functools.partial(jax.jit, static_argnums=1)
def _separate(vectors, layout):
    # Not sliced: the transpose of a split is one concatenation.
    parts = [
        iter(jax.lax.split(x, sizes, axis=x.ndim - 1))
        for x, sizes in zip(vectors, layout.sizes)
    ]
    found = []
    for shape, place in zip(layout.shapes, layout.places):
        x = next(parts[place])
        found.append(jnp.reshape(x, (*x.shape[:-1], *shape)))
    return found
