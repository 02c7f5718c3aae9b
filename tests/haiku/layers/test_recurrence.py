import jax
import jax.numpy as jnp
import numpy as np
import pytest

import haiku as hk

run = hk.testing.transform_and_run
KEY = jax.random.key(0, impl="unsafe_rbg")  # the fastest to compile


def normal(*shape, seed=0):
    return np.random.RandomState(seed).randn(*shape).astype(np.float32)


X = normal(6, 2, 3)  # [T, B, features]


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def one_step(core, x, state):
    """Random parameters, and the step with them."""
    net = hk.transform(lambda x, s: core()(x, s))
    params = jax.tree.map(lambda p: normal(*p.shape), net.init(KEY, x, state))
    out, state = net.apply(params, None, x, state)
    return params, np.asarray(out), jax.tree.map(np.asarray, state)


@pytest.mark.parametrize("double_bias", [True, False])
def test_vanilla_step(double_bias):
    x, h = normal(2, 3), normal(2, 4, seed=1)
    params, out, state = one_step(lambda: hk.VanillaRNN(4, double_bias), x, h)
    p, q = params["vanilla_rnn/linear"], params["vanilla_rnn/linear_1"]
    want = np.maximum(x @ p["w"] + p["b"] + h @ q["w"] + q.get("b", 0), 0)
    np.testing.assert_allclose(out, want, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(out, state)
    assert ("b" in q) is double_bias


def test_lstm_step():
    x, h, c = normal(2, 3), normal(2, 4, seed=1), normal(2, 4, seed=2)
    params, out, state = one_step(lambda: hk.LSTM(4), x, hk.LSTMState(h, c))
    p = params["lstm/linear"]
    i, g, f, o = np.split(np.concatenate([x, h], -1) @ p["w"] + p["b"], 4, -1)
    c = sigmoid(f + 1) * c + sigmoid(i) * np.tanh(g)
    np.testing.assert_allclose(state.cell, c, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(out, sigmoid(o) * np.tanh(c), rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(out, state.hidden)


def test_lstm_takes_a_plain_pair():
    x, pair = normal(2, 3), (normal(2, 4, seed=1), normal(2, 4, seed=2))
    f = hk.transform(lambda s: hk.LSTM(4)(x, s)[0])
    params = f.init(KEY, pair)
    as_state = f.apply(params, None, hk.LSTMState(*pair))
    np.testing.assert_array_equal(f.apply(params, None, pair), as_state)


def test_gru_step():
    x, h = normal(2, 3), normal(2, 4, seed=1)
    params, out, state = one_step(lambda: hk.GRU(4), x, h)
    p = params["gru"]
    w_i, w_h = np.split(p["w_i"], 3, -1), np.split(p["w_h"], 3, -1)
    b = np.split(p["b"], 3)
    z = sigmoid(x @ w_i[0] + h @ w_h[0] + b[0])
    r = sigmoid(x @ w_i[1] + h @ w_h[1] + b[1])
    a = np.tanh(x @ w_i[2] + (r * h) @ w_h[2] + b[2])
    np.testing.assert_allclose(out, (1 - z) * h + z * a, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(out, state)


def test_gru_takes_one_state_for_the_batch():
    out = run(lambda: hk.GRU(4)(normal(2, 3), jnp.zeros(4)))()[0]
    assert out.shape == (2, 4)


def test_conv_lstm_is_an_lstm_per_pixel_with_a_kernel_of_one():
    x, h, c = normal(2, 5, 3), normal(2, 5, 4, seed=1), normal(2, 5, 4, seed=2)
    params, out, _ = one_step(lambda: hk.Conv1DLSTM((5,), 4, 1), x, hk.LSTMState(h, c))
    p, q = (params[f"conv1_dlstm/{n}_to_hidden"] for n in ("input", "hidden"))
    gates = x @ p["w"][0] + p["b"] + h @ q["w"][0] + q["b"]
    i, g, f, o = np.split(gates, 4, -1)
    c = sigmoid(f + 1) * c + sigmoid(i) * np.tanh(g)
    np.testing.assert_allclose(out, sigmoid(o) * np.tanh(c), rtol=1e-4, atol=1e-5)


CORES = {
    "vanilla": lambda: hk.VanillaRNN(4),
    "lstm": lambda: hk.LSTM(4),
    "gru": lambda: hk.GRU(4),
    "identity": lambda: hk.IdentityCore(),
    "deep": lambda: hk.DeepRNN([hk.LSTM(4), jnp.tanh, hk.GRU(3)]),
    "skip": lambda: hk.deep_rnn_with_skip_connections([hk.LSTM(4), hk.GRU(3)]),
}


@pytest.mark.parametrize("name", CORES)
def test_unrolls_agree(name):
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
def test_all_states(time_major):
    def f(x):
        core = hk.GRU(4)
        return hk.dynamic_unroll(
            core, x, core.initial_state(2), time_major, return_all_states=True
        )

    x = X if time_major else np.swapaxes(X, 0, 1)
    out, states = run(f)(x)
    np.testing.assert_array_equal(out, states)  # a GRU's output is its state
    assert out.shape == (*x.shape[:2], 4)


def test_unrolls_work_outside_of_a_transformed_function():
    core = lambda x, s: (x + s, s + 1)  # noqa: E731
    for unroll in (hk.dynamic_unroll, hk.static_unroll):
        out, state = unroll(core, jnp.arange(4), 0)
        np.testing.assert_array_equal(out, [0, 2, 4, 6])
        assert state == 4


def test_empty_sequence():
    out, state = hk.dynamic_unroll(lambda x, s: (x, s), jnp.zeros([0, 3]), 1.0)
    assert out.shape == (0, 3)
    assert state == 1.0


@pytest.mark.parametrize("batch_size", [None, 2])
def test_initial_states(batch_size):
    batch = () if batch_size is None else (2,)

    def f():
        return {
            "deep": CORES["deep"]().initial_state(batch_size),
            "conv": hk.Conv2DLSTM((5, 6), 4, 3).initial_state(batch_size),
            "reset": hk.ResetCore(hk.GRU(3)).initial_state(batch_size),
        }

    states = run(f)()
    lstm, gru = states["deep"]
    assert lstm.hidden.shape == lstm.cell.shape == (*batch, 4)
    assert gru.shape == states["reset"].shape == (*batch, 3)
    assert states["conv"].cell.shape == (*batch, 5, 6, 4)


def test_skip_connections_join_inputs_and_outputs():
    core = lambda: hk.deep_rnn_with_skip_connections(  # noqa: E731
        [hk.IdentityCore(), hk.IdentityCore()]
    )
    x = normal(2, 3)
    out, state = run(lambda: core()(x, core().initial_state(2)))()
    np.testing.assert_array_equal(out, np.concatenate([x, x, x], -1))
    assert state == ((), ())


def test_deep_rnn_of_functions_has_no_state():
    core = lambda: hk.DeepRNN([jnp.tanh, jnp.square])  # noqa: E731
    out, state = run(lambda: core()(X[0], core().initial_state(2)))()
    np.testing.assert_allclose(out, np.tanh(X[0]) ** 2, rtol=1e-4)
    assert state == ()


class Counting(hk.RNNCore):
    """Counts from 5, in a state of two arrays of different rank."""

    def __call__(self, inputs, prev_state):
        state = jax.tree.map(lambda s: s + 1, prev_state)
        return state["a"], state

    def initial_state(self, batch_size):
        batch = () if batch_size is None else (batch_size,)
        return {"a": jnp.full([*batch], 5), "b": jnp.full([*batch, 2], 5)}


def test_reset_where_it_is_told():
    def f(reset):
        core = hk.ResetCore(Counting())
        return hk.dynamic_unroll(core, (X, reset), core.initial_state(2))

    reset = np.zeros([6, 2], bool)
    reset[3, 0] = True
    out, state = run(f)(reset)
    np.testing.assert_array_equal(out[:, 0], [6, 7, 8, 6, 7, 8])
    np.testing.assert_array_equal(out[:, 1], [6, 7, 8, 9, 10, 11])
    np.testing.assert_array_equal(state["b"], [[8, 8], [11, 11]])


def test_reset_of_part_of_the_state_and_without_batch():
    def f(reset, state):
        return hk.ResetCore(Counting())((X, reset), state)[1]

    state = {"a": jnp.zeros(2, int), "b": jnp.zeros([2, 2], int)}
    parts = {"a": np.array([True, False]), "b": np.array([False, True])}
    after = run(f)(parts, state)
    np.testing.assert_array_equal(after["a"], [6, 1])
    np.testing.assert_array_equal(after["b"], [[1, 1], [6, 6]])
    single = {"a": jnp.zeros((), int), "b": jnp.zeros([2], int)}
    assert run(f)(True, single)["a"] == 6
    assert run(f)(False, single)["a"] == 1


def test_reset_of_a_core_without_state():
    out, state = run(lambda: hk.ResetCore(hk.IdentityCore())((X, np.array(True)), ()))()
    np.testing.assert_array_equal(out, X)
    assert state == ()


def test_rnn_core_is_abstract():
    class Half(hk.RNNCore):
        def __call__(self, inputs, prev_state):
            return inputs, prev_state

    with pytest.raises(TypeError, match="abstract.*initial_state"):
        run(lambda: Half())()


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
        (
            lambda: hk.Conv1DLSTM((5,), 4, 3)(
                jnp.ones([2, 6, 3]), hk.Conv1DLSTM((5,), 4, 3).initial_state(2)
            ),
            ValueError,
            r"\(2, 6, 3\).*\(2, 5, 4\).*input_shape is \(5,\)",
        ),
        (
            lambda: hk.DeepRNN([hk.GRU(4)])(X[0], ()),
            ValueError,
            "1 cores, but got 0 states",
        ),
        (
            lambda: hk.deep_rnn_with_skip_connections([jnp.tanh]),
            ValueError,
            "skip_connections requires",
        ),
        (
            lambda: hk.ResetCore(hk.GRU(4))(X[0], jnp.ones([2, 4])),
            ValueError,
            "takes a pair",
        ),
        (
            lambda: hk.ResetCore(hk.GRU(4))(
                (X[0], jnp.ones([2, 1, 1])), jnp.ones([2, 4])
            ),
            ValueError,
            r"shape \(2, 1, 1\).*state shape \(2, 4\)",
        ),
        (
            lambda: hk.ResetCore(hk.GRU(4))((X[0], {"a": True}), jnp.ones([2, 4])),
            ValueError,
            "another structure",
        ),
        (lambda: hk.dynamic_unroll(hk.GRU(4), (), 0.0), ValueError, "time axis"),
        (
            lambda: hk.dynamic_unroll(hk.GRU(4), (X, X[:3]), 0.0),
            ValueError,
            r"\[6, 3\]",
        ),
        (lambda: hk.static_unroll(hk.GRU(4), 1.0, 0.0), ValueError, "a scalar"),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        run(call)()
