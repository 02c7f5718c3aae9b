"""How tests compile, on what, and which names docstrings use without an import."""

import gc
import os
import pathlib
import subprocess
import sys
import zlib
from importlib import metadata

# Tests run each program once or twice: compiling it well takes longer than running it.
# Last bits are those of users' programs without these flags: see `plain_xla`.
# Eight devices: tests of several devices need no separate process, and one
# that names no device runs on the first, as it would alone.
if "PLAIN_XLA" not in os.environ:
    os.environ["XLA_FLAGS"] = (
        "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true "
        "--xla_cpu_parallel_codegen_split_count=1 "  # in parts takes twice the work
        "--xla_force_host_platform_device_count=8 " + os.environ.get("XLA_FLAGS", "")
    )
    if metadata.version("jaxlib").startswith("0.10."):  # Later ones know no such flag.
        os.environ["XLA_FLAGS"] += " --xla_cpu_use_fusion_emitters=false"

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import haiku as hk
import rlax

# The suite lowers and compiles some 40,000 small programs. The lines of code that stand
# in them by default are a tenth of the time to lower them.
jax.config.update("jax_traceback_in_locations_limit", 0)


@pytest.fixture(autouse=True)
def _names_in_docstrings(doctest_namespace):
    doctest_namespace.update(hk=hk, jax=jax, jnp=jnp, np=np, rlax=rlax)


def pytest_addoption(parser):
    """Adds `--parts` and `--part`."""
    help_ = "deal the tests out into so many parts, and run one"
    parser.addoption("--parts", type=int, default=1, metavar="N", help=help_)
    help_ = "which one: any number, of which the remainder of N counts"
    parser.addoption("--part", type=int, default=0, metavar="I", help=help_)


def pytest_collection_modifyitems(config, items):
    """Keeps one part of the tests."""
    parts, part = config.getoption("parts"), config.getoption("part")

    def runs(item):
        return (zlib.crc32(item.nodeid.encode()) - part) % parts == 0

    config.hook.pytest_deselected(items=[x for x in items if not runs(x)])
    items[:] = [x for x in items if runs(x)]


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem):
    """Runs a test marked `plain_xla` in a process where XLA compiles as for users."""
    if "PLAIN_XLA" in os.environ or not pyfuncitem.get_closest_marker("plain_xla"):
        return None
    environment = {k: v for k, v in os.environ.items() if k != "XLA_FLAGS"}
    environment = {k: v for k, v in environment.items() if "PYTEST_XDIST" not in k}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider"]
        + ["-m", "", "--rootdir", str(pyfuncitem.config.rootpath), pyfuncitem.nodeid],
        env={**environment, "PLAIN_XLA": "1"},
        cwd=pyfuncitem.config.rootpath,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0 and "1 passed" in done.stdout, done.stdout
    return True


# The kernel gives a process 65,530 memory maps by default, and XLA takes some for each
# program it compiles; beyond that it crashes.
MOST_MAPS = 25_000
MAPS = pathlib.Path("/proc/self/maps")


def pytest_runtest_teardown(item, nextitem):
    """Forgets compiled programs at the end of a file, where there are too many."""
    ends = nextitem is None or nextitem.path != item.path
    if ends and MAPS.exists() and MAPS.read_bytes().count(b"\n") > MOST_MAPS:
        jax.clear_caches()
        gc.collect()


# Tests that are tables: each is one cell, a subject and a setting.
TABLES = ("test_setting", "test_property", "test_row")


def pytest_terminal_summary(terminalreporter):
    """Says how many cells of each table hold; the controller sees all workers'."""
    names = [
        r.nodeid.partition("[")[0] for r in terminalreporter.stats.get("passed", ())
    ]
    for name in sorted({n for n in names if n.rpartition("::")[2] in TABLES}):
        terminalreporter.write_line(f"{name}: {names.count(name)} cells hold")
