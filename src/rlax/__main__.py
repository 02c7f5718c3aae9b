"""`python -m rlax` reports what is installed, like `python -m haiku`.

It runs that file without importing `haiku`, so it works even where that import fails
because dm-haiku was installed over it.
"""

import pathlib
import runpy

if __name__ == "__main__":
    folder = pathlib.Path(__file__).parent.parent / "haiku"
    runpy.run_path(str(folder / "__main__.py"), run_name="__main__")
