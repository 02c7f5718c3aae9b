"""Linear and Bias."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import haiku as hk

KEY = jax.random.key(0, impl="unsafe_rbg")  # the fastest to compile


@pytest.mark.parametrize("shape", [(4,), (3, 4), (2, 3, 4)])
@pytest.mark.parametrize("with_bias", [True, False])
def test_linear_multiplies_and_adds(shape, with_bias):
    x = np.random.RandomState(0).randn(*shape).astype(np.float32)
    net = hk.transform(lambda x: hk.Linear(5, with_bias)(x))
    params = net.init(KEY, x)["linear"]
    assert {k: v.shape for k, v in params.items()} == (
        {"w": (4, 5), "b": (5,)} if with_bias else {"w": (4, 5)}
    )
    w = params["w"]
    b = jnp.arange(5.0) if with_bias else 0.0
    params = {"linear": {"w": w, "b": b} if with_bias else {"w": w}}
    np.testing.assert_allclose(net.apply(params, None, x), x @ w + b, atol=1e-5)


def test_initial_weights_keep_the_scale_of_the_inputs():
    net = hk.transform(lambda x: hk.Linear(300)(x))
    w = net.init(KEY, jnp.ones([1, 400]))["linear"]["w"]
    assert abs(float(w.std()) * np.sqrt(400) - 0.88) < 0.02  # cut off at two sigma
    assert float(jnp.abs(w).max()) <= 2 / np.sqrt(400)


def test_an_input_without_features_gives_the_bias():
    net = hk.transform(lambda x: hk.Linear(2, b_init=jnp.ones)(x))
    x = jnp.zeros([3, 0])
    params = net.init(KEY, x)
    assert params["linear"]["w"].shape == (0, 2)
    assert (net.apply(params, None, x) == 1).all()


def test_precision_reaches_the_product():
    net = hk.transform(lambda x: hk.Linear(2)(x, precision="highest"))
    x = jnp.ones([3, 4])
    jaxpr = jax.make_jaxpr(net.apply)(net.init(KEY, x), None, x)
    assert "HIGHEST" in str(jaxpr)


@pytest.mark.parametrize(
    ("dims", "shape"),
    [
        (None, (3, 4, 5)),
        ((), ()),
        ([-1], (5,)),
        ([1, 3], (3, 1, 5)),
        ([-1, -2], (4, 5)),
        ([1, -3], (3, 1, 1)),
    ],
)
def test_the_bias_varies_along_bias_dims(dims, shape):
    x = jnp.zeros([2, 3, 4, 5])

    def f(x):
        bias = hk.Bias(bias_dims=dims)
        out = bias(x, multiplier=-2.0)
        assert bias.bias_shape == shape
        assert bias.input_size == (3, 4, 5)
        return out

    net = hk.transform(f)
    params = net.init(None, x)
    assert params["bias"]["b"].shape == shape
    b = np.random.RandomState(0).randn(*shape)
    out = net.apply({"bias": {"b": jnp.asarray(b)}}, None, x)
    np.testing.assert_allclose(out, np.broadcast_to(-2 * b, x.shape), rtol=1e-6)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: hk.Linear(2)(jnp.ones(())),
            ValueError,
            "must not be scalar.*'linear'",
        ),
        (lambda: hk.Bias()(jnp.ones(3)), ValueError, "rank >= 2.*'bias'.*(3,)"),
        (
            lambda: hk.Bias(output_size=(4,))(jnp.ones([2, 5])),
            ValueError,
            r"must be \(-1, 4\).*got \(2, 5\)",
        ),
        (
            lambda: hk.Bias(output_size=4)(jnp.ones([2, 5])),
            ValueError,
            r"must be \(-1, 4\)",
        ),
        (
            lambda: hk.Bias(bias_dims=[0])(jnp.ones([2, 5])),
            ValueError,
            "minibatch dimension.*axis 0",
        ),
        (
            lambda: hk.Bias(bias_dims=[1, 5])(jnp.ones([2, 5])),
            ValueError,
            "Dimension 5 .* out of range for input of rank 2",
        ),
    ],
)
def test_wrong_shapes_raise(call, error, message):
    with pytest.raises(error, match=message):
        hk.testing.transform_and_run(call)()
