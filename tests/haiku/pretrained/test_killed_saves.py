"""A process that is killed while it writes leaves the old files or the new ones."""

import ast
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

import haiku as hk
from haiku.pretrained import atomic

PROGRAM = pathlib.Path(__file__).parent / "killed_saves.py"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs renameat2")
def test_killed_anywhere(tmp_path):
    done = subprocess.run(
        [sys.executable, str(PROGRAM), str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for line in done.stdout.splitlines():
        seen = ast.literal_eval(line)
        assert seen["old"] >= 3 and seen["new"] >= 3, seen


@pytest.mark.parametrize("call", ["replace", "fsync"])
def test_a_failure_leaves_the_old_file_alone(tmp_path, monkeypatch, call):
    def fail(*args):
        raise OSError("no space")

    path = tmp_path / "a.safetensors"
    hk.pretrained.write(path, {"old": np.ones(3)})
    monkeypatch.setattr(atomic.os, call, fail)
    with pytest.raises(OSError, match="no space"):
        hk.pretrained.write(path, {"new": np.ones(3)})
    monkeypatch.undo()
    assert os.listdir(tmp_path) == [path.name]
    assert [*hk.pretrained.read(path)] == ["old"]
