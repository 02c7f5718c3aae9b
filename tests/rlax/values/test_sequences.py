"""TD errors of sequences beside plain loops over their equations."""

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from random_streams import (
    RETRACE,
    SEQ,
    SETTINGS,
    T,
    bootstrap,
    both_ways,
    build,
    close,
    ends,
    streams,
)

import rlax


def td_lambda_loop(s):
    g = np.zeros(T)
    for t in reversed(range(s["length"])):
        v, mix = bootstrap(s, t), 0.0 if ends(s, t) else s["l"][t]
        after = 0.0 if ends(s, t) else g[t + 1]
        g[t] = s["r"][t] + s["d"][t] * ((1 - mix) * v + mix * after)
    return np.where(s["mask"], g - s["v0"], 0)


def retrace_loop(s, lambda_=0.9):
    g, at = np.zeros(T), np.arange(T)
    v, qa = (s["pi"] * s["q"]).sum(-1), s["q"][at, s["a"]]
    c = lambda_ * np.minimum(1, s["pi"][at, s["a"]] / (s["mu"] + 1e-8))
    for t in reversed(range(s["length"])):
        value = s["boot"][t] if s["cut"][t] else v[t]
        correction = 0.0 if ends(s, t) else c[t] * (g[t + 1] - qa[t])
        g[t] = s["r"][t] + s["d"][t] * (value + correction)
    return np.where(s["mask"], g - s["q0"][at, s["a0"]], 0)


td_lambda = build(rlax.td_lambda, ("v0", *SEQ, "l"))
retrace = build(rlax.retrace, RETRACE, 0.9)


@both_ways
@SETTINGS
@hypothesis.given(s=streams())
def test_td_lambda_equals_the_loop(parallel, s):
    close(td_lambda(parallel)(s), td_lambda_loop(s))


@both_ways
@SETTINGS
@hypothesis.given(s=streams())
def test_retrace_equals_the_loop(parallel, s):
    close(retrace(parallel)(s), retrace_loop(s))


@pytest.mark.parametrize("log_rho", [-200.0, 200.0])
def test_distant_policies_give_retrace_a_finite_gradient(log_rho):
    def errors(log_rho):
        step = [1.0, 2.0], [2.0], [1.0, 2.0], [1.0, 1.0], [0.5, 0.5]
        return rlax.retrace_continuous(*step, log_rho[None], 1.0, False).sum()

    assert jax.grad(errors)(jnp.float32(log_rho)) == 0
