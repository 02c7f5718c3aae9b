"""The command: reads two things, says in words what differs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import numpy as np

from haiku._compare.reading import Unreadable, values_at
from haiku.surgery import Difference, diff

__all__ = ["main"]

SAME, DIFFERENT, UNREADABLE = 0, 1, 2

_ABOUT = """\
Says what differs between two checkpoints, or between a checkpoint and a model: paths,
shapes, dtypes, numbers, and what was likely renamed. Each is one of
  - a file: .npz, .safetensors, or a pickle;
  - a folder that Orbax wrote;
  - package.module:function, where the function takes nothing and returns what `init`
    returns. It is run for its shapes alone.
FILE#part takes what is below a path: train_state.pkl#params.

A pickle is a program. Of one, arrays and containers are read, and an error names what
else it wants to load; --trust lets it.

The exit status is 0 if both are the same, 1 if they differ, 2 if one can't be read.
"""


def main(arguments: list[str]) -> int:
    """Runs the command; returns its exit status."""
    chosen = _parser().parse_args(arguments)
    try:
        first = values_at(chosen.first, trust=chosen.trust)
        second = values_at(chosen.second, trust=chosen.trust)
    except Unreadable as error:
        print(error, file=sys.stderr)
        return UNREADABLE
    difference = diff(_tree(first), _tree(second), rtol=chosen.rtol, atol=chosen.atol)
    for which, named, values in (
        ("first", chosen.first, first),
        ("second", chosen.second, second),
    ):
        print(f"{which + ':':8}{named}, {_amount(values)}")
    for line in _told(difference, first, second):
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
    for option, how in (("--rtol", "as part of it"), ("--atol", "absolutely")):
        far = f"how far a number may be from that in A, {how}; default 0"
        parser.add_argument(option, type=float, default=0.0, help=far)
    return parser


def _tree(values: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    tree: dict[str, dict[str, Any]] = {}
    for path, value in values.items():
        module, _, name = path.rpartition("/")
        tree.setdefault(module or "~", {})[name] = value
    return tree


def _amount(values: Mapping[str, Any]) -> str:
    numbers = sum(int(np.prod(np.shape(x), dtype=np.int64)) for x in values.values())
    return f"{len(values):,} values, {numbers:,} numbers"


def _told(
    difference: Difference, first: Mapping[str, Any], second: Mapping[str, Any]
) -> Iterator[str]:
    if any(_is_shape(x) for x in (*first.values(), *second.values())):
        yield "A model has no numbers: shapes and dtypes alone are compared."
    if not difference:
        yield str(difference)
        return
    changed = difference.changed
    counts = {
        "only in the first": len(difference.removed),
        "only in the second": len(difference.added),
        "likely renamed": len(difference.renamed),
        "of another shape": sum(change.shape for change in changed),
        "of another dtype": sum(change.dtype for change in changed),
        "with other numbers": sum(bool(change.differing) for change in changed),
    }
    yield "; ".join(f"{count} {what}" for what, count in counts.items() if count) + "."
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
    """What to write where all of one is in the other, below some path."""
    path = next(iter(inner), None)
    if path is None or path in outer:
        return
    starts = [p.removesuffix(path) for p in outer if p.endswith(f"/{path}")]
    for start in sorted(starts, key=len):  # An optimiser's state has them too, deeper.
        if all(start + p in outer for p in inner):
            yield (
                f"All paths of the {one} are in the {other}, below {start[:-1]!r}: to "
                f"compare these, write #{start[:-1]} behind the {other}."
            )
            return
