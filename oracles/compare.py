"""What the reference computes and ours refuses, or computes otherwise.

    python oracles/compare.py rlax REFERENCE.pickle OURS.pickle

Each combination that stays refused or different matches a line of `SUITE_kept.txt`: a
pattern of case names, words from the row of the page of differences that says why, and
where the first pattern is broad, a pattern of what differs; with tabs between. It fails
if a combination has no such line, or a line matches nothing.
"""

import fnmatch
import pathlib
import pickle
import sys

import numpy as np

HERE = pathlib.Path(__file__).parent
PAGES = {"haiku": "differences.md", "rlax": "differences_rlax.md"}


def difference(reference, ours, half=False):
    """What stands between two results, in a few words; None where they agree.

    Numbers that went through half precision agree in fewer digits.
    """
    if reference[0] == "error":
        return None
    if ours[0] == "error":
        return f"refused: {ours[1]}"
    if len(reference[1]) != len(ours[1]):
        return f"{len(ours[1])} arrays, not {len(reference[1])}"
    for (dtype, want), (our_dtype, have) in zip(reference[1], ours[1]):
        if want.shape != have.shape:
            return f"shape {have.shape}, not {want.shape}"
        if dtype != our_dtype:
            return f"dtype {our_dtype}, not {dtype}"
        if not np.issubdtype(want.dtype, np.number):
            same = np.array_equal(want, have)
        else:
            tolerance = 2e-2 if half or "16" in dtype else 1e-4
            same = np.allclose(have, want, tolerance, tolerance, equal_nan=True)
        if not same:
            return "another number"
    return None


def kept(suite):
    """Pairs of patterns, of names and of what differs; each has its row on the page."""
    page = (HERE.parent / "docs" / PAGES[suite]).read_text(encoding="utf-8")
    lines = (HERE / f"{suite}_kept.txt").read_text(encoding="utf-8").splitlines()
    rows = [line.split("\t") for line in lines if line and line[0] != "#"]
    missing = [words for _, words, *_ in rows if words not in page]
    if missing:
        sys.exit(f"{PAGES[suite]} has no row with: {missing}")
    return [(name, what[0] if what else "*") for name, _, *what in rows]


def main(suite, reference, ours):
    reference, ours = (
        pickle.loads(pathlib.Path(f).read_bytes()) for f in (reference, ours)
    )
    rows, used, refused, other, unexplained = kept(suite), set(), 0, 0, []
    for name, result in reference.items():
        problem = difference(result, ours[name], half="16" in name)
        if problem is None:
            continue
        refused += problem.startswith("refused")
        other += not problem.startswith("refused")
        matches = fnmatch.fnmatchcase
        why = [p for p in rows if matches(name, p[0]) and matches(problem, p[1])]
        used.update(why)
        if not why:
            unexplained.append(f"  {name}: {problem}")
    print(*unexplained, sep="\n")
    computed = sum(kind == "value" for kind, _ in reference.values())
    print(
        f"{suite}: {len(reference)} combinations, the reference computes {computed}; "
        f"ours refuses {refused} of these and differs in {other}; "
        f"{len(unexplained)} without a reason"
    )
    idle = sorted(set(rows) - used)
    if idle:
        print(f"{suite}_kept.txt: nothing matches {idle}")
    return bool(unexplained or idle)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
