"""Arrays as views see them: shape and dtype, apart from what else a call is given."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from haiku._text import array_text

__all__ = ["ArraySpec", "is_array", "specs_of", "split_arrays", "taking_arrays"]


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
        """The spec of an array.

        Args:
          array: Anything that has a shape and a dtype.

        Returns:
          Its spec.

        Raises:
          AttributeError: It has none.
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
    """Whether something has a shape and a dtype, as arrays and tracers do."""
    return hasattr(x, "shape") and hasattr(x, "dtype")


def specs_of(tree: Any) -> Any:
    """Shapes and dtypes of arrays, for JAX to trace with."""
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(np.shape(x), x.dtype), tree)


def split_arrays(tree: Any) -> tuple[list[Any], Callable[[list[Any]], Any]]:
    """The arrays of a tree, and how it is put together from such."""
    leaves, treedef = jax.tree.flatten(tree)
    which = [is_array(leaf) for leaf in leaves]

    def join(arrays: list[Any]) -> Any:
        rest = iter(arrays)
        filled = [next(rest) if is_array else x for x, is_array in zip(leaves, which)]
        return jax.tree.unflatten(treedef, filled)

    return [leaf for leaf, is_array in zip(leaves, which) if is_array], join


def taking_arrays(
    f: Callable[..., Any], join: Callable[[list[Any]], Any]
) -> Callable[..., Any]:
    """A function as JAX can trace it, whatever else than arrays its arguments are.

    Args:
      f: Called as `f(*before, *args, **kwargs)`.
      join: From the arrays to `(args, kwargs)`, as `split_arrays` gave it.

    Returns:
      A function of `*before` and of the arrays.
    """

    def call(*given: Any) -> Any:
        *before, arrays = given
        args, kwargs = join(arrays)
        return f(*before, *args, **kwargs)

    return call
