"""What importing rlax costs and brings; and pickles that name its old paths."""

import base64
import json
import os
import pathlib
import pickle
import statistics
import subprocess
import sys

import numpy as np
import pytest

import rlax

PICKLES = json.loads(
    (pathlib.Path(__file__).parents[1] / "golden/pickles.json").read_text()
)
OURS = [name for name in PICKLES if name.startswith(("PopArtState", "EmaState"))]


def run(code):
    # An installed package has its bytecode; a checkout must be allowed to keep it.
    environment = {
        k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"
    }
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_imports_jax_and_numpy_alone():
    code = (
        "import sys, jax, jax.numpy; before = set(sys.modules); import rlax\n"
        "print(*sorted({m.split('.')[0] for m in set(sys.modules) - before}))"
    )
    brought = set(run(code).split()) - set(sys.stdlib_module_names)
    assert brought <= {"rlax", "jax", "jaxlib", "numpy"}


def test_import_is_quick():
    """Less than an eighth of jax's own, in the same process; the median of three."""
    code = (
        "import time; begun = time.process_time(); import jax, jax.numpy\n"
        "middle = time.process_time(); import rlax\n"
        "print((time.process_time() - middle) / (middle - begun))"
    )
    run(code)  # compiles the files
    assert statistics.median(float(run(code)) for _ in range(3)) < 1 / 8


@pytest.mark.parametrize("protocol", ["protocol 2", "protocol 4"])
@pytest.mark.parametrize("name", OURS)
def test_old_pickles_load(name, protocol):
    value = pickle.loads(base64.b64decode(PICKLES[name][protocol]))
    wanted = eval(name, {**vars(rlax), "zeros": np.zeros, "ones": np.ones})
    assert type(value) is type(wanted)
    have = value if isinstance(value, tuple) else value.to_tuple()
    want = wanted if isinstance(wanted, tuple) else wanted.to_tuple()
    for x, y in zip(have, want, strict=True):
        np.testing.assert_array_equal(x, y)
    again = pickle.loads(pickle.dumps(value))
    assert type(again) is type(value)
