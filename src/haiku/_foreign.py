"""Tells, when it is imported, whether dm-haiku lies in the same folder as this package.

Both are `haiku`, so that pip puts them into one folder, where the one that comes last
writes over files of the other. Where that is this package it works, and a warning is
given. Where it is dm-haiku, its `haiku/__init__.py` finds our `nets` in the place of
its own: that fails sooner or later, and so it does here.
"""

import os
import warnings

_FOLDER = os.path.dirname(__file__)
_MESSAGE = (
    "{}: {} holds files of both, and uninstalling one takes away files of the other. "
    "`python -m {}` says what to run: in short, uninstall both, `pip uninstall "
    "dm-haiku renga-jax`, and install renga-jax again.\n"
    "See docs/from/switching.md in Renga's repository."
)

# One look at the file system: `import haiku` has no time for more.
if os.path.exists(os.path.join(_FOLDER, "_src", "base.py")):
    with open(os.path.join(_FOLDER, "__init__.py"), encoding="utf-8") as file:
        if "from haiku import _foreign" not in file.read():
            last = "dm-haiku is installed over Renga"
            raise ImportError(_MESSAGE.format(last, _FOLDER, "rlax"))
    last = "Renga is installed over dm-haiku"
    warnings.warn(_MESSAGE.format(last, _FOLDER, "haiku"), stacklevel=3)
