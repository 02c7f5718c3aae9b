"""Writes rows as a table of text: with the `tabulate` package, or without it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Rows = Sequence[Sequence[str]]  # Cells of text, which may have several lines.


def written(
    rows: Rows,
    headers: Sequence[str],
    sides: Sequence[str],
    options: Mapping[str, Any],
) -> str:
    """Writes a table with the options of `tabulate.tabulate`.

    Each column is aligned to its side, `left` or `right`. Without the package there is
    only the option `tablefmt`, `grid` or `plain`.
    """
    if not isinstance(options, Mapping):
        raise TypeError(
            "tabulate_kwargs is a dictionary of options for the tabulate package, such "
            f'as {{"tablefmt": "grid"}}, got {type(options).__name__}: {options!r}.'
        )
    try:
        from tabulate import tabulate
    except ModuleNotFoundError as e:
        if set(options) - {"tablefmt"} or options.get("tablefmt") not in _WRITERS:
            raise ModuleNotFoundError(
                f"A table with the options {dict(options)} needs the tabulate "
                "package: pip install 'renga-jax[views]'. Without it there are "
                'tabulate_kwargs={"tablefmt": "grid"} and {"tablefmt": "plain"}.',
                name="tabulate",
            ) from e
        return _WRITERS[options["tablefmt"]](rows, headers, sides)
    if options.get("showindex", "default") not in ("default", "never", False):
        sides = ["right", *sides]
    # Without sides, tabulate would align texts such as `1,000` as numbers.
    return tabulate(rows, **{"headers": headers, "colalign": sides, **options})


def grid(rows: Rows, headers: Sequence[str], sides: Sequence[str]) -> str:
    """Writes a table with a line around each cell, as the `tabulate` package does."""
    widths, (header, *body) = _aligned(rows, headers, sides)

    def rule(mark: str) -> str:
        return "+" + "+".join(mark * (width + 2) for width in widths) + "+"

    def boxed(row: list[tuple[str, ...]]) -> list[str]:
        return ["| " + " | ".join(line) + " |" for line in row]

    out = [rule("-"), *boxed(header), rule("=")]
    for row in body:
        out += [*boxed(row), rule("-")]
    return "\n".join(out)


def plain(rows: Rows, headers: Sequence[str], sides: Sequence[str]) -> str:
    """Writes a table without lines, as the `tabulate` package does."""
    _, lines = _aligned(rows, headers, sides)
    return "\n".join("  ".join(line).rstrip() for row in lines for line in row)


_WRITERS = {"grid": grid, "plain": plain}


def _aligned(
    rows: Rows, headers: Sequence[str], sides: Sequence[str]
) -> tuple[list[int], list[list[tuple[str, ...]]]]:
    """The width of each column; and the lines of each row, the headers first."""
    cells = [[str(cell).split("\n") for cell in row] for row in (headers, *rows)]
    # A header needs two letters more than its text.
    widths = [
        max(len(line) + 2 * (cell is column[0]) for cell in column for line in cell)
        for column in zip(*cells)
    ]

    def line(row: list[list[str]], number: int) -> tuple[str, ...]:
        texts = (cell[number] if number < len(cell) else "" for cell in row)
        return tuple(
            text.rjust(width) if side == "right" else text.ljust(width)
            for text, width, side in zip(texts, widths, sides)
        )

    return widths, [[line(row, i) for i in range(max(map(len, row)))] for row in cells]
