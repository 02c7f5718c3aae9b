"""The tables of RESULTS.md."""

import datetime
import importlib.metadata
import os
import pathlib
import platform
import statistics

import rows
from libraries import AGAIN, OURS, REFERENCE

HERE = pathlib.Path(__file__).resolve().parent
PACKAGES = "jax", "jaxlib", "numpy", "dm-haiku", "rlax", "flax", "equinox"


def markdown(lines):
    head, *body = lines
    rule = ["---", *["--:"] * (len(head) - 1)]
    return "\n".join(f"| {' | '.join(x)} |" for x in [head, rule, *body])


def shown(ratio, bold=False):
    if ratio is None:
        return ""
    return f"**{ratio:.2f}**" if bold else f"{ratio:.2f}"


def cell(values, scale):
    """A median, and how far the rounds lie apart."""
    if not values:
        return "-"
    low, middle, high = (
        f"{scale * x:.3g}" if scale * x < 100 else f"{scale * x:.0f}"
        for x in (min(values), statistics.median(values), max(values))
    )
    return middle if low == high else f"{middle} ({low}..{high})"


def table(figures, libraries, measures, clock=0, reference=REFERENCE):
    """Rows of one section, and ratios to the reference."""
    compared = [x for x in libraries if x != reference and reference in libraries]
    head = ["wall time" if clock else ""]
    for library in libraries:
        head.append(library.title)
        if library in compared:
            head.append("ratio")
            if library == OURS:
                head.append("target")
    lines = [head]
    for row, what, target in measures:
        unit, scale = rows.UNITS[what]
        cells = [f"{row}, {unit}"]
        for library in libraries:
            values = figures.rounds(library.title, row, clock)
            cells.append(cell(values, scale))
            if library in compared:
                ratio = figures.ratio(library.title, reference.title, row, clock)
                cells.append(shown(ratio, library == OURS))
                if library == OURS:
                    cells.append("" if target is None else f"{target:.2f}")
        lines.append(cells)
    return markdown(lines)


def agreement(figures, libraries, nets):
    """How far each library's numbers are from dm-haiku's."""
    others = [x for x in libraries if x != REFERENCE]
    lines = []
    for net in nets:
        found = [figures.deviation(net, x.title, REFERENCE.title) for x in others]
        if any(x is not None for x in found):
            lines.append([net, *("-" if x is None else f"{x:.0e}" for x in found)])
    if not lines:
        return ""
    return markdown([["numbers, from dm-haiku's", *(x.title for x in others)], *lines])


def sanity(figures, measures):
    """How far dm-haiku in a second process is from itself."""
    ratios = [figures.ratio(AGAIN.title, REFERENCE.title, row) for row, *_ in measures]
    ratios = sorted(x for x in ratios if x is not None)
    if not ratios:
        return ""
    return (
        f"dm-haiku against itself, in two processes: {statistics.median(ratios):.2f} "
        f"(over the rows {ratios[0]:.2f}..{ratios[-1]:.2f})."
    )


def listed(nets):
    """(row, what, target) of every row of these nets that is a figure."""
    return [
        (rows.name(net, what), what, target)
        for net, targets in nets.items()
        for what, target in targets.items()
        if what in rows.UNITS
    ]


def section(figures, libraries, nets):
    measures = listed(nets)
    parts = [sanity(figures, measures), table(figures, libraries, measures)]
    walled = [x for x in measures if x[1] in rows.WALL]
    if walled:
        parts.append(table(figures, libraries, walled, clock=1))
    parts.append(agreement(figures, libraries, nets))
    return "\n\n".join(x for x in parts if x)


def text(figures, libraries, sections):
    """Title -> what stands below it."""
    return {
        title: section(figures, libraries, nets) for title, nets in sections.items()
    }


def processor():
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [x.partition(":")[2].strip() for x in lines if x.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def machine():
    versions = [f"{x} {importlib.metadata.version(x)}" for x in PACKAGES]
    return (
        f"{processor()}, {os.cpu_count()} cores, {platform.system()}; "
        f"Python {platform.python_version()}, {', '.join(versions)}."
    )


def load():
    """The machine's load average over five minutes, where the system tells it."""
    return f"{os.getloadavg()[1]:.1f}" if hasattr(os, "getloadavg") else "unknown"


def write(sections, plots, before, options):
    """Writes RESULTS.md: the sections, a plot at the end of those that have one."""
    command = "python benchmarks/run.py" + " --full" * options.full
    command += f" --rounds {options.rounds} --samples {options.samples}"
    command += f" --seconds {options.seconds:g}"
    date = datetime.date.today().isoformat()
    head = (
        f"{date}. {machine()} Load average {before} at the start, {load()} at the end. "
        f"Medians of rounds (lowest..highest): {options.rounds} of {options.samples} "
        f"samples each, fewer where they took over {options.seconds:g} s. Times are "
        "CPU time unless a table says wall time. A ratio below 1 is less than "
        "dm-haiku. [What is measured, and how](README.md)."
    )
    parts = ["# Results", f"    {command}", head]
    for title, text in sections.items():
        parts += [f"## {title}", text]
        if title in plots:
            parts.append(f"![{title}](plots/{plots[title].name})")
    (HERE / "RESULTS.md").write_text("\n\n".join(parts) + "\n")
