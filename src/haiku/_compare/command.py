"""The command: reads two checkpoints or models and describes the differences."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import numpy as np

from haiku._compare.reading import Unreadable, read_values
from haiku.surgery import Difference, diff

__all__ = ["main"]

SAME, DIFFERENT, UNREADABLE = 0, 1, 2

_ABOUT = """\
Describes the differences between two checkpoints, or between a checkpoint and a model:
paths, shapes, dtypes, numbers, and likely renames. A and B are each one of
  - a file: .npz, .safetensors, or a pickle;
  - a folder that Orbax wrote;
  - package.module:function, a function without arguments that returns the result of
    `init`. It is only traced, for its shapes.
FILE#part selects the values below a path: train_state.pkl#params.

A pickle is a program. Only its arrays and containers are loaded; an error names
anything else it wants to load, which --trust allows.

The exit status is 0 if both are the same, 1 if they differ, 2 if one can't be read.
"""


def main(arguments: list[str]) -> int:
    """Runs the command; returns its exit status."""
    options = _parser().parse_args(arguments)
    try:
        first = read_values(options.first, trust=options.trust)
        second = read_values(options.second, trust=options.trust)
    except Unreadable as error:
        print(error, file=sys.stderr)
        return UNREADABLE
    difference = diff(_tree(first), _tree(second), rtol=options.rtol, atol=options.atol)
    for which, source, values in (
        ("first", options.first, first),
        ("second", options.second, second),
    ):
        print(f"{which + ':':8}{source}, {_size_text(values)}")
    for line in _describe(difference, first, second):
        print(line)
    return DIFFERENT if difference else SAME


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m haiku compare",
        description=_ABOUT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("first", metavar="A")
    parser.add_argument("second", metavar="B")
    parser.add_argument("--trust", action="store_true", help="let pickles run code")
    for option, kind in (("--rtol", "relative"), ("--atol", "absolute")):
        text = f"{kind} tolerance for numbers, default 0"
        parser.add_argument(option, type=float, default=0.0, help=text)
    return parser


def _tree(values: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    tree: dict[str, dict[str, Any]] = {}
    for path, value in values.items():
        module, _, name = path.rpartition("/")
        tree.setdefault(module or "~", {})[name] = value
    return tree


def _size_text(values: Mapping[str, Any]) -> str:
    numbers = sum(int(np.prod(np.shape(x), dtype=np.int64)) for x in values.values())
    return f"{len(values):,} values, {numbers:,} numbers"


def _describe(
    difference: Difference, first: Mapping[str, Any], second: Mapping[str, Any]
) -> Iterator[str]:
    if any(_is_shape(x) for x in (*first.values(), *second.values())):
        yield "A model has no numbers: comparing only shapes and dtypes."
    if not difference:
        yield str(difference)
        return
    changed = difference.changed
    counts = {
        "only in the first": len(difference.removed),
        "only in the second": len(difference.added),
        "likely renamed": len(difference.renamed),
        "with another shape": sum(change.shape for change in changed),
        "with another dtype": sum(change.dtype for change in changed),
        "with other numbers": sum(bool(change.differing) for change in changed),
    }
    yield "; ".join(f"{count} {kind}" for kind, count in counts.items() if count) + "."
    furthest = max(changed, key=lambda change: change.max_abs, default=None)
    if furthest and furthest.max_abs:
        yield f"The largest difference is {furthest.max_abs:.3g}, at {furthest.path}."
    yield from _hint("first", first, "second", second)
    yield from _hint("second", second, "first", first)
    yield ""
    yield str(difference)


def _is_shape(value: Any) -> bool:
    return isinstance(value, jax.ShapeDtypeStruct)


def _hint(
    one: str, inner: Mapping[str, Any], other: str, outer: Mapping[str, Any]
) -> Iterator[str]:
    """A suggestion if one holds all paths of the other below some path."""
    path = next(iter(inner), None)
    if path is None or path in outer:
        return
    starts = [p.removesuffix(path) for p in outer if p.endswith(f"/{path}")]
    for start in sorted(starts, key=len):  # An optimizer's state repeats them deeper.
        if all(start + p in outer for p in inner):
            yield (
                f"The {other} holds all paths of the {one} below {start[:-1]!r}: to "
                f"compare these, append #{start[:-1]} to the {other}."
            )
            return
