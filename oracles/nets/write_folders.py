"""Loads every folder of tests/golden/nets with ours, and saves it.

PYTHONPATH=src python oracles/nets/write_folders.py OUT

`read_back.py` then loads them with transformers.
"""

import pathlib
import sys

import haiku as hk

FOLDER = pathlib.Path(__file__).parents[2] / "tests/golden/nets"


def main():
    out = pathlib.Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    folders = sorted(path.parent for path in FOLDER.glob("*/config.json"))
    failed = 0
    for folder in folders:
        try:
            hk.pretrained.save(out / folder.name, hk.pretrained.load(folder).model)
        except ValueError as e:
            failed += 1
            print(f"{folder.name:24} {e}")
    print(f"{out}: {len(folders)} folders, {failed} refused")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
