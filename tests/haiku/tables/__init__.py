"""Tables of expected cells, as Markdown beside this file; the guide includes them.

A test computes a row and compares it with the table's. Where behaviour changes on
purpose, run the tests with `UPDATE_TABLES=1` and read the difference before you commit.
"""

import os
import pathlib
import re

FOLDER = pathlib.Path(__file__).parent
ROW = re.compile(r"^\| `(.+?)` \|.*$", re.MULTILINE)


def rows(table):
    """Maps the name that each row starts with to the row."""
    text = (FOLDER / f"{table}.md").read_text(encoding="utf-8")
    return {match[1]: match[0] for match in ROW.finditer(text)}


def check_row(table, name, cells):
    """Asserts that the table has this row, or writes it with `UPDATE_TABLES`."""
    row = f"| `{name}` | {' | '.join(cells)} |"
    expected = rows(table).get(name)
    if "UPDATE_TABLES" in os.environ and row != expected:
        path = FOLDER / f"{table}.md"
        text = path.read_text(encoding="utf-8")
        text = text.replace(expected, row) if expected else f"{text}{row}\n"
        path.write_text(text, encoding="utf-8")
        return
    assert row == expected
