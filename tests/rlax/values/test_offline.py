"""Values from a fixed data set beside their formulas in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy_formulas import equal
from random_streams import SETTINGS

import rlax

RANDOM = np.random.default_rng(4)
Q, LOG_MU = RANDOM.standard_normal((2, 5))


@pytest.mark.parametrize("temperature", [0.1, 1.0, 3.0])
def test_cql_equals_its_formula(temperature):
    def formula(q, data, log_mu):
        x = (q - log_mu) / temperature
        return temperature * np.log(np.sum(np.exp(x))) - data

    def op(q, data, log_mu):
        return rlax.cql_loss(q, data, temperature, log_mu_t=log_mu)

    equal(op, formula, Q, 0.3, LOG_MU, grads=(0, 1))
    have = rlax.cql_loss(Q, 0.3, temperature)
    np.testing.assert_allclose(have, formula(Q, 0.3, 0), rtol=1e-5)


def test_cql_of_extreme_values_is_finite():
    q = jnp.array([1e4, -1e4, -jnp.inf])
    value, gradient = jax.value_and_grad(rlax.cql_loss)(q, 0.0, 0.03)
    assert value == 1e4
    np.testing.assert_array_equal(gradient, [1, 0, 0])


@pytest.mark.parametrize("v", [-2.0, 0.1, 2.0])
def test_iql_equals_its_formula(v):
    def formula(v, q):
        u = q.min() - v
        return abs(0.8 - (u < 0)) * u**2

    equal(lambda v, q: rlax.iql_value_loss(v, q, 0.8), formula, v, Q, grads=(0,))


@SETTINGS
@given(v=st.floats(-9, 9, width=32), q=st.floats(-9, 9, width=32))
def test_iql_at_one_half_is_half_the_squared_error(v, q):
    v, q = np.float32(v), np.float32(q)
    have = rlax.iql_value_loss(v, q[None], 0.5)
    np.testing.assert_allclose(have, rlax.l2_loss(v, q), rtol=1e-6)


X = np.ones(3, np.float32)
BAD = {
    "cql_loss: temperature must be above 0": lambda: rlax.cql_loss(X, 1.0, 0.0),
    "cql_loss: q_t.*N would be 0": lambda: rlax.cql_loss(X[:0], 1.0),
    "cql_loss: log_mu_t": lambda: rlax.cql_loss(X, 1.0, log_mu_t=X[:2]),
    "cql_loss: q_data": lambda: rlax.cql_loss(X, X),
    "iql_value_loss: expectile must be in": lambda: rlax.iql_value_loss(1.0, X, 1.2),
    "iql_value_loss: q_tm1.*N would be 0": lambda: rlax.iql_value_loss(1.0, X[:0]),
    "iql_value_loss: v_tm1": lambda: rlax.iql_value_loss(X, X),
}


@pytest.mark.parametrize("message", BAD)
def test_bad_argument_raises_an_error_that_names_it(message):
    with pytest.raises(rlax.ContractError, match=message):
        BAD[message]()
