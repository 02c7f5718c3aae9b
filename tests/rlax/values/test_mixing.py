"""Values of many agents beside their formulas."""

import hypothesis
import hypothesis.strategies as st
import jax
import numpy as np
import pytest
from numpy_formulas import equal

import rlax

SETTINGS = hypothesis.settings(max_examples=25, deadline=None, derandomize=True)
SEEDS = st.integers(0, 2**32 - 1)


def weights(seed):
    random = np.random.default_rng(seed)
    return [random.standard_normal(s) for s in (3, (3, 4), 4, 4, ())]


def qmix(q, w_1, b_1, w_2, b_2):
    hidden = q @ np.abs(w_1) + b_1
    hidden = np.where(hidden > 0, hidden, np.expm1(hidden))
    return np.abs(w_2) @ hidden + b_2


def test_mixed_value_equals_the_formula():
    equal(rlax.qmix_value, qmix, *weights(0), grads=range(5))
    zero = jax.grad(rlax.qmix_value, (0, 1, 2, 3, 4))(*[0 * x for x in weights(0)])
    assert all(np.isfinite(g).all() for g in zero)


@SETTINGS
@hypothesis.given(seed=SEEDS)
def test_mixed_value_rises_with_every_agent(seed):
    assert np.all(jax.grad(rlax.qmix_value)(*weights(seed)) >= 0)


def test_counterfactual_advantage_equals_the_formula():
    q, pi = np.array([1.0, -0.5, 2.0]), np.array([0.2, 0.5, 0.3])
    equal(
        lambda q, pi: rlax.coma_advantage(q, 2, pi),
        lambda q, pi: q[2] - q @ pi,
        *(q, pi),
        grads=(0, 1),
    )


@SETTINGS
@hypothesis.given(seed=SEEDS)
def test_counterfactual_advantage_averages_to_zero(seed):
    random = np.random.default_rng(seed)
    q, pi = random.standard_normal(4), random.dirichlet(np.ones(4))
    advantage = [rlax.coma_advantage(q, a, pi) for a in range(4)]
    np.testing.assert_allclose(pi @ np.array(advantage), 0, atol=1e-6)


def test_bad_input_raises():
    q, w_1, *rest = weights(0)
    with pytest.raises(rlax.ContractError, match="w_1 has shape"):
        rlax.qmix_value(q[:1], w_1, *rest)
    with pytest.raises(rlax.ContractError, match="q_t has shape"):
        rlax.qmix_value(q[:0], w_1[:0], *rest)
    with pytest.raises(rlax.ContractError, match=r"a_t must be in 0 .. 2"):
        rlax.coma_advantage(q, 3, np.ones(3) / 3)
    with pytest.raises(rlax.ContractError, match=r"pi_t must be in \[0, 1\]"):
        rlax.coma_advantage(q, 0, q * 2)
    assert np.isnan(jax.jit(rlax.coma_advantage)(q, -1, np.ones(3) / 3))
