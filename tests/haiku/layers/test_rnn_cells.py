"""VanillaRNN, LSTM and GRU: one step."""

import jax.numpy as jnp
import numpy as np
import pytest
from definitions import KEY, normal, run_step, sigmoid

import haiku as hk

run = hk.testing.transform_and_run
X = normal(6, 2, 3)  # [T, B, features]


@pytest.mark.parametrize("double_bias", [True, False])
def test_a_vanilla_step_follows_its_equation(double_bias):
    x, h = normal(2, 3), normal(2, 4, seed=1)
    params, out, state = run_step(lambda: hk.VanillaRNN(4, double_bias), x, h)
    p, q = params["vanilla_rnn/linear"], params["vanilla_rnn/linear_1"]
    want = np.maximum(x @ p["w"] + p["b"] + h @ q["w"] + q.get("b", 0), 0)
    np.testing.assert_allclose(out, want, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(out, state)
    assert ("b" in q) is double_bias


def test_an_lstm_step_follows_its_equations():
    x, h, c = normal(2, 3), normal(2, 4, seed=1), normal(2, 4, seed=2)
    params, out, state = run_step(lambda: hk.LSTM(4), x, hk.LSTMState(h, c))
    p = params["lstm/linear"]
    i, g, f, o = np.split(np.concatenate([x, h], -1) @ p["w"] + p["b"], 4, -1)
    c = sigmoid(f + 1) * c + sigmoid(i) * np.tanh(g)
    np.testing.assert_allclose(state.cell, c, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(out, sigmoid(o) * np.tanh(c), rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(out, state.hidden)


def test_an_lstm_accepts_a_plain_pair_as_state():
    x, pair = normal(2, 3), (normal(2, 4, seed=1), normal(2, 4, seed=2))
    f = hk.transform(lambda s: hk.LSTM(4)(x, s)[0])
    params = f.init(KEY, pair)
    as_state = f.apply(params, None, hk.LSTMState(*pair))
    np.testing.assert_array_equal(f.apply(params, None, pair), as_state)


def test_a_gru_step_follows_its_equations():
    x, h = normal(2, 3), normal(2, 4, seed=1)
    params, out, state = run_step(lambda: hk.GRU(4), x, h)
    p = params["gru"]
    w_i, w_h = np.split(p["w_i"], 3, -1), np.split(p["w_h"], 3, -1)
    b = np.split(p["b"], 3)
    z = sigmoid(x @ w_i[0] + h @ w_h[0] + b[0])
    r = sigmoid(x @ w_i[1] + h @ w_h[1] + b[1])
    a = np.tanh(x @ w_i[2] + (r * h) @ w_h[2] + b[2])
    np.testing.assert_allclose(out, (1 - z) * h + z * a, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(out, state)


def test_a_gru_accepts_one_state_for_the_batch():
    out = run(lambda: hk.GRU(4)(normal(2, 3), jnp.zeros(4)))()[0]
    assert out.shape == (2, 4)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: hk.LSTM(4)(X, None), TypeError, r"'lstm'.*LSTMState.*NoneType"),
        (
            lambda: hk.LSTM(4)(X, hk.LSTM(4).initial_state(2)),
            ValueError,
            r"rank-1 or rank-2.*\(6, 2, 3\).*dynamic_unroll",
        ),
        (
            lambda: hk.LSTM(4)(X[0], hk.LSTM(4).initial_state(None)),
            ValueError,
            r"state of shape \(4,\) instead of \(2, 4\).*initial_state\(2\)",
        ),
        (
            lambda: hk.GRU(4)(jnp.ones(()), jnp.ones(4)),
            ValueError,
            "GRU input must be rank-1",
        ),
        (
            lambda: hk.GRU(4)(X[0, 0], jnp.ones(3)),
            ValueError,
            r"instead of \(4,\).*initial_state\(None\)",
        ),
        (
            lambda: hk.VanillaRNN(4)(X[0], jnp.ones([3, 4])),
            ValueError,
            r"\(2, 3\) and a state of shape \(3, 4\)",
        ),
    ],
)
def test_wrong_inputs_and_states_raise(call, error, message):
    with pytest.raises(error, match=message):
        run(call)()
