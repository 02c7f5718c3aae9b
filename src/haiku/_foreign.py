"""Checks, on import, whether dm-haiku is installed in this package's folder.

Both packages are named `haiku`, so pip puts them in one folder, and the one installed
last overwrites files of the other. If that is this package, it works, with a warning.
If it is dm-haiku, its `haiku/__init__.py` imports our `nets` instead of its own, which
fails sooner or later; importing this file makes it fail at once.
"""

import os
import warnings

_FOLDER = os.path.dirname(__file__)
_MESSAGE = (
    "{}: {} holds files of both, and uninstalling one removes files of the other. "
    "`python -m {}` lists the commands to run: in short, uninstall both, `pip "
    "uninstall dm-haiku renga-jax`, and install renga-jax again.\n"
    "See docs/from/switching.md in Renga's repository."
)

# A single look at the file system keeps `import haiku` fast.
if os.path.exists(os.path.join(_FOLDER, "_src", "base.py")):
    with open(os.path.join(_FOLDER, "__init__.py"), encoding="utf-8") as file:
        if "from haiku import _foreign" not in file.read():
            last = "dm-haiku is installed over Renga"
            raise ImportError(_MESSAGE.format(last, _FOLDER, "rlax"))
    last = "Renga is installed over dm-haiku"
    warnings.warn(_MESSAGE.format(last, _FOLDER, "haiku"), stacklevel=3)
