"""Stacks of cores, and resets."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from definitions import normal

import haiku as hk

run = hk.testing.transform_and_run
X = normal(6, 2, 3)  # [T, B, features]


@pytest.mark.parametrize("batch_size", [None, 2])
def test_initial_states_have_the_batch_size(batch_size):
    batch = () if batch_size is None else (2,)

    def f():
        return {
            "deep": hk.DeepRNN([hk.LSTM(4), jnp.tanh, hk.GRU(3)]).initial_state(
                batch_size
            ),
            "conv": hk.Conv2DLSTM((5, 6), 4, 3).initial_state(batch_size),
            "reset": hk.ResetCore(hk.GRU(3)).initial_state(batch_size),
        }

    states = run(f)()
    lstm, gru = states["deep"]
    assert lstm.hidden.shape == lstm.cell.shape == (*batch, 4)
    assert gru.shape == states["reset"].shape == (*batch, 3)
    assert states["conv"].cell.shape == (*batch, 5, 6, 4)


def test_skip_connections_concatenate_inputs_and_outputs():
    core = lambda: hk.deep_rnn_with_skip_connections(  # noqa: E731
        [hk.IdentityCore(), hk.IdentityCore()]
    )
    x = normal(2, 3)
    out, state = run(lambda: core()(x, core().initial_state(2)))()
    np.testing.assert_array_equal(out, np.concatenate([x, x, x], -1))
    assert state == ((), ())


def test_a_stack_of_functions_has_no_state():
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


def test_the_flag_resets_the_state():
    def f(reset):
        core = hk.ResetCore(Counting())
        return hk.dynamic_unroll(core, (X, reset), core.initial_state(2))

    reset = np.zeros([6, 2], bool)
    reset[3, 0] = True
    out, state = run(f)(reset)
    np.testing.assert_array_equal(out[:, 0], [6, 7, 8, 6, 7, 8])
    np.testing.assert_array_equal(out[:, 1], [6, 7, 8, 9, 10, 11])
    np.testing.assert_array_equal(state["b"], [[8, 8], [11, 11]])


def test_a_tree_of_flags_resets_parts_of_the_state():
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


def test_a_core_without_state_can_be_reset():
    out, state = run(lambda: hk.ResetCore(hk.IdentityCore())((X, np.array(True)), ()))()
    np.testing.assert_array_equal(out, X)
    assert state == ()


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
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
    ],
)
def test_wrong_cores_and_flags_raise(call, error, message):
    with pytest.raises(error, match=message):
        run(call)()
