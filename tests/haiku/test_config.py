"""Settings: for good, for a block, and per thread."""

from concurrent.futures import ThreadPoolExecutor

import pytest

import haiku as hk
from haiku._settings import current_settings


@pytest.fixture(autouse=True)
def restored_settings():
    with hk.config.context(
        check_jax_usage=False,
        module_auto_repr=True,
        restore_flatmap=False,
        rng_reserve_size=1,
    ):
        yield


def reserve_size():
    return current_settings().rng_reserve_size


def test_set_changes_only_the_given_settings():
    hk.config.set(rng_reserve_size=5)
    hk.config.set(check_jax_usage=True)
    assert (reserve_size(), current_settings().check_jax_usage) == (5, True)
    assert hk.config.rng_reserve_size(7) == 5
    assert hk.config.module_auto_repr(False) is True
    assert hk.config.check_jax_usage(False) is True
    assert reserve_size() == 7


def test_context_restores_the_settings_after_an_error():
    with pytest.raises(KeyError), hk.config.context(rng_reserve_size=5):
        assert reserve_size() == 5
        raise KeyError
    assert reserve_size() == 1


def test_a_thread_starts_with_the_main_settings_and_changes_only_its_own():
    def run():
        before = reserve_size()
        hk.config.set(rng_reserve_size=9)
        return before, reserve_size()

    hk.config.set(rng_reserve_size=5)
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(run).result() == (5, 9)
    assert reserve_size() == 5


@pytest.mark.parametrize("size", [0, -1, True, 1.5])
def test_a_wrong_reserve_size_raises_and_changes_nothing(size):
    with pytest.raises(ValueError, match=f"at least 1, got {size}"):
        hk.config.set(check_jax_usage=True, rng_reserve_size=size)
    assert (reserve_size(), current_settings().check_jax_usage) == (1, False)
