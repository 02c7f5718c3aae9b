"""Sphinx: `make docs`."""

project = "Renga"
copyright = "2026, the Renga authors"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
html_theme = "furo"
autodoc_member_order = "bysource"
napoleon_numpy_docstring = False
napoleon_use_ivar = True
myst_enable_extensions = ["colon_fence"]
# Docstrings are read as text: `x` is code there, not a cross reference.
default_role = "code"
suppress_warnings = [
    "docutils",
    "autodoc",
    "myst.xref_missing",
    "misc.highlighting_failure",
]
exclude_patterns = ["_build"]
