"""What the arithmetic below a layer can do, the layer accepts: equal programs."""

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


def spread(x, *shape):
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
    "a scale of more axes than the input": (
        lambda: hk.LayerNorm(-1, False, False)(ROWS, jnp.full([2, 1, 1], 3.0)),
        lambda: spread(3 * hk.LayerNorm(-1, False, False)(ROWS), 2, 3, 4),
    ),
    "one state of a GRU for several inputs": (
        lambda: hk.GRU(4)(ROWS, X[0, :1, 0]),
        lambda: hk.GRU(4)(ROWS, spread(X[0, :1, 0], 3, 4)),
    ),
    "one input of a GRU for several states": (
        lambda: hk.GRU(4)(X[0, :1, 0], ROWS),
        lambda: hk.GRU(4)(spread(X[0, :1, 0], 3, 4), ROWS),
    ),
    "one input of a convolutional LSTM for several states": (
        lambda: unbatched_lstm(SIGNAL),
        lambda: hk.Conv1DLSTM((5,), 4, 3)(
            spread(SIGNAL[0], 2, 5, 4), hk.LSTMState(SIGNAL, SIGNAL)
        ),
    ),
    "queries without the batch axis of keys": (
        lambda: attend(SIGNAL[0], SIGNAL, SIGNAL),
        lambda: attend(spread(SIGNAL[0], 2, 5, 4), SIGNAL, SIGNAL),
    ),
    "a mask in whole numbers": (
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
    "an average that was started as a scalar": (
        lambda: [
            (m := hk.ExponentialMovingAverage(0.9)).initialize(()),
            m(ROWS),
        ][1],
        lambda: hk.ExponentialMovingAverage(0.9)(ROWS),
    ),
    "an average that was started in whole numbers": (
        lambda: [
            (m := hk.ExponentialMovingAverage(0.9)).initialize([3], int),
            m(jnp.array([1, 2, 4])),
        ][1],
        lambda: hk.ExponentialMovingAverage(0.9)(jnp.array([1.0, 2.0, 4.0])),
    ),
    "NumPy's arrays in a static unroll": (
        lambda: hk.static_unroll(lambda x, s: (x, s + x), np.arange(3), 0.0),
        lambda: hk.static_unroll(lambda x, s: (x, s + x), jnp.arange(3), 0.0),
    ),
    "fan_in_axes of a matrix, which follows the convention": (
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
def test_equal(name):
    have, want = (run(f)[0] for f in EQUAL[name])
    for a, b in zip(jax.tree.leaves(have), jax.tree.leaves(want), strict=True):
        assert a.shape == b.shape
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16, jnp.float32])
def test_a_query_that_sees_nothing_has_the_mean_and_a_gradient(dtype):
    x = SIGNAL.astype(dtype)
    nothing, everything = jnp.zeros([1, 1, 5, 5]), jnp.ones([1, 1, 5, 5])
    net = hk.transform(lambda x, mask: attend(x, 0 * x, x, mask=mask))
    params = net.init(KEY, x, nothing)
    out, grads = jax.value_and_grad(
        lambda p, mask: net.apply(p, None, x, mask).sum().astype("float32")
    )(params, nothing)
    # All keys are alike, so that without a mask a query has the mean of the values too.
    want = net.apply(params, None, x, everything).sum()
    np.testing.assert_allclose(out, np.float32(want), rtol=0.02, atol=0.02)
    assert all(np.isfinite(g).all() for g in jax.tree.leaves(grads))


def test_averages_are_missing_until_init_has_trained():
    net = hk.transform_with_state(
        lambda x, is_training: hk.BatchNorm(True, True, 0.9)(x, is_training)
    )
    with pytest.raises(
        ValueError, match="No value for 'average' in 'batch_norm/~/mean"
    ):
        net.init(KEY, X, False)
    with pytest.raises(ValueError, match=r"Run `init` with is_training=True"):
        net.apply(*net.init(KEY, X, True)[:1], {}, None, X, False)


def test_averages_go_on_after_an_empty_batch():
    net = hk.transform_with_state(lambda x: hk.BatchNorm(True, True, 0.9)(x, True))
    params, state = net.init(None, X[:0])
    _, state = net.apply(params, state, None, X[:0])
    _, after = net.apply(params, state, None, X)
    _, alone = net.apply(*net.init(None, X), None, X)
    assert jax.tree.structure(after) == jax.tree.structure(alone)
    for name in ("batch_norm/~/mean_ema", "batch_norm/~/var_ema"):
        np.testing.assert_allclose(after[name]["counter"], 1)
        np.testing.assert_allclose(after[name]["average"], alone[name]["average"], 1e-5)


def test_fan_in_axes_out_of_range():
    init = hk.initializers.VarianceScaling(fan_in_axes=[5])
    with pytest.raises(IndexError, match=r"fan_in_axes \(5,\).*\(2, 3, 4\)"):
        run(lambda: init((2, 3, 4), jnp.float32))
