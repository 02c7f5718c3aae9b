"""Warns on import if DeepMind's rlax lies in the same folder.

Both are called `rlax`, so pip puts them into one folder, and the one installed last
overwrites files of the other. This code runs if ours came last. It then works, but
uninstalling the other one removes its files too.
"""

import os
import warnings

_FOLDER = os.path.dirname(__file__)

# One look at the file system: `import rlax` has no time for more.
if os.path.exists(os.path.join(_FOLDER, "_src", "base.py")):
    warnings.warn(
        f"Renga is installed over rlax: {_FOLDER} holds files of both, and "
        "uninstalling one takes away files of the other. `python -m rlax` says what to "
        "run: in short, uninstall both, `pip uninstall rlax renga-jax`, and install "
        "renga-jax again.\nSee docs/from/switching.md in Renga's repository.",
        stacklevel=3,
    )
