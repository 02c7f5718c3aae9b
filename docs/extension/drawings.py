"""Draws the house and the journeys from the code when the site is built.

    <img src="house/haiku.svg">     a picture by tools/house.py

    ```{journey} input
    ```                             a list by tools/journeys.py

A circle of imports, or a journey whose program fails, ends the build.
"""

import pathlib
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "tools"))
import house
import journeys

JOURNEY = re.compile(r"^```\{journey\} (\w+)\n```$", re.MULTILINE)


def _draw(app):
    """Draws the house beside the site; Sphinx copies the folder."""
    folder = pathlib.Path(app.outdir).parent / f"{app.builder.name}_drawings"
    house.draw(folder / "house")
    app.config.html_extra_path = [*app.config.html_extra_path, str(folder)]


def _follow(app, docname, source):
    """Replaces each journey on a page by its list."""
    del app, docname
    source[0] = JOURNEY.sub(
        lambda match: f"```text\n{journeys.journey(match[1])}\n```", source[0]
    )


def setup(app):
    """Sphinx calls this."""
    app.connect("builder-inited", _draw)
    app.connect("source-read", _follow)
    return {"parallel_read_safe": True}
