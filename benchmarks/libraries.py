"""The libraries that are compared, and how a process of one of them is run."""

import dataclasses
import json
import os
import pathlib
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent


@dataclasses.dataclass(frozen=True)
class Library:
    """A column: its title, model file, package, and source if not installed."""

    title: str
    models: str
    package: str
    source: str | None = None


REFERENCE = Library("dm-haiku", "haiku", "haiku")
AGAIN = Library("dm-haiku again", "haiku", "haiku")  # how far it is from itself
OURS = Library("ours", "haiku", "haiku", str(HERE.parent / "src"))
PEERS = (
    Library("flax.linen", "linen", "flax.linen"),
    Library("flax.nnx", "nnx", "flax.nnx"),
    Library("equinox", "equinox", "equinox"),
    Library("jax by hand", "jax", "jax"),
)
LIBRARIES = (REFERENCE, OURS, *PEERS)


def run(library, *arguments):
    """The output of a new process with this library on its path."""
    environment = dict(os.environ, JAX_PLATFORMS=os.environ.get("JAX_PLATFORMS", "cpu"))
    for name in ("PYTHONDONTWRITEBYTECODE", "PYTHONPATH"):
        environment.pop(name, None)
    if library.source:
        environment["PYTHONPATH"] = library.source
    environment["BENCHMARK_START"] = str(time.time())
    done = subprocess.run(
        [sys.executable, "-W", "ignore", *map(str, arguments)],
        env=environment,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise SystemExit(f"{library.title}: {arguments}\n{done.stderr}")
    return done.stdout


def work(library, net, measures, samples, seconds):
    """The figures that worker.py finds."""
    job = {
        "models": library.models,
        "package": library.package,
        "source": library.source,
        "net": net,
        "measures": measures,
        "samples": samples,
        "seconds": seconds,
    }
    return json.loads(run(library, HERE / "worker.py", json.dumps(job)))


def warm(library):
    """Imports it once, so that Python's byte code is cached."""
    run(library, "-c", f"import jax, {library.package}")
