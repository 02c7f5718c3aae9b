"""Parameters and states in an outline, with statistics of their numbers."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from haiku import _treescope
from haiku.data_structures import tree_bytes
from haiku.views.arrays import ArraySpec

_BINS = 24


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
        counts = np.histogram(part, _BINS, ends if wide else (-1.5, 1.5))[0]
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
        text = (
            f"mean {self.mean:.3g}, std {self.std:.3g}, "
            f"from {self.low:.3g} to {self.high:.3g}"
        )
        if self.not_finite:
            text += f", {self.not_finite:,} not finite"
        return text


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
