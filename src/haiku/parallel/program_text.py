"""What one device does in a compiled program, read from XLA's text of it."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterator

COLLECTIVES = (
    "all-gather",
    "all-reduce",
    "reduce-scatter",
    "all-to-all",
    "collective-permute",
)

_COMPUTATION = re.compile(r"^(ENTRY )?%?([\w.\-]+) (?:\(.*\) -> .*)?\{$")
_INSTRUCTION = re.compile(
    r"^\s+(?:ROOT )?%?([\w.\-]+) = (\(.*?\)|\S+) ([\w\-]+)\((.*)$"
)
_ARRAY = re.compile(r"(pred|[a-z]+\d+[a-z0-9]*)\[([\d,]*)\]")
_TRIPS = re.compile(r'known_trip_count":\{"n":"(\d+)"')
_CALLED = re.compile(r"(body|condition|calls|to_apply)=%?([\w.\-]+)")
_BRANCHES = re.compile(r"branch_computations=\{([^}]*)\}")


@dataclasses.dataclass(frozen=True)
class Instruction:
    """One line of a program.

    Attributes:
      name: Its name.
      shape: The text of its output's shape.
      operation: What it does.
      rest: Operands and attributes.
    """

    name: str
    shape: str
    operation: str
    rest: str


@dataclasses.dataclass
class Collective:
    """All collectives of one kind in a step.

    Attributes:
      kind: XLA's name, such as ``all-gather``.
      count: How often a device takes part in one, those in loops as often as they run.
      bytes: What a device receives in all.
      scatterable: The bytes among them of an ``all-reduce`` of which each device keeps
        a part alone: a GPU's or TPU's compiler makes a ``reduce-scatter`` of it.
    """

    kind: str
    count: int = 0
    bytes: int = 0
    scatterable: int = 0


def read_program(text: str) -> tuple[list[Collective], int]:
    """The collectives of a compiled program, and the operations of its products.

    Both are of one device. What is in a loop counts as often as the loop runs, where
    XLA knows that.

    Args:
      text: ``compiled.as_text()``.
    """
    computations, entry = _computations(text)
    found: dict[str, Collective] = {}
    flops = 0
    for name, times in _runs(computations, entry).items():
        shapes = {line.name: line.shape for line in computations[name]}
        for line in computations[name]:
            kind = line.operation.removesuffix("-start")
            if kind in COLLECTIVES:
                entry_of = found.setdefault(kind, Collective(kind))
                size = _bytes_of(line)
                entry_of.count += times
                entry_of.bytes += times * size
                if kind == "all-reduce" and _is_cut(line, computations, name):
                    entry_of.scatterable += times * size
            elif line.operation in ("dot", "convolution"):
                flops += times * _flops_of(line, shapes)
    return sorted(found.values(), key=lambda c: -c.bytes), flops


def _computations(text: str) -> tuple[dict[str, list[Instruction]], str]:
    out: dict[str, list[Instruction]] = {}
    entry, lines = "", []
    for row in text.splitlines():
        begins = _COMPUTATION.match(row)
        if begins:
            lines = out.setdefault(begins[2], [])
            entry = begins[2] if begins[1] else entry
        elif found := _INSTRUCTION.match(row):
            lines.append(Instruction(*found.groups()))
    return out, entry


def _runs(computations: dict[str, list[Instruction]], entry: str) -> dict[str, int]:
    """How often each computation runs in a call of the program."""
    times = dict.fromkeys(computations, 0)

    def visit(name: str, runs: int) -> None:
        times[name] += runs
        for line in computations[name]:
            known = _TRIPS.search(line.rest)
            loops = int(known[1]) if known and line.operation == "while" else 1
            for called in _called(line):
                if called in computations:
                    visit(called, runs * loops)

    visit(entry, 1)
    return {name: n for name, n in times.items() if n}


def _called(line: Instruction) -> Iterator[str]:
    for how, name in _CALLED.findall(line.rest):
        if how != "to_apply" or line.operation in ("call", "map"):
            yield name
    for names in _BRANCHES.findall(line.rest):
        for name in names.split(","):
            yield name.strip().lstrip("%")


def _bytes_of(line: Instruction) -> int:
    """Bytes of an output; of an asynchronous pair of input and output, the output's."""
    sizes = [_size(*array) for array in _ARRAY.findall(line.shape)]
    if line.operation.endswith("-start") and len(sizes) > 1:
        return sizes[1] if len(sizes) == 2 else sum(sizes[len(sizes) // 2 :])
    return sum(sizes)


def _size(dtype: str, dims: str) -> int:
    bits = 8 if dtype == "pred" else int(re.findall(r"\d+", dtype)[0])
    return math.prod(_dims(dims)) * bits // 8


def _dims(text: str) -> list[int]:
    return [int(n) for n in text.split(",") if n]


def _flops_of(line: Instruction, shapes: dict[str, str]) -> int:
    """Multiplications and additions of a product or a convolution."""
    outputs = _ARRAY.findall(line.shape)
    operands = re.findall(r"%?([\w.\-]+)", line.rest.split(")")[0].replace(" ", ","))
    of_operands = [_ARRAY.findall(shapes[o])[0] for o in operands if o in shapes]
    if not outputs or len(of_operands) < 2:
        return 0
    size = math.prod(_dims(outputs[0][1]))
    if line.operation == "dot":
        axes = re.search(r"lhs_contracting_dims=\{([\d,]*)\}", line.rest)
        left = _dims(of_operands[0][1])
        return 2 * size * math.prod(left[i] for i in _dims(axes[1] if axes else ""))
    labels = re.search(r"dim_labels=\w+_(\w+)->", line.rest)
    kernel = _dims(of_operands[1][1])
    if labels is None:
        return 0
    return 2 * size * math.prod(kernel) // kernel[labels[1].index("o")]


_MOVES = ("bitcast", "convert", "copy", "get-tuple-element", "transpose")


def _is_cut(
    line: Instruction, computations: dict[str, list[Instruction]], name: str
) -> bool:
    """Whether all that reads an output takes a slice of it."""
    reads = re.compile(rf"%?{re.escape(line.name)}(?![\w.\-])")
    users = [user for user in computations[name] if reads.search(user.rest)]

    def cuts(user: Instruction) -> bool:
        if user.operation in _MOVES:
            return _is_cut(user, computations, name)
        inside = [user.operation] + [
            part.operation
            for called in _called(user)
            for part in computations.get(called, ())
        ]
        return "dynamic-slice" in inside

    return bool(users) and all(cuts(user) for user in users)
