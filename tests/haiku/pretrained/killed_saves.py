"""Writes files and folders in processes that are killed, and reads what they left.

    python killed_saves.py FOLDER

A child is killed at the k-th call of the system that changes anything, for each k until
none is left, and then at random moments. What is there must be the old or the new.
"""

import functools
import os
import pathlib
import random
import shutil
import signal
import sys
import time
import traceback

import numpy as np

import haiku as hk
from haiku.pretrained import atomic
from haiku.pretrained.folders import read_config, read_weights, write_folder

CALLS = ["replace", "rename", "link", "unlink", "rmdir", "mkdir", "fsync", "open"]
SIZES = {"old": 3, "new": 5}  # arrays; in shards of two, so that the files differ too


def write_version(version, folder):
    arrays = {f"{version}.{i}": np.full(2000, i) for i in range(SIZES[version])}
    texts = {"config.json": {"version": version}, "vocabulary.txt": version.encode()}
    write_folder(folder, arrays, texts, max_shard_size=32_000)


def version_of(folder):
    """Which version is there; fails unless it is whole."""
    version = read_config(folder)["version"]
    assert (folder / "vocabulary.txt").read_text() == version
    arrays = read_weights(folder).arrays
    assert sorted(arrays) == [f"{version}.{i}" for i in range(SIZES[version])]
    assert all((x == i).all() for i, x in enumerate(arrays.values()))
    assert (folder / "README.md").read_text() == "about"
    return version


def write_file(version, path):
    hk.pretrained.write(path, {version: np.full(2000, SIZES[version])})


def version_of_file(path):
    ((version, x),) = hk.pretrained.read(path).items()
    assert (x == SIZES[version]).all()
    return version


def run(action, killer):
    """Runs an action in a child; whether it came to its end."""
    child = os.fork()
    if not child:
        try:
            killer()
            action()
            os._exit(0)
        finally:
            traceback.print_exc()
            os._exit(2)
    if killer is at_random:
        time.sleep(random.expovariate(200))
        os.kill(child, signal.SIGKILL)
    return os.waitpid(child, 0)[1] == 0


def at_random():
    pass


def at_call(k, after):
    """Kills the process at its k-th call that changes something, before or after it."""
    count = 0

    def killing(call):
        def wrapped(*args, **kwargs):
            nonlocal count
            count += 1
            if count == k and not after:
                os._exit(1)
            mine = count
            try:
                return call(*args, **kwargs)
            finally:
                if mine == k:
                    os._exit(1)

        return wrapped

    for name in CALLS:
        setattr(os, name, killing(getattr(os, name)))
    atomic._exchange = killing(atomic._exchange)


def kill_everywhere(write, read, place, rounds):
    seen = {"old": 0, "new": 0}
    for after in (False, True):
        for k in range(1, 200):
            write("old", place)
            killer = functools.partial(at_call, k, after)
            done = run(lambda: write("new", place), killer)
            seen[read(place)] += 1
            if done:
                break
        assert done and k >= 5, (done, k)
    for _ in range(rounds):
        write("old", place)
        run(lambda: [write(v, place) for v in ("new", "old") * 9], at_random)
        seen[read(place)] += 1
    return seen


def main(folder):
    random.seed(0)
    (folder / "net").mkdir()
    (folder / "net" / "README.md").write_text("about")
    print(kill_everywhere(write_version, version_of, folder / "net", 20))
    print(kill_everywhere(write_file, version_of_file, folder / "a.safetensors", 20))
    left = {path.name for path in folder.iterdir()} - {"net", "a.safetensors"}
    assert all(name.startswith(".saving-") for name in left), left
    shutil.rmtree(folder / "net")
    assert not run(
        lambda: write_version("new", folder / "net"), lambda: at_call(9, True)
    )
    assert not (folder / "net").exists()


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
