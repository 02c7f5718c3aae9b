"""`python -m rlax` tells what is installed, as `python -m haiku` does.

It runs that file without importing `haiku`, and so it speaks where that import fails,
since dm-haiku was installed over it.
"""

import pathlib
import runpy

if __name__ == "__main__":
    folder = pathlib.Path(__file__).parent.parent / "haiku"
    runpy.run_path(str(folder / "__main__.py"), run_name="__main__")
