"""Sphinx: `make docs`."""

import os
import pathlib
import sys

EXTENSION = pathlib.Path(__file__).parent / "extension"
sys.path.insert(0, str(EXTENSION))
os.environ["JUPYTER_PATH"] = str(EXTENSION)  # kernels that tell of errors alone

project = "Renga"
author = "the Renga authors"
copyright = f"2026, {author}"
extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "sphinx_design",
    "drawings",
    "equations",
    "notebooks",
    "reference",
]
exclude_patterns = ["extension", "from/programs/README.md"]
nitpicky = False
# Docstrings are read as text: `x` is code there, not a cross reference.
default_role = "code"

html_theme = "furo"
html_title = "Renga"
html_static_path = ["static"]
html_css_files = ["renga.css"]
html_math_renderer = "mathml"
html_show_sphinx = False
maximum_signature_line_length = 60

autodoc_member_order = "bysource"
autodoc_typehints = "none"
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_custom_sections = ["Gradient", "Parameters", "Source"]
viewcode_line_numbers = True

myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 120
nb_merge_streams = True
nb_output_stderr = "error"  # A warning in a cell fails the build.
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
suppress_warnings = []
