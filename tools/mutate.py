"""Breaks the code in small ways, and sees whether the tests notice.

    python tools/mutate.py               # 60 places; fails if fewer than 55 are caught
    python tools/mutate.py --seed 7 --places 8
    python tools/mutate.py --only 12 40  # some of them again

Four kinds of places, as many of each: an operator (flipped), a `stop_gradient`
(dropped), an index or a whole number (one more), and two names in a call (swapped).
Each stands alone in a copy of the checkout. The tests that name what the file defines
run first, then all that could notice. Annotations and strings are left alone.
"""

import argparse
import ast
import collections
import concurrent.futures
import copy
import difflib
import functools
import os
import pathlib
import random
import re
import shutil
import subprocess
import sys
import tempfile
from typing import NamedTuple

ROOT = pathlib.Path(__file__).resolve().parent.parent
COPIED = "src", "tests", "docs", "examples", "benchmarks"
NEAREST = 6  # test files that run first
LONGEST = 2400  # seconds; a test that hangs has noticed
FLIPPED = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Pow: ast.Mult,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.And: ast.Or,
    ast.Or: ast.And,
}
KINDS = "operator", "stop_gradient", "number", "names"


# ---- Places -----------------------------------------------------------------------


class Place(NamedTuple):
    """A file, and what it would hold with a small change."""

    number: int
    file: pathlib.Path
    line: int
    kind: str
    new_text: str


def mutations(node):
    """Pairs (kind, what to write instead of a node)."""
    new = copy.deepcopy(node)
    if isinstance(node, (ast.BinOp, ast.BoolOp)) and type(node.op) in FLIPPED:
        new.op = FLIPPED[type(node.op)]()
        yield "operator", new
    if isinstance(node, ast.Compare) and type(node.ops[0]) in FLIPPED:
        new.ops[0] = FLIPPED[type(node.ops[0])]()
        yield "operator", new
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.Not, ast.USub)):
        yield "operator", node.operand
    if isinstance(node, ast.Constant) and type(node.value) is int:
        new.value += 1
        yield "number", new
    if isinstance(node, ast.Call):
        if ast.unparse(node.func).endswith("stop_gradient") and len(node.args) == 1:
            yield "stop_gradient", node.args[0]
        names = [x for x in node.args if isinstance(x, ast.Name)]
        if len(names) > 1 and names[0].id != names[1].id:
            a, b = (node.args.index(x) for x in names[:2])
            new.args[a], new.args[b] = new.args[b], new.args[a]
            yield "names", new


def places_in(tree):
    """Triples (node, kind, replacement), not of annotations and strings."""
    fields = {"annotation", "returns"}
    for field, value in ast.iter_fields(tree):
        if field in fields:
            continue
        for node in value if isinstance(value, list) else [value]:
            if not isinstance(node, ast.AST) or isinstance(node, ast.JoinedStr):
                continue
            if isinstance(node, ast.expr):
                for kind, new in mutations(node):
                    yield node, kind, new
            yield from places_in(node)


def replaced(text, node, new):
    """The file's text with a node's text changed."""
    lines = text.encode().splitlines(keepends=True)
    start = sum(map(len, lines[: node.lineno - 1])) + node.col_offset
    end = sum(map(len, lines[: node.end_lineno - 1])) + node.end_col_offset
    source = text.encode()
    written = f"({ast.unparse(new)})".encode()
    return (source[:start] + written + source[end:]).decode()


def chosen(number, seed):
    """`number` places, as many of each kind."""
    found = collections.defaultdict(list)
    for file in sorted((ROOT / "src").rglob("*.py")):
        text = file.read_text()
        for node, kind, new in places_in(ast.parse(text)):
            found[kind].append((file.relative_to(ROOT), node, new, text))
    random_ = random.Random(seed)
    for kind in KINDS:
        random_.shuffle(found[kind])
    places = []
    for i in range(number):
        kind = KINDS[i % len(KINDS)]
        file, node, new, text = found[kind][i // len(KINDS)]
        new_text = replaced(text, node, new)
        places.append(Place(i + 1, file, node.lineno, kind, new_text))
    return places


# ---- Tests ------------------------------------------------------------------------


def nearest_tests(file):
    """The test files that name most often what a file defines, and its doctests."""
    tree = ast.parse((ROOT / file).read_text())
    names = {
        x.name for x in ast.walk(tree) if isinstance(x, (ast.ClassDef, ast.FunctionDef))
    }
    names = {name for name in names if not name.startswith("_")} | {file.stem}
    word = re.compile(rf"\b({'|'.join(map(re.escape, sorted(names)))})\b")
    package = ROOT / "tests" / file.parts[1]
    counted = {
        test: len(word.findall(test.read_text())) for test in package.rglob("test_*.py")
    }
    best = sorted(counted, key=counted.get, reverse=True)[:NEAREST]
    return [str(file), *(str(x.relative_to(ROOT)) for x in best if counted[x])]


def all_tests(file):
    """What could notice a change of a file; haiku and rlax share nothing."""
    package = file.parts[1]
    other = {"haiku": "rlax", "rlax": "haiku"}[package]
    return ["tests", f"src/{package}", f"--ignore=tests/{other}"]


def first_failure(checkout, tests):
    """The first test that fails in a checkout, or None."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider"]
    environment = {**os.environ, "PYTHONPATH": str(checkout / "src")}
    try:
        done = subprocess.run(
            [*command, *tests],
            cwd=checkout,
            env=environment,
            capture_output=True,
            text=True,
            timeout=LONGEST,
        )
    except subprocess.TimeoutExpired:
        return "a test that did not end"
    if done.returncode in (0, 5):  # 5: no test was found
        return None
    failed = re.findall(r"^(?:FAILED|ERROR) (\S+)", done.stdout, re.MULTILINE)
    return failed[0] if failed else f"pytest, exit status {done.returncode}"


def noticed_by(place, tests):
    """The first of the tests that fails where a file holds the new text, or None."""
    with tempfile.TemporaryDirectory() as folder:
        copied = pathlib.Path(folder)
        for name in COPIED:
            shutil.copytree(ROOT / name, copied / name)
        for item in ROOT.iterdir():
            if item.is_file():
                shutil.copy(item, copied)
        (copied / place.file).write_text(place.new_text)
        return first_failure(copied, tests(place.file))


def described(place):
    """Where a place is, and what is different there."""
    old_text = (ROOT / place.file).read_text()
    lines = difflib.unified_diff(
        old_text.splitlines(), place.new_text.splitlines(), n=0, lineterm=""
    )
    shown = "\n".join("    " + line for line in list(lines)[3:])
    return f"{place.number:3} {place.file}:{place.line} ({place.kind})\n{shown}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--places", type=int, default=60)
    parser.add_argument("--at-least", type=int, help="by default 55 of 60")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2, help="places at a time")
    parser.add_argument("--only", type=int, nargs="+", help="numbers of places")
    options = parser.parse_args()
    places = chosen(options.places, options.seed)
    left = [p for p in places if not options.only or p.number in options.only]
    number, wanted = len(left), options.at_least or len(left) * 55 // 60
    for tests in nearest_tests, all_tests:
        print(f"{len(left)} places, {tests.__name__.replace('_', ' ')}:", flush=True)
        missed = []
        with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
            found = pool.map(functools.partial(noticed_by, tests=tests), left)
            for place, test in zip(left, found):
                print(f"{described(place)}\n    {test or 'NOT CAUGHT'}", flush=True)
                missed += [place] * (test is None)
        left = missed
    caught = number - len(left)
    print(f"{caught} of {number} were caught, wanted {wanted}")
    sys.exit(caught < wanted)


if __name__ == "__main__":
    main()
