"""Lets the tests of this folder import its `op_table`, and check for leaks quickly."""

import gc
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))


@pytest.fixture(autouse=True, scope="module")
def old_objects_are_not_searched():
    """`jax.checking_leaks` collects garbage at every trace, among all objects."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()
