"""On-policy returns beside plain loops over their equations."""

import functools

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export
from random_streams import (
    SEQ,
    SETTINGS,
    T,
    bootstrap,
    both_ways,
    build,
    close,
    ends,
    streams,
    with_ends,
    with_values,
)

import rlax


def lambda_returns_loop(s):
    g = np.zeros(T)
    for t in reversed(range(s["length"])):
        v, mix = bootstrap(s, t), 0.0 if ends(s, t) else s["l"][t]
        after = 0.0 if ends(s, t) else g[t + 1]
        g[t] = s["r"][t] + s["d"][t] * ((1 - mix) * v + mix * after)
    return g


def n_step_loop(s, n):
    g = np.zeros(T)
    for start in range(s["length"]):
        discount = 1.0
        for t in range(start, s["length"]):
            g[start] += discount * s["r"][t]
            discount *= s["d"][t]
            if ends(s, t) or t - start + 1 == n:
                g[start] += discount * bootstrap(s, t)
                break
    return g


def gae_loop(s):
    a = np.zeros(T)
    for t in reversed(range(s["length"])):
        delta = s["r"][t] + s["d"][t] * bootstrap(s, t) - s["v0"][t]
        after = 0.0 if ends(s, t) else a[t + 1]
        a[t] = delta + s["d"][t] * s["l"][t] * after
    return a


lambda_returns = build(rlax.lambda_returns, (*SEQ, "l"))
advantages = build(
    rlax.truncated_generalized_advantage_estimation, ("r", "d", "l", "values")
)


@functools.cache
def n_step(n):
    def op(*x, **k):
        return rlax.n_step_bootstrapped_returns(*x, n, **k)

    return with_ends(op, names=SEQ)


@both_ways
@SETTINGS
@hypothesis.given(s=streams())
def test_lambda_returns_equal_the_loop(parallel, s):
    close(lambda_returns(parallel)(s), lambda_returns_loop(s))


@pytest.mark.parametrize("n", [1, 2, 5, 8, 30])
@SETTINGS
@hypothesis.given(s=streams())
def test_n_step_returns_equal_the_loop(n, s):
    close(n_step(n)(s), n_step_loop(s, n))


@both_ways
@SETTINGS
@hypothesis.given(s=streams())
def test_generalized_advantages_equal_the_loop(parallel, s):
    s = with_values(s)
    close(advantages(parallel)(s), gae_loop(s))


def test_discounted_returns_take_the_last_value_alone():
    r, d = np.ones(3, np.float32), np.full(3, 0.5, np.float32)
    np.testing.assert_allclose(rlax.discounted_returns(r, d, 8.0), [2.75, 3.5, 5.0])
    batch = rlax.discounted_returns(
        np.ones((3, 2), np.float32), d, np.array([8.0, 0.0], np.float32)
    )
    np.testing.assert_allclose(batch[:, 0], [2.75, 3.5, 5.0])
    np.testing.assert_allclose(batch[:, 1], [1.75, 1.5, 1.0])


def test_one_number_stands_for_all_steps():
    r, discount, v = np.random.default_rng(0).random((3, 5)).astype(np.float32)
    want = rlax.lambda_returns(r, discount, v, 0.5)
    close(rlax.lambda_returns(r, discount, v, np.full(1, 0.5, np.float32)), want)


def test_empty_sequence_has_an_empty_return():
    nothing = jnp.zeros(0)
    assert rlax.lambda_returns(nothing, nothing, nothing).shape == (0,)


def test_exported_program_computes_the_same_at_any_length():
    (t,) = export.symbolic_shape("t")
    line = jax.ShapeDtypeStruct((t,), jnp.float32)

    def returns(r, discount, v):
        return rlax.n_step_bootstrapped_returns(r, discount, v, 3, 0.7)

    exported = export.export(jax.jit(returns))(line, line, line)
    for length in (1, 2, 3, 7):
        args = np.random.default_rng(length).random((3, length)).astype(np.float32)
        close(exported.call(*args), returns(*args))
