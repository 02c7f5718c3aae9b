"""Differences between two trees of parameters, as data and as text."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import numpy as np

from haiku._trees.places import Place, Tree, is_abstract, raw, text_of, values_of
from haiku.surgery.renames import likely_renames

__all__ = ["Change", "Difference", "diff"]

_SHOWN = 60  # Lines of a text.


@dataclasses.dataclass(frozen=True)
class Change:
    """The differences between two values of one path.

    Attributes:
      path: `module/name`.
      old: Dtype and shape of the first value, `f32[2,3]`.
      new: Dtype and shape of the second value.
      shape: Whether the shapes differ.
      dtype: Whether the dtypes differ.
      differing: How many numbers differ; None if they can't be compared, for instance
        in different shapes.
      size: The number of numbers.
      max_abs: The largest absolute difference between numbers, without those that are
        NaN on one side.
      nan: How many numbers are NaN in the first value alone, and in the second alone.

    Example:
      >>> old, new = {"a": {"w": np.zeros(2)}}, {"a": {"w": np.ones(2)}}
      >>> print(hk.surgery.diff(old, new).changed[0])
      f64[2], 2 of 2 values differ, by up to 1
    """

    path: str
    old: str
    new: str
    shape: bool
    dtype: bool
    differing: int | None = None
    size: int = 0
    max_abs: float = 0.0
    nan: tuple[int, int] = (0, 0)

    def __str__(self) -> str:
        words = [f"{self.old} -> {self.new}"] if self.old != self.new else [self.old]
        if self.differing:
            words.append(
                f"{self.differing:,} of {self.size:,} values differ, by up to "
                f"{self.max_abs:.3g}"
            )
        for count, which in zip(self.nan, ("first", "second")):
            if count:
                words.append(f"{count:,} NaN in the {which} alone")
        return ", ".join(words)


@dataclasses.dataclass(frozen=True)
class Difference:
    """The differences between two trees; `bool` and `str` of it work.

    Attributes:
      removed: Paths in the first tree alone, without renamed ones.
      added: Paths in the second tree alone, without renamed ones.
      renamed: Pairs of a path in the first tree and one in the second that are likely
        the same parameter: equal values, or equal shape and dtype and a similar path.
      changed: A `Change` for each path in both trees whose values differ.
      count: The number of paths in both trees together; renamed ones count once.

    Example:
      >>> difference = hk.surgery.diff({"a": {"w": 1.0}}, {"a": {"w": 2.0}})
      >>> bool(difference), [change.path for change in difference.changed]
      (True, ['a/w'])
    """

    removed: tuple[str, ...]
    added: tuple[str, ...]
    renamed: tuple[tuple[str, str], ...]
    changed: tuple[Change, ...]
    count: int

    def __bool__(self) -> bool:
        return bool(self.removed or self.added or self.renamed or self.changed)

    def __str__(self) -> str:
        if not self:
            return f"No difference in {self.count} values."
        found = (self.removed, self.added, self.renamed, self.changed)
        differing = sum(map(len, found))
        lines = [f"{differing} of {self.count} differ."]
        rows = [(c.path, f"{c}") for c in self.changed]
        rows += [(path, "only in the first") for path in self.removed]
        rows += [(path, "only in the second") for path in self.added]
        rows += [(old, f"likely renamed: {new}") for old, new in self.renamed]
        places = sorted(
            (Place.at("hk.surgery.diff", path), text) for path, text in rows
        )
        module = None
        for place, text in places[:_SHOWN]:
            if place.module != module:
                module = place.module
                lines.append(module)
            lines.append(f"  {place.name}: {text}")
        if len(rows) > _SHOWN:
            lines.append(f"... and {len(rows) - _SHOWN} more")
        return "\n".join(lines)


def diff(old: Tree, new: Tree, *, rtol: float = 0.0, atol: float = 0.0) -> Difference:
    """Compares two trees: paths, shapes, dtypes and values.

    Args:
      old: `{module: {name: value}}`, parameters or state.
      new: Another one. Values that are `jax.ShapeDtypeStruct`s or tracers on either
        side aren't compared.
      rtol: How far a number may be from the one in `old`, relative to it.
      atol: How far it may be besides, absolutely. With both 0, the default, numbers
        must be equal. Two NaNs are equal.

    Returns:
      A `Difference`, true if the trees differ; its `str` describes how.

    Example:
      >>> old = {"mlp/linear": {"w": np.ones([2, 3]), "b": np.zeros([3])}}
      >>> new = {"mlp/dense": {"w": np.ones([2, 3]), "b": np.zeros([4])}}
      >>> print(hk.surgery.diff(old, new))
      3 of 3 differ.
      mlp/dense
        b: only in the second
      mlp/linear
        b: only in the first
        w: likely renamed: mlp/dense/w
    """
    before, after = values_of(old), values_of(new)
    changes = []
    for place, value in before.items():
        if place in after:
            change = _change(place.path, value, after[place], rtol, atol)
            changes += [change] if change else []
    renamed = likely_renames(
        {place: value for place, value in before.items() if place not in after},
        {place: value for place, value in after.items() if place not in before},
    )
    gone = {was for was, _ in renamed} | set(after)
    come = {now for _, now in renamed} | set(before)
    return Difference(
        removed=tuple(place.path for place in before if place not in gone),
        added=tuple(place.path for place in after if place not in come),
        renamed=tuple((was.path, now.path) for was, now in renamed),
        changed=tuple(changes),
        count=len({*before, *after}) - len(renamed),
    )


# Values.


def _change(path: str, old: Any, new: Any, rtol: float, atol: float) -> Change | None:
    texts = text_of(old), text_of(new)
    leaves = jax.tree.leaves(old), jax.tree.leaves(new)
    kinds = [
        [(np.shape(x), getattr(x, "dtype", None)) for x in some] for some in leaves
    ]
    shapes, dtypes = ([[k[i] for k in kind] for kind in kinds] for i in (0, 1))
    change = Change(path, *texts, shapes[0] != shapes[1], dtypes[0] != dtypes[1])
    if not change.shape and not any(is_abstract(x) for x in (*leaves[0], *leaves[1])):
        for a, b in zip(*leaves):
            change = _with_values(change, _numbers(a), _numbers(b), rtol, atol)
    return change if change.shape or change.dtype or change.differing else None


def _numbers(x: Any) -> np.ndarray:
    """An array's numbers in a dtype that NumPy computes with."""
    array = np.asarray(raw(x))
    # To NumPy, bfloat16 and its kin aren't numbers.
    return array.astype(np.float64) if array.dtype.kind in "Vf" else array


def _with_values(
    change: Change, a: np.ndarray, b: np.ndarray, rtol: float, atol: float
) -> Change:
    if a.dtype.kind not in "biufc":  # Texts and other objects.
        count, apart, nan = int(np.sum(a != b)), np.zeros([]), np.zeros([2])
    else:
        kind = np.complex128 if "c" in (a.dtype.kind, b.dtype.kind) else np.float64
        x, y = a.astype(kind), b.astype(kind)
        nans = np.isnan(x), np.isnan(y)
        with np.errstate(invalid="ignore", over="ignore"):
            apart = np.where(x == y, 0.0, np.abs(x - y))
            far = (a != b) & ~(apart <= atol + rtol * np.abs(x)) & ~(nans[0] & nans[1])
        nan = np.array([np.sum(nans[0] & ~nans[1]), np.sum(nans[1] & ~nans[0])])
        count = int(np.sum(far))
        apart = np.where(nans[0] | nans[1], 0.0, apart)
    largest = float(np.max(apart, initial=0.0)) if count else 0.0
    return dataclasses.replace(
        change,
        differing=(change.differing or 0) + count,
        size=change.size + a.size,
        max_abs=max(change.max_abs, largest),
        nan=(change.nan[0] + int(nan[0]), change.nan[1] + int(nan[1])),
    )
