"""Convolutional LSTMs."""

import jax.numpy as jnp
import numpy as np
import pytest
from definitions import normal, run_step, sigmoid

import haiku as hk

run = hk.testing.transform_and_run


def test_a_kernel_of_size_one_gives_an_lstm_per_pixel():
    x, h, c = normal(2, 5, 3), normal(2, 5, 4, seed=1), normal(2, 5, 4, seed=2)
    params, out, _ = run_step(lambda: hk.Conv1DLSTM((5,), 4, 1), x, hk.LSTMState(h, c))
    p, q = (params[f"conv1_dlstm/{n}_to_hidden"] for n in ("input", "hidden"))
    gates = x @ p["w"][0] + p["b"] + h @ q["w"][0] + q["b"]
    i, g, f, o = np.split(gates, 4, -1)
    c = sigmoid(f + 1) * c + sigmoid(i) * np.tanh(g)
    np.testing.assert_allclose(out, sigmoid(o) * np.tanh(c), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: hk.Conv1DLSTM((5,), 4, 3)(
                jnp.ones([2, 6, 3]), hk.Conv1DLSTM((5,), 4, 3).initial_state(2)
            ),
            ValueError,
            r"\(2, 6, 3\).*\(2, 5, 4\).*input_shape is \(5,\)",
        ),
    ],
)
def test_other_spatial_sizes_raise(call, error, message):
    with pytest.raises(error, match=message):
        run(call)()
