"""Arrays as views see them: shape and dtype, and statistics of their numbers."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from haiku import _treescope
from haiku._text import array_text
from haiku.data_structures import tree_bytes


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


@dataclasses.dataclass(frozen=True)
class ValueSummary:
    """Statistics of an array's finite numbers.

    Attributes:
      mean: Their mean.
      std: Their standard deviation.
      low: The lowest.
      high: The highest.
      zeros: How many are zero.
      not_finite: How many others are infinite or NaN.
      histogram: How many lie in each of 24 equal parts of the range.
    """

    mean: float
    std: float
    low: float
    high: float
    zeros: int
    not_finite: int
    histogram: tuple[int, ...]

    @classmethod
    def of(cls, array: Any) -> ValueSummary | None:
        """The statistics; None for keys, tracers, shapes, or no finite numbers."""
        if isinstance(array, (Tracer, jax.ShapeDtypeStruct, ArraySpec)):
            return None
        dtype = array.dtype
        if jnp.issubdtype(dtype, jax.dtypes.extended) or np.iscomplexobj(array):
            return None
        numbers = np.asarray(array).astype(np.float64).ravel()
        finite = numbers[np.isfinite(numbers)]
        if not finite.size:
            return None
        # A range may be too wide to subtract its ends, or too narrow to be cut.
        scale = max(abs(finite.min()), abs(finite.max())) or 1.0
        part = finite / scale
        ends = (part.min(), part.max())
        wide = ends[1] - ends[0] > 1e-9
        counts = np.histogram(part, 24, ends if wide else (-1.5, 1.5))[0]
        return cls(
            mean=float(part.mean() * scale),
            std=float(part.std() * scale),
            low=float(finite.min()),
            high=float(finite.max()),
            zeros=int(np.sum(finite == 0)),
            not_finite=int(numbers.size - finite.size),
            histogram=tuple(int(n) for n in counts),
        )

    def __str__(self) -> str:
        other = f", {self.not_finite:,} not finite" if self.not_finite else ""
        text = f"mean {self.mean:.3g}, std {self.std:.3g}, "
        return f"{text}from {self.low:.3g} to {self.high:.3g}{other}"


@dataclasses.dataclass(frozen=True)
class ArrayOutline:
    """A parameter or a state.

    Attributes:
      spec: Its shape and dtype.
      values: Statistics of its numbers; None if only its shape is known.
    """

    spec: ArraySpec
    values: ValueSummary | None = None

    @classmethod
    def of(cls, array: Any) -> ArrayOutline:
        """The outline of an array, or of a shape and dtype alone."""
        return cls(ArraySpec.from_array(array), ValueSummary.of(array))

    @property
    def bytes(self) -> int:
        """Its size in memory."""
        return tree_bytes(self.spec)

    def __treescope_repr__(self, path: str | None, subtree_renderer: Any) -> Any:
        return _treescope.Node(repr(self), [], "").drawn(path, subtree_renderer)

    def __repr__(self) -> str:
        return f"{self.spec}" + (f"  {self.values}" if self.values else "")
