"""Tables of the guide whose cells are found by tests.

A test finds a row and looks whether it stands in the guide. To write the rows that
differ, run the tests with `UPDATE_TABLES=1`.
"""

import os
import pathlib
import re

GUIDE = pathlib.Path(__file__).parents[2] / "docs/guide"


def check_row(page, name, cells):
    """Asserts that the page has the row, or puts it there with `UPDATE_TABLES`."""
    path = GUIDE / f"{page}.md"
    text = path.read_text(encoding="utf-8")
    row = f"| `{name}` | {' | '.join(cells)} |"
    there = re.search(rf"^\| `{re.escape(name)}` \|.*$", text, re.MULTILINE)
    assert there, f"{page}.md has no row for {name}: {row}"
    if "UPDATE_TABLES" in os.environ and there.group() != row:
        path.write_text(text.replace(there.group(), row), encoding="utf-8")
        return
    assert there.group() == row
