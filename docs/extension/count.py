"""Counts the programs in the documentation, and fails where one is not run.

python docs/extension/count.py
"""

import ast
import doctest
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).parent.parent.parent
SKIPPED = re.compile(
    r"doctest: *\+SKIP|skip-execution|raises-exception|nb_execution_mode"
)
CELL = re.compile(r"^```\{code-cell\}", re.MULTILINE)
BLOCK = re.compile(r"^```python$", re.MULTILINE)


def docstrings_with_examples():
    """Pairs (file, docstring) of all that have examples."""
    for file in sorted((ROOT / "src").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)):
                text = ast.get_docstring(node) or ""
                if doctest.DocTestParser().get_examples(text):
                    yield file, text


def main():
    examples = list(docstrings_with_examples())
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    texts = {page: page.read_text(encoding="utf-8") for page in pages}
    cells = {
        page: len(found) for page, t in texts.items() if (found := CELL.findall(t))
    }
    blocks = {
        page: len(found) for page, t in texts.items() if (found := BLOCK.findall(t))
    }
    typed = [p for p in (ROOT / "tests/typed").glob("*.py") if p.name != "check.py"]
    print(f"{len(examples)} docstrings with examples that run")
    print(f"{len(cells)} pages with {sum(cells.values())} cells that run")
    print(f"{len(blocks)} pages with {sum(blocks.values())} blocks of Python that run")
    print(f"{len(typed)} typed programs of users")
    skipped = [page for page, text in texts.items() if SKIPPED.search(text)]
    skipped += [file for file, text in examples if SKIPPED.search(text)]
    skipped += [page for page in blocks if page in cells]  # Only its cells would run.
    print(*(f"{path}: a program is not run" for path in skipped), sep="\n")
    sys.exit(bool(skipped))


if __name__ == "__main__":
    main()
