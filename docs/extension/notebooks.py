"""Each page with cells can be downloaded as a notebook that runs as it is."""

import pathlib
import re

import jupytext

_FOLDER = "_notebooks"
_ROLE = re.compile(r"\{[a-z:]+\}(`[^`]+`)")  # {py:func}`name`: Sphinx's alone


def is_notebook(text):
    """Whether a page's text has cells to run."""
    return text.startswith("---\n") and "\n```{code-cell}" in text


def _write(app):
    """Makes a notebook of each such page; Sphinx copies the folder."""
    folder = pathlib.Path(app.outdir).parent / (app.builder.name + _FOLDER)
    source = pathlib.Path(app.srcdir)
    for page in source.rglob("*.md"):
        text = page.read_text(encoding="utf-8")
        if is_notebook(text):
            name = page.relative_to(source).with_suffix(".ipynb")
            path = folder / "notebooks" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            plain = _ROLE.sub(r"\1", text)
            jupytext.write(jupytext.reads(plain, fmt="md:myst"), path)
    app.config.html_extra_path = [*app.config.html_extra_path, str(folder)]


def _link(app, docname, source):
    del app
    if is_notebook(source[0]):
        up = "../" * docname.count("/")
        source[0] += (
            f'\n<p><a href="{up}notebooks/{docname}.ipynb" download>'
            "This page as a notebook</a></p>\n"
        )


def setup(app):
    app.connect("builder-inited", _write)
    app.connect("source-read", _link)
    return {"parallel_read_safe": True}
