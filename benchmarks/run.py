"""Puts ours beside dm-haiku, flax.linen, flax.nnx, equinox and JAX by hand.

    python benchmarks/run.py                # the quick set, under 10 minutes on 2 cores
    python benchmarks/run.py --full         # every row
    python benchmarks/run.py --rounds 1 --samples 3 --rows "pre-norm 24" pairformer
    python benchmarks/run.py --out figures.jsonl      # goes on where it was stopped

Needs what benchmarks/requirements.txt lists. Every library runs in a process of its
own, in turns, round after round, so that load on the machine falls on all alike. A run
of all rows and libraries writes RESULTS.md and plots/; any other prints its tables.
"""

import argparse
import json
import pathlib
import sys

import plot
import report
import rows
from figures import Figures
from libraries import AGAIN, LIBRARIES, OURS, REFERENCE, run, warm, work

HERE = pathlib.Path(__file__).resolve().parent
RL_OPS = "RL ops"
FRESH_SAMPLES = 2  # of quantities that need a new process, in each round


def progress(jobs):
    """The jobs in turn, with a bar where tqdm is installed."""
    try:
        from tqdm import tqdm
    except ImportError:
        for i, job in enumerate(jobs):
            print(f"{i + 1}/{len(jobs)} {job}", file=sys.stderr, flush=True)
            yield job
    else:
        yield from tqdm(jobs, smoothing=0)


def schedule(titles, sections, rounds, samples, seconds):
    """(round, library, net, measures, effort) of each process, libraries in turns."""
    jobs = []
    for i in range(rounds):
        # Each round starts with another library: none always runs first.
        turn = [*titles[i % len(titles) :], *titles[: i % len(titles)]]
        for nets in sections.values():
            for net, measures in nets.items():
                fresh = [x for x in measures if x in rows.FRESH]
                for what in fresh:  # one sample a process, which its number tells apart
                    for k in range(min(samples, FRESH_SAMPLES)):
                        jobs += [(i, x, net, [what], (k, 0)) for x in turn]
                others = [x for x in measures if x not in rows.FRESH]
                if others:
                    jobs += [(i, x, net, others, (samples, seconds)) for x in turn]
    return jobs


def measured(jobs, libraries, out):
    """Each job with its worker's result: run now, or read from an earlier file."""
    known = {}
    if out and out.exists():
        for line in out.read_text().splitlines():
            job, result = json.loads(line)
            known[json.dumps(job)] = result
    by_title = {x.title: x for x in libraries}
    for job in progress(jobs):
        result = known.get(json.dumps(job))
        if result is None:
            _, title, net, measures, effort = job
            result = work(by_title[title], net, measures, *effort)
            if out:
                with out.open("a") as lines:
                    lines.write(json.dumps([job, result]) + "\n")
        yield job, result


def measure(libraries, sections, rounds, samples, seconds, out=None):
    """The figures of these libraries, from processes of theirs."""
    for library in libraries:
        warm(library)
    titles = [x.title for x in libraries]
    jobs = schedule(titles, sections, rounds, samples, seconds)
    figures = Figures()
    for (i, title, net, *_), result in measured(jobs, libraries, out):
        figures.add(i, title, net, result)
    return figures


def options():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--full", action="store_true", help="every row")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--samples", type=int, default=3, help="per process and row")
    parser.add_argument(
        "--seconds", type=float, default=3, help="after these, no more samples of a row"
    )
    titles = [x.title for x in LIBRARIES]
    parser.add_argument("--libraries", nargs="+", choices=titles, default=titles)
    parser.add_argument("--rows", nargs="+", default=[""], help="rows containing these")
    parser.add_argument(
        "--out", type=pathlib.Path, help="JSON lines; processes there are not run again"
    )
    chosen = parser.parse_args()
    if chosen.rounds < 1 or chosen.samples < 1:
        parser.error("--rounds and --samples are at least 1")
    return chosen


def rl_ops(chosen):
    """The table of rl_ops.py, which has both rlax in one process."""
    arguments = ["--rounds", chosen.samples * chosen.rounds]
    arguments += ["--full"] * chosen.full
    if chosen.out:
        arguments += ["--out", chosen.out.with_suffix(".rl.jsonl")]
    printed = run(REFERENCE, HERE / "rl_ops.py", *arguments)
    return "\n".join(line for line in printed.splitlines() if line.startswith("|"))


def main():
    chosen = options()
    sections = rows.chosen(chosen.rows, chosen.full)
    with_rl = any(x in RL_OPS for x in chosen.rows) and OURS.title in chosen.libraries
    if not sections and not with_rl:
        raise SystemExit(f"no row contains {chosen.rows}")
    libraries = [x for x in LIBRARIES if x.title in chosen.libraries]
    again = REFERENCE in libraries and (chosen.full or chosen.rows != [""])
    processes = [*libraries, AGAIN] if again else libraries
    before = report.load()
    figures = measure(
        processes,
        sections,
        chosen.rounds,
        chosen.samples,
        chosen.seconds,
        chosen.out,
    )
    text = report.text(figures, libraries, sections)
    if with_rl:
        text[RL_OPS] = rl_ops(chosen)
    print("\n\n".join(f"## {title}\n\n{part}" for title, part in text.items()))
    if chosen.rows == [""] and len(libraries) == len(LIBRARIES):
        plots = plot.sections(figures, libraries, sections)
        report.write(text, plots, before, chosen)
    wrong = figures.disagreements(REFERENCE.title)
    if wrong:
        raise SystemExit("\n".join(wrong))


if __name__ == "__main__":
    main()
