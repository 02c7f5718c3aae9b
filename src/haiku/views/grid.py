"""Writing rows as a table: with the `tabulate` package, or without it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def written(
    rows: Sequence[Sequence[str]],
    headers: Sequence[str],
    alignments: Sequence[str],
    options: Mapping[str, Any],
) -> str:
    """Writes a table.

    Args:
      rows: Cells as text, which may have several lines.
      headers: Text above each column.
      alignments: `left` or `right` for each column.
      options: What `tabulate.tabulate` takes. Without that package, only `tablefmt`:
        `grid` or `plain`.

    Returns:
      The table, without a newline at its end.

    Raises:
      ModuleNotFoundError: The options need the `tabulate` package, which isn't there.
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
        return _WRITERS[options["tablefmt"]](rows, headers, alignments)
    if options.get("showindex", "default") not in ("default", "never", False):
        alignments = ["right", *alignments]
    # Without `disable_numparse` the texts `1,000` and `12` would be numbers.
    return tabulate(rows, **{"headers": headers, "colalign": alignments, **options})


def grid(
    rows: Sequence[Sequence[str]], headers: Sequence[str], alignments: Sequence[str]
) -> str:
    """Writes a table with a line around each cell, as the `tabulate` package does."""
    lines = _cells(rows, headers, alignments)
    widths = _widths(lines)

    def rule(mark: str) -> str:
        return "+" + "+".join(mark * (width + 2) for width in widths) + "+"

    out = [rule("-")]
    for i, row in enumerate(lines):
        out += [
            "| " + " | ".join(line) + " |" for line in _filled(row, widths, alignments)
        ]
        out.append(rule("-" if i else "="))
    return "\n".join(out)


def plain(
    rows: Sequence[Sequence[str]], headers: Sequence[str], alignments: Sequence[str]
) -> str:
    """Writes a table without lines, as the `tabulate` package does."""
    lines = _cells(rows, headers, alignments)
    widths = _widths(lines)
    return "\n".join(
        "  ".join(line).rstrip()
        for row in lines
        for line in _filled(row, widths, alignments)
    )


_WRITERS = {"grid": grid, "plain": plain}


def _cells(rows, headers, alignments) -> list[list[list[str]]]:
    """The lines of each cell; the header is the first row."""
    return [[str(cell).split("\n") for cell in row] for row in (headers, *rows)]


def _widths(lines: list[list[list[str]]]) -> list[int]:
    # A header is two wider than its text.
    lines = [[[line + "  " for line in cell] for cell in lines[0]], *lines[1:]]
    return [
        max(len(line) for cell in column for line in cell) for column in zip(*lines)
    ]


def _filled(
    row: list[list[str]], widths: Sequence[int], alignments: Sequence[str]
) -> list[list[str]]:
    height = max(len(cell) for cell in row)
    return [
        [
            _aligned(cell[i] if i < len(cell) else "", width, side)
            for cell, width, side in zip(row, widths, alignments)
        ]
        for i in range(height)
    ]


def _aligned(text: str, width: int, side: str) -> str:
    space = " " * (width - len(text))
    return space + text if side == "right" else text + space
