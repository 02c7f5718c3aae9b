"""What the tests of agents share."""

import importlib
import pathlib

import pytest

AGENTS = pathlib.Path(__file__).parents[2] / "examples" / "rl"


@pytest.fixture
def load(monkeypatch):
    """Imports an agent's file, or one that agents share, by its name."""
    monkeypatch.syspath_prepend(str(AGENTS))
    return importlib.import_module
