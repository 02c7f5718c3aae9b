"""Deferred."""

import numpy as np
import pytest

import haiku as hk

run = hk.testing.transform_and_run


def normal(*shape, seed=0):
    return np.random.RandomState(seed).randn(*shape).astype(np.float32)


class Holder(hk.Module):
    def __init__(self, name=None):
        super().__init__(name=name)
        self.number = 3

    def __call__(self, x):
        return x + 1

    def forward(self, x):
        return x + 2


def test_deferred_acts_as_its_module():
    def f():
        d = hk.Deferred(Holder, call_methods=("__call__", "forward"))
        with pytest.raises(AttributeError, match="'number'.*not built yet"):
            _ = d.number
        assert d.forward(1) == 3
        assert d(1) == 2
        assert d.target is d.target
        assert d.number == 3
        d.number = 4
        assert d.target.number == 4
        del d.number
        assert not hasattr(d.target, "number")
        assert str(d) == repr(d) == f"Deferred({d.target!r})"

    run(f)()


def test_the_module_is_named_where_the_deferred_was_made():
    class Outer(hk.Module):
        def __init__(self):
            super().__init__()
            self.inner = hk.Deferred(Holder)
            self.other = hk.Deferred(Holder)

        def __call__(self, x):
            return self.other(self.inner(x))

    def f():
        with hk.name_scope("scope"):
            early = hk.Deferred(Holder)
        outer = Outer()
        outer(1)
        assert early.target.module_name == "scope/holder"
        assert outer.inner.module_name == "outer/~/holder"
        assert outer.other.module_name == "outer/~/holder_1"
        assert Holder().module_name == "holder"

    run(f)()


def test_a_failed_build_can_be_repeated():
    def f():
        results = iter([ValueError("not yet"), None])

        def factory():
            error = next(results)
            if error:
                raise error
            return Holder()

        d = hk.Deferred(factory)
        with pytest.raises(ValueError, match="not yet"):
            d(1)
        assert Holder().module_name == "holder"
        assert d(1) == 2

    run(f)()
