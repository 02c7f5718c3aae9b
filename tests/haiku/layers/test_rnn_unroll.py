"""Unrolling recurrent cores."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from definitions import KEY, normal

import haiku as hk

run = hk.testing.transform_and_run
X = normal(6, 2, 3)  # [T, B, features]

CORES = {
    "vanilla": lambda: hk.VanillaRNN(4),
    "lstm": lambda: hk.LSTM(4),
    "gru": lambda: hk.GRU(4),
    "identity": lambda: hk.IdentityCore(),
    "deep": lambda: hk.DeepRNN([hk.LSTM(4), jnp.tanh, hk.GRU(3)]),
    "skip": lambda: hk.deep_rnn_with_skip_connections([hk.LSTM(4), hk.GRU(3)]),
}


@pytest.mark.parametrize("name", CORES)
def test_all_unrolls_agree(name):
    def unrolled(x):
        core = CORES[name]()
        state = core.initial_state(2)
        swapped = jnp.swapaxes(x, 0, 1)
        return (
            hk.static_unroll(core, x, state),
            hk.dynamic_unroll(core, x, state),
            hk.dynamic_unroll(core, x, state, unroll=3),
            hk.static_unroll(core, swapped, state, time_major=False),
            hk.dynamic_unroll(core, swapped, state, time_major=False),
            hk.dynamic_unroll(core, x[::-1], state, reverse=True),
        )

    net = hk.transform(unrolled)
    params = jax.jit(net.init)(KEY, X)
    (out, last), *others = jax.jit(net.apply)(params, None, X)
    (a, b, batch_static, batch_dynamic, reverse) = others
    for other_out, other_last in (
        a,
        b,
        (jnp.swapaxes(batch_static[0], 0, 1), batch_static[1]),
        (jnp.swapaxes(batch_dynamic[0], 0, 1), batch_dynamic[1]),
        (reverse[0][::-1], reverse[1]),
    ):
        np.testing.assert_allclose(out, other_out, rtol=1e-4, atol=1e-5)
        for x, y in zip(jax.tree.leaves(last), jax.tree.leaves(other_last)):
            np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("time_major", [True, False])
def test_all_states_are_laid_out_like_the_outputs(time_major):
    def f(x):
        core = hk.GRU(4)
        return hk.dynamic_unroll(
            core, x, core.initial_state(2), time_major, return_all_states=True
        )

    x = X if time_major else np.swapaxes(X, 0, 1)
    out, states = run(f)(x)
    np.testing.assert_array_equal(out, states)  # a GRU's output is its state
    assert out.shape == (*x.shape[:2], 4)


def test_unrolls_work_outside_a_transformed_function():
    core = lambda x, s: (x + s, s + 1)  # noqa: E731
    for unroll in (hk.dynamic_unroll, hk.static_unroll):
        out, state = unroll(core, jnp.arange(4), 0)
        np.testing.assert_array_equal(out, [0, 2, 4, 6])
        assert state == 4


def test_an_empty_sequence_keeps_the_state():
    out, state = hk.dynamic_unroll(lambda x, s: (x, s), jnp.zeros([0, 3]), 1.0)
    assert out.shape == (0, 3)
    assert state == 1.0


def test_a_core_must_implement_both_methods():
    class Half(hk.RNNCore):
        def __call__(self, inputs, prev_state):
            return inputs, prev_state

    with pytest.raises(TypeError, match="abstract.*initial_state"):
        run(lambda: Half())()


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: hk.dynamic_unroll(hk.GRU(4), (), 0.0), ValueError, "time axis"),
        (
            lambda: hk.dynamic_unroll(hk.GRU(4), (X, X[:3]), 0.0),
            ValueError,
            r"\[6, 3\]",
        ),
        (lambda: hk.static_unroll(hk.GRU(4), 1.0, 0.0), ValueError, "a scalar"),
    ],
)
def test_sequences_without_one_length_raise(call, error, message):
    with pytest.raises(error, match=message):
        run(call)()
