"""`hk.LayerScale` and `hk.stochastic_depth`."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import haiku as hk

KEY = jax.random.key(0)
X = jnp.asarray(np.random.RandomState(0).randn(6, 3, 4), jnp.float32)


def test_layer_scale_scales_features():
    model = hk.bind(hk.LayerScale).init(0, X)
    np.testing.assert_allclose(model(X), 1e-5 * X, rtol=1e-6)
    scale = jnp.array([1.0, 2.0, 0.0, -1.0])
    model = model.replace(params={"layer_scale": {"scale": scale}})
    np.testing.assert_array_equal(model(X), X * scale[None, None])
    with pytest.raises(ValueError, match=r"shape \[..., D\], got a scalar"):
        hk.bind(hk.LayerScale).init(0, jnp.ones([]))


def test_examples_are_dropped_whole_and_the_mean_stays():
    x = jnp.broadcast_to(X[:1], (4000, 3, 4))
    y = np.asarray(hk.stochastic_depth(KEY, 0.25, x))
    kept = y[:, 0, 0] != 0
    np.testing.assert_allclose(y[kept], np.asarray(x[kept]) / 0.75, rtol=1e-6)
    assert not y[~kept].any()
    np.testing.assert_allclose(kept.mean(), 0.75, atol=0.03)  # 4 standard errors
    np.testing.assert_allclose(y.mean(0), X[0], atol=0.1)


def test_it_is_dropout_of_examples():
    y = hk.stochastic_depth(KEY, 0.5, X)
    np.testing.assert_array_equal(y, hk.dropout(KEY, 0.5, X, (1, 2)))


def test_gradient():
    kept = hk.stochastic_depth(KEY, 0.5, jnp.ones([6, 3, 4]))
    gradient = jax.grad(lambda x: jnp.sum(hk.stochastic_depth(KEY, 0.5, x)))(X)
    np.testing.assert_array_equal(gradient, kept)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_layers_in_a_loop_have_rates_of_their_own(dtype):
    rates = jnp.array([0.0, 0.25, 0.5])
    x = X.astype(dtype)

    def layer(y, inputs):
        key, rate = inputs
        return hk.stochastic_depth(key, rate, y), None

    keys = jax.random.split(KEY, 3)
    with jax.numpy_dtype_promotion("strict"):
        y, _ = jax.jit(lambda x: jax.lax.scan(layer, x, (keys, rates)))(x)
    want = x
    for key, rate in zip(keys, [0.0, 0.25, 0.5]):
        want = hk.stochastic_depth(key, rate, want)
    assert y.dtype == x.dtype
    y, want = y.astype(jnp.float32), want.astype(jnp.float32)
    np.testing.assert_allclose(y, want, rtol=1e-2 if dtype != "float32" else 1e-5)


def test_no_rate_needs_no_key():
    assert hk.stochastic_depth(None, 0.0, X) is X


def test_bad_input_raises():
    with pytest.raises(ValueError, match=r"rate .* in \[0, 1\), got 1.0"):
        hk.stochastic_depth(KEY, 1.0, X)
    with pytest.raises(ValueError, match="got a scalar"):
        hk.stochastic_depth(KEY, 0.1, jnp.ones([]))
    with pytest.raises(TypeError, match="needs a key, got None"):
        hk.stochastic_depth(None, 0.1, X)
