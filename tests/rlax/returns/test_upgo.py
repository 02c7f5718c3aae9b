"""UPGO beside a loop over its equation, with episodes that end anywhere."""

import hypothesis
import numpy as np
import pytest
from numpy_formulas import equal
from random_streams import SEQ, SETTINGS, T, bootstrap, both_ways, build, close, ends
from random_streams import streams as random_streams

import rlax


def upgo_loop(s):
    g = np.zeros(T)
    for t in reversed(range(s["length"])):
        after = bootstrap(s, t)
        if not ends(s, t):
            ahead = s["r"][t + 1] + s["d"][t + 1] * bootstrap(s, t + 1)
            if ahead >= after:
                after = g[t + 1]
        g[t] = s["r"][t] + s["d"][t] * after
    return g


upgo = build(rlax.upgo_returns, SEQ)


@both_ways
@SETTINGS
@hypothesis.given(s=random_streams())
def test_returns_equal_the_loop(parallel, s):
    close(upgo(parallel)(s), upgo_loop(s))


@pytest.mark.parametrize("stop", [True, False])
def test_gradient_passes_the_returns_but_not_the_comparison(stop):
    random = np.random.default_rng(0)
    r, v = random.standard_normal((2, T))
    discount = random.random(T)

    def loop(r, discount, v):
        s = {"r": r, "d": discount, "v": v, "cut": np.zeros(T, bool), "length": T}
        return upgo_loop(s)

    equal(
        lambda *x: rlax.upgo_returns(*x, stop),
        loop,
        *(r, discount, v),
        grads=() if stop else range(3),
    )


def test_no_step_raises():
    with pytest.raises(rlax.ContractError, match="at least one step"):
        rlax.upgo_returns(*3 * [np.zeros(0, np.float32)])
