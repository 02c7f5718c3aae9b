"""Disks without room: an error at the next call, and older checkpoints as they were."""

import logging
import resource
import time

import numpy as np
from checkpoint_training import start

import haiku as hk


def write_without_room(folder):
    """A limit of the size of files stands for a full disk: the same calls fail."""
    import jax.numpy as jnp

    logging.getLogger("absl").setLevel("CRITICAL")  # The log is a file too.
    noise = np.random.default_rng(0).normal(size=(300, 300))
    state = {"w": jnp.asarray(noise, jnp.float32)}

    def room(size):
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

    def tell(name, act):
        try:
            print(name, act())
        except hk.checkpoint.CheckpointError as error:
            print(name, "CheckpointError", str(error).replace("\n", " "))

    def leave():
        with hk.checkpoint.Checkpoints(folder) as inner:
            inner.save(9, state)

    with hk.checkpoint.Checkpoints(folder) as checkpoints:
        checkpoints.save(0, state)
        checkpoints.wait()
        room(20_000)
        checkpoints.save(1, state)
        tell("wait:", checkpoints.wait)
        checkpoints.save(2, state)
        time.sleep(1.0)
        tell("save:", lambda: checkpoints.save(3, state))
        tell("steps:", checkpoints.steps)
        room(resource.RLIM_INFINITY)
        tell("restore:", lambda: checkpoints.restore(state)[1])
        tell("again:", lambda: checkpoints.save(4, state))
    room(20_000)
    tell("end:", leave)
    room(resource.RLIM_INFINITY)


def test_a_full_disk(tmp_path):
    log, folder = tmp_path / "log", tmp_path / "steps"
    process = start(write_without_room, log, folder)
    process.join(60)
    assert process.exitcode == 0, log.read_text()
    told = {}
    for line in log.read_text().splitlines():
        name, _, rest = line.partition(" ")
        told[name] = rest
    for name, step, whole in (
        ("wait:", 1, "0"),
        ("save:", 2, "0"),
        ("end:", 9, "4, 0"),
    ):
        words = f"A checkpoint in {folder} couldn't be written, the last begun is step"
        assert f"CheckpointError {words} {step} (" in told[name]
        assert "File too large" in told[name]
        assert told[name].endswith(f"Whole are: {whole}.")
    assert told["steps:"] == "[0]"
    assert told["restore:"] == "0" and told["again:"] == "True"
    with hk.checkpoint.Checkpoints(folder) as checkpoints:
        assert checkpoints.steps() == [0, 4]
    assert not any("tmp" in path.name for path in folder.iterdir())
