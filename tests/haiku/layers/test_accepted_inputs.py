"""Layers accept every input that their arithmetic can handle."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import haiku as hk

KEY = jax.random.key(0)
X = jnp.sin(jnp.arange(120.0)).reshape(2, 5, 3, 4)
ROWS, SIGNAL = X[0, :3, 0], X[:, :, 0]  # [3, 4], [2, 5, 4]


def run(f):
    net = hk.transform_with_state(f)
    params, state = net.init(KEY)
    return net.apply(params, state, KEY)


def unbatched_lstm(state):
    return hk.Conv1DLSTM((5,), 4, 3)(SIGNAL[0], hk.LSTMState(state, state))


def attend(*args, **options):
    return hk.MultiHeadAttention(2, 3, w_init_scale=1.0)(*args, **options)


def broadcast(x, *shape):
    return jnp.broadcast_to(x, shape)


EQUAL = {
    "nested lists in a convolution": (
        lambda: hk.Conv1D(3, 3)(SIGNAL.tolist()),
        lambda: hk.Conv1D(3, 3)(SIGNAL),
    ),
    "nested lists in norms": (
        lambda: [n(ROWS.tolist()) for n in (hk.LayerNorm(-1, 1, 1), hk.RMSNorm(-1))],
        lambda: [n(ROWS) for n in (hk.LayerNorm(-1, 1, 1), hk.RMSNorm(-1))],
    ),
    "an array of axes": (
        lambda: hk.BatchNorm(1, 1, 0.9, axis=np.array([0, 1]))(X, True),
        lambda: hk.BatchNorm(1, 1, 0.9, axis=(0, 1))(X, True),
    ),
    "an array of padding": (
        lambda: hk.Conv2D(3, 3, padding=np.array([[1, 2], [0, 1]]))(X),
        lambda: hk.Conv2D(3, 3, padding=((1, 2), (0, 1)))(X),
    ),
    "an array of windows": (
        lambda: hk.max_pool(X, np.array([2, 2, 1]), np.array([1, 2, 1]), "SAME"),
        lambda: hk.max_pool(X, (2, 2, 1), (1, 2, 1), "SAME"),
    ),
    "a NumPy integer as the size of a bias": (
        lambda: hk.Bias(np.int64(4), b_init=jnp.ones)(ROWS),
        lambda: hk.Bias(4, b_init=jnp.ones)(ROWS),
    ),
    "a scale with more axes than the input": (
        lambda: hk.LayerNorm(-1, False, False)(ROWS, jnp.full([2, 1, 1], 3.0)),
        lambda: broadcast(3 * hk.LayerNorm(-1, False, False)(ROWS), 2, 3, 4),
    ),
    "one state of a GRU for several inputs": (
        lambda: hk.GRU(4)(ROWS, X[0, :1, 0]),
        lambda: hk.GRU(4)(ROWS, broadcast(X[0, :1, 0], 3, 4)),
    ),
    "one input of a GRU for several states": (
        lambda: hk.GRU(4)(X[0, :1, 0], ROWS),
        lambda: hk.GRU(4)(broadcast(X[0, :1, 0], 3, 4), ROWS),
    ),
    "one input of a convolutional LSTM for several states": (
        lambda: unbatched_lstm(SIGNAL),
        lambda: hk.Conv1DLSTM((5,), 4, 3)(
            broadcast(SIGNAL[0], 2, 5, 4), hk.LSTMState(SIGNAL, SIGNAL)
        ),
    ),
    "queries without the batch axis of keys": (
        lambda: attend(SIGNAL[0], SIGNAL, SIGNAL),
        lambda: attend(broadcast(SIGNAL[0], 2, 5, 4), SIGNAL, SIGNAL),
    ),
    "a mask of integers": (
        lambda: hk.Conv1D(4, 3, mask=np.tri(3, dtype=int)[..., None] * [[[1] * 4]])(
            SIGNAL[..., :3]
        ),
        lambda: hk.Conv1D(4, 3, mask=np.tri(3)[..., None] * np.ones(4))(
            SIGNAL[..., :3]
        ),
    ),
    "indices of a quantiser in a list": (
        lambda: hk.nets.VectorQuantizer(4, 6, 0.25).quantize([1, 2]),
        lambda: hk.nets.VectorQuantizer(4, 6, 0.25).quantize(jnp.array([1, 2])),
    ),
    "an average initialized as a scalar": (
        lambda: [
            (m := hk.ExponentialMovingAverage(0.9)).initialize(()),
            m(ROWS),
        ][1],
        lambda: hk.ExponentialMovingAverage(0.9)(ROWS),
    ),
    "an average initialized with integers": (
        lambda: [
            (m := hk.ExponentialMovingAverage(0.9)).initialize([3], int),
            m(jnp.array([1, 2, 4])),
        ][1],
        lambda: hk.ExponentialMovingAverage(0.9)(jnp.array([1.0, 2.0, 4.0])),
    ),
    "NumPy arrays in a static unroll": (
        lambda: hk.static_unroll(lambda x, s: (x, s + x), np.arange(3), 0.0),
        lambda: hk.static_unroll(lambda x, s: (x, s + x), jnp.arange(3), 0.0),
    ),
    "fan_in_axes of a matrix, which ignores them": (
        lambda: hk.initializers.VarianceScaling(fan_in_axes=[1])((3, 5), jnp.float32),
        lambda: hk.initializers.VarianceScaling()((3, 5), jnp.float32),
    ),
    "True as a size": (
        lambda: hk.Reshape((True, -1))(X),
        lambda: hk.Reshape((1, -1))(X),
    ),
    "no examples, in any shape": (
        lambda: hk.Reshape((7,))(X[:0]),
        lambda: jnp.zeros([0, 7]),
    ),
}


@pytest.mark.parametrize("name", EQUAL)
def test_both_programs_agree(name):
    have, want = (run(f)[0] for f in EQUAL[name])
    for a, b in zip(jax.tree.leaves(have), jax.tree.leaves(want), strict=True):
        assert a.shape == b.shape
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)
