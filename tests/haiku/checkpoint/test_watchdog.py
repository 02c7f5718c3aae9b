"""The watchdog's words, and trainings that it leaves alone."""

import faulthandler
import threading
import time

import jax.numpy as jnp
import pytest

import haiku as hk
from haiku.checkpoint.agreement import named, odd_ones
from haiku.checkpoint.watchdog import who_is_behind


@pytest.mark.parametrize(
    ("notes", "words"),
    [
        (
            {0: (7, "a.py:1 (wait)"), 1: (6, "b.py:2 (read)"), 2: (7, "a.py:1 (wait)")},
            "Behind is process 1: the last one is 6, elsewhere it is 7. "
            "At b.py:2 (read): process 1. At a.py:1 (wait): processes 0 and 2.",
        ),
        (
            {0: (-1, "a.py:1 (wait)"), 3: (-1, "a.py:1 (wait)")},
            "All that speak have done the same: no step is done. At a.py:1 (wait): "
            "processes 0 and 3. Silent: processes 1, 2 and 4, dead or still at work.",
        ),
    ],
)
def test_who_is_behind(notes, words):
    assert who_is_behind(notes, 5 if 3 in notes else 3) == words


def test_steps_set_the_clock_back_and_the_end_stops_it(tmp_path):
    """A clock that ran out would end this process."""
    notes = tmp_path / "haiku-hang"
    notes.mkdir()
    (notes / "0.json").write_text("[3, 'of an earlier run']")
    with hk.checkpoint.Checkpoints(tmp_path, hang_after=1.5) as checkpoints:
        assert not notes.exists()
        for step in range(4):
            time.sleep(0.5)
            checkpoints.save(step, {"w": jnp.zeros(3)})
    assert not any("watchdog" in thread.name for thread in threading.enumerate())
    time.sleep(1.6)
    faulthandler.cancel_dump_traceback_later()


def test_processes_that_differ_from_most():
    assert odd_ones(["a", "b", "a", "c"]) == [1, 3]
    assert odd_ones(["a", "b"]) == [1]
    assert odd_ones(["a"]) == []
    assert named([4]) == "process 4" and named([1, 2]) == "processes 1 and 2"
