"""Munchausen Q-learning beside its formula, and soft Q-learning without the bonus."""

import hypothesis
import hypothesis.strategies as st
import jax
import numpy as np
import pytest
from numpy_formulas import equal

import rlax

SETTINGS = hypothesis.settings(max_examples=25, deadline=None, derandomize=True)
RANDOM = np.random.default_rng(4)
Q0, Q1, TARGET = RANDOM.standard_normal((3, 4))
R, G = 0.3, 0.9


def log_softmax(x):
    x = x - x.max()
    return x - np.log(np.exp(x).sum())


def formula(a, tau, m, clip):
    def error(q0, r, g, q1, target):
        bonus = np.clip(tau * log_softmax(target / tau)[a], clip, 0)
        log_pi = log_softmax(q1 / tau)
        v = np.sum(np.exp(log_pi) * (q1 - tau * log_pi))
        return r + m * bonus + g * v - q0[a]

    return error


@pytest.mark.parametrize("stop", [True, False])
@pytest.mark.parametrize(("tau", "m", "clip"), [(0.5, 0.9, -1.0), (1.0, 0.4, -0.1)])
@pytest.mark.parametrize("action", [0, 3])
def test_error_equals_the_formula(stop, tau, m, clip, action):
    equal(
        lambda q0, *x: rlax.munchausen_q_learning(
            q0, action, *x, tau, m, log_clip=clip, stop_target_gradients=stop
        ),
        formula(action, tau, m, clip),
        *(Q0, R, G, Q1, TARGET),
        grads=(0,) if stop else range(5),
    )


@SETTINGS
@hypothesis.given(seed=st.integers(0, 2**32 - 1), tau=st.floats(0.01, 10))
def test_without_the_bonus_it_is_soft_q_learning(seed, tau):
    random = np.random.default_rng(seed)
    q0, q1, target = random.standard_normal((3, 4)).astype(np.float32)
    target[:] = np.nan  # it must not matter
    have = rlax.munchausen_q_learning(q0, 1, R, G, q1, 0 * q1, tau, 0.0)
    soft = q1.max() + tau * np.log(np.sum(np.exp((q1.astype(float) - q1.max()) / tau)))
    np.testing.assert_allclose(have, R + G * soft - q0[1], rtol=1e-5, atol=1e-5)


def test_large_values_at_a_low_temperature_are_exact():
    q = np.array([1e4, 1e4 - 0.05, 9e3, -1e4], np.float32)
    for action in range(4):

        def error(*x, action=action):
            return rlax.munchausen_q_learning(
                x[0], action, R, G, *x[1:], stop_target_gradients=False
            )

        have, grads = jax.value_and_grad(error, (0, 1, 2))(0 * q, q, q)
        want = formula(action, 0.03, 0.9, -1.0)(0 * q, R, G, *2 * [q.astype(float)])
        np.testing.assert_allclose(have, want, rtol=1e-6)
        assert all(np.isfinite(g).all() for g in grads)


def test_impossible_actions_do_not_count():
    q1, target = Q1.copy(), TARGET.copy()
    q1[3] = target[3] = -np.inf

    def error(q1, target):
        return rlax.munchausen_q_learning(
            Q0, 0, R, G, q1, target, 0.5, stop_target_gradients=False
        )

    have, grads = jax.value_and_grad(error, (0, 1))(q1, target)
    want = formula(0, 0.5, 0.9, -1.0)(Q0, R, G, Q1[:3], TARGET[:3])
    np.testing.assert_allclose(have, want, rtol=1e-5)
    assert all(np.isfinite(g).all() for g in grads)


def test_bad_input_raises():
    args = Q0, 0, R, G, Q1, TARGET
    for options, message in (
        ({"temperature": 0.0}, "temperature must be above 0, got 0.0"),
        ({"munchausen": -1.0}, "munchausen must be at least 0"),
        ({"log_clip": 1.0}, "log_clip must be"),
    ):
        with pytest.raises(rlax.ContractError, match=message):
            rlax.munchausen_q_learning(*args, **options)
    with pytest.raises(rlax.ContractError, match=r"a_tm1 must be in 0 .. 3"):
        rlax.munchausen_q_learning(Q0, 4, *args[2:])
    assert np.isnan(jax.jit(rlax.munchausen_q_learning)(Q0, 4, *args[2:]))
