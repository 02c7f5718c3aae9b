"""Compares two commits of ours in one run, and fails where the new one is slower.

    python benchmarks/guard.py v0.1.0 HEAD
    python benchmarks/guard.py HEAD~1 HEAD --rows mlp dispatch --rounds 1

Each commit's src lies in its own worktree, and is measured by the benchmarks of
this checkout: rows of tracing, compiling, steps and dispatch, the processes in turns,
CPU time. The exit status is 1 if a ratio, new to old, is above 1.10, or numbers differ.
"""

import argparse
import contextlib
import pathlib
import subprocess
import sys
import tempfile

import report
import rows
from libraries import Library
from run import measure

LIMIT = 1.10
STEP = ("compile", "step")
WATCHED = {
    "mlp": (*rows.TRACED, "eager init", *STEP),
    "resnet50": rows.TRACED,
    "transformer": (*rows.TRACED, *STEP),
    "mixer 12": STEP,
    "GRU": STEP,
    "wide": ("dicts", "dicts and out"),
}


@contextlib.contextmanager
def worktree(commit):
    """A checkout of the commit, gone afterwards."""
    repository = pathlib.Path(__file__).resolve().parent.parent

    def git(*arguments):
        subprocess.run(["git", "-C", repository, "worktree", *arguments], check=True)

    with tempfile.TemporaryDirectory() as folder:
        place = pathlib.Path(folder, "checkout")
        git("add", "--quiet", "--detach", place, commit)
        try:
            yield place
        finally:
            git("remove", "--force", place)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("old")
    parser.add_argument("new")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--samples", type=int, default=15, help="per process and row")
    parser.add_argument(
        "--seconds",
        type=float,
        default=60,
        help="after these, no more samples of a row",
    )
    parser.add_argument("--rows", nargs="+", default=[""], help="rows containing these")
    parser.add_argument("--limit", type=float, default=LIMIT)
    options = parser.parse_args()

    nets = {
        net: {
            what: None
            for what in measures
            if any(x in rows.name(net, what) for x in options.rows)
        }
        for net, measures in WATCHED.items()
    }
    nets = {net: measures for net, measures in nets.items() if measures}
    with worktree(options.old) as old_place, worktree(options.new) as new_place:
        old = Library(f"old: {options.old}", "haiku", "haiku", str(old_place / "src"))
        new = Library(f"new: {options.new}", "haiku", "haiku", str(new_place / "src"))
        efforts = options.rounds, options.samples, options.seconds
        figures = measure((old, new), {"": nets}, *efforts)

    measures = report.listed(nets)
    print(report.table(figures, (old, new), measures, reference=old))
    failures = figures.disagreements(old.title)
    for row, *_ in measures:
        ratio = figures.ratio(new.title, old.title, row)
        if ratio > options.limit:
            failures.append(f"{row}: {ratio:.2f} of {options.old}")
    if failures:
        print("\n".join(failures), file=sys.stderr)
        raise SystemExit(1)


if __name__ == "__main__":
    main()
