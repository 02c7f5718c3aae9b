"""Two and four processes train as one does."""

import functools
import json
import os
import pathlib
import socket
import subprocess
import sys

import numpy as np
import pytest

SCRIPT = pathlib.Path(__file__).with_name("process_training.py")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@functools.cache
def trained(processes):
    """What each of some processes printed."""
    paths = [str(SCRIPT.parent.parent), *sys.path]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}
    flags = environment.get("XLA_FLAGS", "").split()
    kept = [flag for flag in flags if "host_platform_device_count" not in flag]
    environment["XLA_FLAGS"] = " ".join(kept)
    port = free_port()
    running = [
        subprocess.Popen(
            [sys.executable, str(SCRIPT), str(port), str(processes), str(i)],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for i in range(processes)
    ]
    outs = []
    for process in running:
        out, error = process.communicate(timeout=240)
        assert process.returncode == 0, error[-3000:]
        outs.append(json.loads(out.splitlines()[-1]))
    return outs


@pytest.mark.parametrize("processes", [2, 4])
def test_processes_train_as_one(processes):
    (one,), many = trained(1), trained(processes)
    for found in many:
        for name, wanted in one.items():
            np.testing.assert_allclose(
                found[name]["losses"], wanted["losses"], rtol=1e-5, atol=1e-5
            )
            np.testing.assert_allclose(
                found[name]["grads"], wanted["grads"], rtol=1e-4, atol=1e-4
            )
    parts = {
        name: [found[name]["part"] for found in many]
        for name in ("both", "tensor first")
    }
    own = [[i, processes] for i in range(processes)]
    assert parts == {
        "both": own,
        "tensor first": [[0, 1]] * processes,
    }
