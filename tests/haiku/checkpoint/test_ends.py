"""Trainings that are ended at any moment, and go on with the same bits."""

import os
import random
import shutil
import signal
import time

import jax.numpy as jnp
import pytest
from checkpoint_training import start, train, wait_for

import haiku as hk

STEPS = 14


def results(log):
    """The losses by step, every one that was printed, and the end's hash."""
    losses, done = {}, None
    for line in log.read_text().splitlines():
        word, *rest = line.split()
        if word == "loss":
            losses.setdefault(int(rest[0]), set()).add(rest[1])
        elif word == "done":
            done = rest[0]
    return losses, done


def finish(process, code=0):
    process.join(60)
    assert process.exitcode == code


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """Losses and end of a training that nobody disturbs, by the size of its state."""
    made = {}

    def of(floats):
        if floats not in made:
            folder = tmp_path_factory.mktemp("undisturbed")
            log = folder / "log"
            finish(start(train, log, folder / "steps", STEPS, 2, floats))
            made[floats] = results(log)
        return made[floats]

    return of


def test_sigterm_at_any_moment_saves_the_step_and_ends(tmp_path, undisturbed):
    log = tmp_path / "log"
    for moment in ("compile", "loss 3", "eval 5", "save 8"):
        before = log.stat().st_size if log.exists() else 0
        process = start(train, log, tmp_path / "steps", STEPS, 4, 100_000, True)
        wait_for(log, moment, process)
        os.kill(process.pid, signal.SIGTERM)
        finish(process)
        lines = log.read_text()[before:].splitlines()
        last = int(lines[-2].removeprefix("stops "))
        assert lines[-1] == "end"
        with hk.checkpoint.Checkpoints(tmp_path / "steps") as checkpoints:
            assert checkpoints.steps()[-1] == last
    finish(start(train, log, tmp_path / "steps", STEPS, 4, 100_000, True))
    assert results(log) == undisturbed(100_000)


def kill_and_resume(tmp_path, undisturbed, kills, seed):
    """Kills a training that often, at random moments; how many found it writing.

    Every other kill comes just after `save` has returned, when files are being written.
    """
    log, folder = tmp_path / "log", tmp_path / "steps"
    generator, writing, floats = random.Random(seed), 0, 1_000_000
    log.touch()
    for number in range(kills):
        size = log.stat().st_size
        process = start(train, log, folder, STEPS, 1, floats)
        moment, longest = ("open", 1.0) if number % 2 else ("saved", 0.05)
        while moment not in log.read_text()[size:] and process.is_alive():
            time.sleep(0.002)
        time.sleep(generator.uniform(0.0, longest))
        os.kill(process.pid, signal.SIGKILL)
        process.join(60)
        writing += any("tmp" in name for name in os.listdir(folder))
        losses, done = results(log)
        assert all(losses[step] == undisturbed(floats)[0][step] for step in losses)
        if done:
            assert done == undisturbed(floats)[1]
            shutil.rmtree(folder)  # Begin anew.
            log.write_text("")
    finish(start(train, log, folder, STEPS, 1, floats))
    assert results(log)[1] == undisturbed(floats)[1]
    assert not any("tmp" in name for name in os.listdir(folder))
    return writing


def test_killed_at_random_moments(tmp_path, undisturbed):
    assert kill_and_resume(tmp_path, undisturbed, kills=4, seed=0) >= 1


@pytest.mark.slow
def test_killed_twenty_times(tmp_path, undisturbed):
    assert kill_and_resume(tmp_path, undisturbed, kills=20, seed=1) >= 5


def test_stopping_becomes_true_inside_save_alone(tmp_path):
    before = signal.getsignal(signal.SIGTERM)
    state = {"w": jnp.arange(3.0)}
    with hk.checkpoint.Checkpoints(tmp_path, every=10) as checkpoints:
        assert not checkpoints.save(1, state)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.01)
        assert not checkpoints.stopping
        assert checkpoints.save(2, state)
        assert checkpoints.stopping
        assert checkpoints.steps() == [2]
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_signal_after_the_last_save_goes_to_the_handler_that_was_there(tmp_path):
    caught = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: caught.append(number))
    try:
        with hk.checkpoint.Checkpoints(tmp_path) as checkpoints:
            checkpoints.save(0, {"w": jnp.arange(3.0)})
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.01)
            assert not caught
        assert caught == [signal.SIGTERM]
    finally:
        signal.signal(signal.SIGTERM, before)
