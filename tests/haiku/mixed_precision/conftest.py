"""No test of policies leaves one behind."""

import pytest

from haiku.mixed_precision.policy_table import policies


@pytest.fixture(autouse=True)
def _no_policy_left():
    before = policies.get()
    yield
    assert policies.get() == before
