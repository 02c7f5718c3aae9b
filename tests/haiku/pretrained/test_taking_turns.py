"""Processes that write a folder together hear of every one that fails."""

import jax
import numpy as np
import pytest

from haiku.pretrained import taking_turns
from haiku.pretrained.deferred import Deferred

ORDER = ("a", "b")


def gone():
    raise OSError("gone")


def deferred(read):
    return Deferred((2,), np.dtype("float32"), read)


@pytest.fixture
def told(monkeypatch):
    """What this process tells the others."""
    texts = []

    def exchanged(text):
        texts.append(text)
        return [text, text]

    monkeypatch.setattr(taking_turns, "_exchanged", exchanged)
    return texts


@pytest.mark.parametrize("process", [0, 1])
def test_an_array_that_cannot_be_read_is_told(process, told, monkeypatch):
    monkeypatch.setattr(jax, "process_index", lambda: process)
    read = []
    arrays = {"a": deferred(gone), "b": deferred(lambda: read.append("b"))}

    def write(arrays):
        for name in ORDER:
            arrays[name].read()

    with pytest.raises(OSError, match="gone"):
        taking_turns.write_together(arrays, ORDER, write)
    assert told == ["OSError: gone"]
    assert read == ["b"]  # the other processes read it too


def test_arrays_out_of_turn_are_an_error(told):
    arrays = {name: deferred(lambda: np.zeros(2)) for name in ORDER}
    with pytest.raises(RuntimeError, match="another order than it said"):
        taking_turns.write_together(arrays, ORDER, lambda own: own["b"].read())
    assert len(told) == 1
