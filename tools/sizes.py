"""How long the files and functions of src/ are, here or at commits.

python tools/sizes.py                # this checkout, and its longest functions
python tools/sizes.py OLD NEW        # a table of two commits
"""

import argparse
import ast
import pathlib
import statistics
import subprocess
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent


def files_in(src):
    """Maps each file below `src` to its text."""
    paths = sorted(src.rglob("*.py"))
    return {str(path.relative_to(src)): path.read_text() for path in paths}


def functions_in(files):
    """Triples (lines without the docstring, file, name), the longest first."""
    found = []

    def visit(node, file, around):
        for child in ast.iter_child_nodes(node):
            name = around
            if isinstance(child, (ast.FunctionDef, ast.ClassDef, ast.AsyncFunctionDef)):
                name = f"{around}.{child.name}".strip(".")
            if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)):
                first = child.body[0]
                words = 0
                if isinstance(first, ast.Expr) and isinstance(
                    first.value, ast.Constant
                ):
                    words = first.end_lineno - first.lineno + 1
                length = child.end_lineno - child.lineno + 1 - words
                found.append((length, file, name))
            visit(child, file, name)

    for file, text in files.items():
        visit(ast.parse(text), file, "")
    return sorted(found, reverse=True)


def lines_of_code(text):
    """How many lines hold code: no docstring, no comment, nothing empty."""
    words = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            words.update(range(node.lineno, node.end_lineno + 1))
    lines = enumerate(text.splitlines(), 1)
    return sum(
        number not in words and not line.lstrip().startswith("#") and bool(line.strip())
        for number, line in lines
    )


def sizes(src):
    """The rows of the table for one checkout."""
    files = files_in(src)
    functions = functions_in(files)
    lengths = {file: len(text.splitlines()) for file, text in files.items()}
    longest = max(lengths, key=lengths.get)
    length, file, name = functions[0]
    median = statistics.median(function[0] for function in functions)
    return {
        "lines of src": str(sum(lengths.values())),
        "of these code": str(sum(map(lines_of_code, files.values()))),
        "files": str(len(files)),
        "median file": f"{statistics.median(lengths.values()):.0f}",
        "longest file": f"{lengths[longest]} ({longest})",
        "files over 350 lines": str(sum(x > 350 for x in lengths.values())),
        "functions": str(len(functions)),
        "median function, without docstring": f"{median:.0f}",
        "longest function, without docstring": f"{length} ({file}: {name})",
    }


def at(commit):
    with tempfile.TemporaryDirectory() as folder:
        archive = subprocess.run(
            ["git", "-C", ROOT, "archive", commit, "src"],
            check=True,
            capture_output=True,
        )
        subprocess.run(["tar", "-x", "-C", folder], input=archive.stdout, check=True)
        return sizes(pathlib.Path(folder) / "src")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("commits", nargs="*")
    commits = parser.parse_args().commits
    columns = {commit: at(commit) for commit in commits} or {
        "here": sizes(ROOT / "src")
    }
    print("|  |", " | ".join(columns), "|")
    print("| --- |", "--: | " * len(columns))
    for row in next(iter(columns.values())):
        print(f"| {row} |", " | ".join(column[row] for column in columns.values()), "|")
    if not commits:
        print()
        for length, file, name in functions_in(files_in(ROOT / "src"))[:20]:
            print(f"{length:4} {file}: {name}")


if __name__ == "__main__":
    main()
