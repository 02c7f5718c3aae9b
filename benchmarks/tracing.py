"""Times what haiku adds to JAX beside dm-haiku, flax.linen, flax.nnx and equinox.

    python benchmarks/tracing.py                          # the table in README.md
    python benchmarks/tracing.py --rounds 1 --samples 5   # a quick look
    python benchmarks/tracing.py --libraries ours --rows mlp dispatch
    python benchmarks/tracing.py --out times.jsonl        # goes on where it was stopped

Needs what benchmarks/requirements.txt lists. Every library runs in a process of its
own, in turns, round after round, so that load on the machine falls on all alike; times
are CPU time of the process. A ratio below 1 is faster than dm-haiku. Only a run of all
rows and libraries writes README.md.
"""

import argparse
import importlib.metadata
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys

import worker

HERE = pathlib.Path(__file__).resolve().parent
REFERENCE, AGAIN = "dm-haiku", "dm-haiku again"
LIBRARIES = (REFERENCE, "ours", "linen", "nnx", "equinox")
TITLES = {"linen": "flax.linen", "nnx": "flax.nnx"}
# What ours should cost as a fraction of dm-haiku, where that was set.
TARGETS = {
    "import": 0.35,
    "mlp init traced": 0.35,
    "mlp apply traced": 0.35,
    "mlp value-and-grad traced": 0.85,
    "mlp eager init": 0.45,
    "resnet50 init traced": 0.45,
    "resnet50 apply traced": 0.40,
    "resnet50 value-and-grad traced": 0.85,
    "transformer init traced": 0.45,
    "transformer apply traced": 0.50,
    "transformer value-and-grad traced": 0.85,
    worker.DISPATCH: 0.85,
    worker.DISPATCH_LIST: None,
}
BEGIN, END = "<!-- tracing.py writes from here -->", "<!-- to here -->"


def run(library, *arguments):
    """What a process of its own prints, with this library on its path."""
    environment = dict(os.environ, JAX_PLATFORMS="cpu")
    for name in ("PYTHONDONTWRITEBYTECODE", "PYTHONPATH"):
        environment.pop(name, None)
    if library == "ours":
        environment["PYTHONPATH"] = str(HERE.parent / "src")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", *map(str, arguments)],
        env=environment,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise SystemExit(f"{library}: {' '.join(map(str, arguments))}\n{done.stderr}")
    return done.stdout


def progress(jobs):
    """The jobs in turn, with a bar where tqdm is installed."""
    try:
        from tqdm import tqdm
    except ImportError:
        for i, job in enumerate(jobs):
            print(f"{i + 1}/{len(jobs)} {job[1]}", file=sys.stderr, flush=True)
            yield job
    else:
        yield from tqdm(jobs, smoothing=0)


def schedule(libraries, rows, rounds, samples):
    """(round, library, samples, rows) of each process, the libraries in turns."""
    jobs = []
    for i in range(rounds):
        # Each round starts with another library: none always runs first.
        turn = [*libraries[i % len(libraries) :], *libraries[: i % len(libraries)]]
        if "import" in rows:  # one sample a process
            processes = -(-samples // rounds)
            jobs += [(i, x, 1, ["import"]) for _ in range(processes) for x in turn]
        others = [row for row in rows if row != "import"]
        if others:
            jobs += [(i, x, samples, others) for x in turn]
    return jobs


def measured(jobs, out):
    """Each job with its worker's result: run now, or read from an earlier file."""
    known = {}
    if out and out.exists():
        for line in out.read_text().splitlines():
            job, result = json.loads(line)
            known.setdefault(json.dumps(job), []).append(result)
    for job in progress(jobs):
        earlier = known.get(json.dumps(job))
        if earlier:
            yield job, earlier.pop()
            continue
        _, library, samples, rows = job
        name = REFERENCE if library == AGAIN else library
        result = json.loads(run(name, HERE / "worker.py", name, samples, *rows))
        if out:
            with out.open("a") as lines:
                lines.write(json.dumps([job, result]) + "\n")
        yield job, result


def collect(results):
    """Maps library -> row -> medians of the rounds; all nets must be equally large."""
    found, sizes = {}, {}
    for (i, library, _, _), result in results:
        for row, figure in result["rows"].items():
            of_row = found.setdefault(library, {}).setdefault(row, {})
            of_row.setdefault(i, []).append(figure)
        for net, parameters in result["parameters"].items():
            known = sizes.setdefault(net, (library, parameters))
            if known[1] != parameters:
                raise SystemExit(
                    f"{net} has {len(parameters)} parameters of {sum(parameters)} "
                    f"numbers in {library}, {len(known[1])} of {sum(known[1])} "
                    f"in {known[0]}"
                )
    return {
        library: {
            row: [statistics.median(x) for x in of_row.values()]
            for row, of_row in of_library.items()
        }
        for library, of_library in found.items()
    }


def ratio(figures, library, row):
    return statistics.median(figures[library][row]) / statistics.median(
        figures[REFERENCE][row]
    )


def table(figures, libraries, rows):
    compared = [x for x in libraries if x != REFERENCE and REFERENCE in libraries]
    head = ["CPU ms (us for dispatch)"]
    for library in libraries:
        head.append(TITLES.get(library, library))
        if library in compared:
            head.append("ratio")
        if library == "ours" and compared:
            head.append("target")
    lines = [head, ["---", *["--:"] * (len(head) - 1)]]
    for row in rows:
        cells = [row]
        for library in libraries:
            values = figures[library][row]
            low, high = min(values), max(values)
            cells.append(f"{statistics.median(values):.1f} ({low:.0f}..{high:.0f})")
            if library in compared:
                mark = "**" if library == "ours" else ""
                cells.append(f"{mark}{ratio(figures, library, row):.2f}{mark}")
            if library == "ours" and compared:
                cells.append("" if TARGETS[row] is None else f"{TARGETS[row]:.2f}")
        lines.append(cells)
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def sanity(figures, rows):
    """How far dm-haiku in a second process is from itself."""
    ratios = sorted(ratio(figures, AGAIN, row) for row in rows)
    return (
        f"dm-haiku against itself, in two processes: {statistics.median(ratios):.2f} "
        f"(over the rows {ratios[0]:.2f}..{ratios[-1]:.2f})."
    )


def processor():
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [x.partition(":")[2].strip() for x in lines if x.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def machine():
    packages = ("jax", "jaxlib", "dm-haiku", "flax", "equinox")
    versions = [f"{x} {importlib.metadata.version(x)}" for x in packages]
    return (
        f"{processor()}, {os.cpu_count()} cores, {platform.system()}; "
        f"Python {platform.python_version()}, {', '.join(versions)}."
    )


def load():
    """The machine's load average over five minutes, where the system tells it."""
    return f"{os.getloadavg()[1]:.1f}" if hasattr(os, "getloadavg") else "unknown"


def write(text):
    readme = HERE / "README.md"
    before, begin, rest = readme.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"{readme} lacks the lines {BEGIN!r} and {END!r}")
    readme.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--samples", type=int, default=15, help="per process and row")
    parser.add_argument("--libraries", nargs="+", choices=LIBRARIES, default=LIBRARIES)
    parser.add_argument("--rows", nargs="+", default=[""], help="rows containing these")
    parser.add_argument(
        "--out", type=pathlib.Path, help="JSON lines; processes there are not run again"
    )
    options = parser.parse_args()
    if options.rounds < 1 or options.samples < 1:
        parser.error("--rounds and --samples are at least 1")

    libraries = [x for x in LIBRARIES if x in options.libraries]
    rows = [row for row in TARGETS if any(x in row for x in options.rows)]
    if not rows:
        parser.error(f"no row contains {options.rows}; rows are {list(TARGETS)}")
    processes = [*libraries, AGAIN] if REFERENCE in libraries else libraries
    for library in libraries:  # so that Python's byte code is cached for all
        run(library, "-c", f"import jax, {worker.PACKAGES[library]}")
    before = load()
    jobs = schedule(processes, rows, options.rounds, options.samples)
    figures = collect(measured(jobs, options.out))

    text = table(figures, libraries, rows)
    if REFERENCE in libraries:
        text = f"{sanity(figures, rows)}\n\n{text}"
    command = (
        f"python benchmarks/tracing.py --rounds {options.rounds} "
        f"--samples {options.samples}"
    )
    if libraries != list(LIBRARIES):
        command += f" --libraries {' '.join(libraries)}"
    if options.rows != [""]:
        command += f" --rows {' '.join(map(repr, options.rows))}"
    text = (
        f"    {command}\n\n{machine()} Load average {before} at the start, {load()} at "
        f"the end. Medians of rounds (lowest..highest): {options.rounds} of "
        f"{options.samples} samples each.\n\n{text}"
    )
    print(text)
    if len(libraries) == len(LIBRARIES) and len(rows) == len(TARGETS):
        write(text)


if __name__ == "__main__":
    main()
