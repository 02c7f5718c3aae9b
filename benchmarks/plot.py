"""Draws each section of RESULTS.md: every library's ratio to dm-haiku, row by row."""

import pathlib

import report
from libraries import OURS, REFERENCE

COLOURS = "#d62728", "#7f7f7f", "#1f77b4", "#2ca02c", "#9467bd", "#8c564b"
TICKS = [digit * 10.0**power for power in range(-3, 3) for digit in (1, 2, 5)]
MARKERS = "D", "o", "s", "^", "v", "P"


def draw(figures, libraries, title, nets, folder):
    """One small picture; empty without a ratio to show."""
    import matplotlib

    matplotlib.use("svg")
    # Text as text, and the same bytes each time.
    matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "benchmarks"})
    from matplotlib import pyplot

    measures = report.listed(nets)[::-1]
    pictured, axes = pyplot.subplots(figsize=(7, 0.8 + 0.22 * len(measures)))
    others = [x for x in libraries if x != REFERENCE]
    for library, colour, marker in zip(others, COLOURS, MARKERS):
        points = [
            (figures.ratio(library.title, REFERENCE.title, row), y)
            for y, (row, *_) in enumerate(measures)
        ]
        points = [(x, y) for x, y in points if x]
        if points:
            size, front = (36, 3) if library == OURS else (16, 2)
            axes.scatter(
                *zip(*points),
                s=size,
                color=colour,
                marker=marker,
                label=library.title,
                zorder=front,
            )
    for y, (_, _, target) in enumerate(measures):
        if target is not None:
            axes.plot([target] * 2, [y - 0.4, y + 0.4], color="black", lw=1)
    axes.axvline(1, color="black", lw=0.5)
    axes.set_xscale("log")
    low, high = axes.get_xlim()
    ticks = [x for x in TICKS if low <= x <= high]
    axes.set_xticks(ticks, [f"{x:g}" for x in ticks])
    axes.set_xticks([], minor=True)
    axes.set_yticks(range(len(measures)), [row for row, *_ in measures], fontsize=7)
    axes.set_xlabel("ratio to dm-haiku (less is better); bars: targets", fontsize=7)
    axes.tick_params(axis="x", labelsize=7)
    axes.grid(axis="y", lw=0.3)
    axes.legend(fontsize=6, ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1))
    path = folder / f"{title.lower().replace(' ', '-')}.svg"
    pictured.savefig(path, bbox_inches="tight", metadata={"Date": None})
    pyplot.close(pictured)
    return path


def sections(figures, libraries, chosen):
    """Draws all of them into plots/; title -> file."""
    folder = pathlib.Path(__file__).resolve().parent / "plots"
    folder.mkdir(exist_ok=True)
    return {
        title: draw(figures, libraries, title, nets, folder)
        for title, nets in chosen.items()
    }
