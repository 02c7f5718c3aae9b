"""`ArraySpec`: an array as views see it, its shape and dtype."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax

from haiku._text import array_text


@dataclasses.dataclass(frozen=True, repr=False)
class ArraySpec:
    """The shape and dtype of an array; its text is `f32[2,3]`.

    Attributes:
      shape: The array's shape.
      dtype: Its dtype.

    Example:
      >>> hk.experimental.ArraySpec.from_array(jnp.ones([2, 3]))
      f32[2,3]
    """

    shape: Sequence[int]
    dtype: Any

    @classmethod
    def from_array(cls, array: Any) -> ArraySpec:
        """The spec of anything that has a shape and a dtype.

        Raises:
          AttributeError: `array` has none.
        """
        if not is_array(array):
            # An AttributeError, since that is what programs may catch here.
            raise AttributeError(
                "ArraySpec.from_array takes an array, got "
                f"{type(array).__name__}: {array!r}. Write jnp.asarray(x) of a number, "
                "jax.tree.map(ArraySpec.from_array, tree) of a tree."
            )
        return cls(tuple(array.shape), array.dtype)

    @property
    def size(self) -> int:
        """How many numbers the array holds."""
        return math.prod(self.shape)

    def __repr__(self) -> str:
        return array_text(self)


def is_array(x: Any) -> bool:
    """Whether `x` has a shape and a dtype, as arrays and tracers do."""
    return hasattr(x, "shape") and hasattr(x, "dtype")


def split_arrays(tree: Any) -> tuple[list[Any], Callable[[list[Any]], Any]]:
    """The arrays of a tree, and a function that puts others in their place."""
    leaves, treedef = jax.tree.flatten(tree)
    which = [is_array(leaf) for leaf in leaves]

    def join(arrays: list[Any]) -> Any:
        rest = iter(arrays)
        filled = [next(rest) if is_array else x for x, is_array in zip(leaves, which)]
        return jax.tree.unflatten(treedef, filled)

    return [leaf for leaf, is_array in zip(leaves, which) if is_array], join
