"""MultiHeadAttention."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from definitions import KEY, normal

import haiku as hk

run = hk.testing.transform_and_run
X = normal(2, 3, 4, 5)
W_INIT = hk.initializers.VarianceScaling(2.0)


def attention(params, query, key, value, mask, heads):
    """Attention by its equation, on random parameters."""

    def linear(name, x):
        p = params[f"multi_head_attention/{name}"]
        return x @ p["w"] + p["b"]

    def split(x):
        x = x.reshape(*x.shape[:-1], heads, -1)
        return np.moveaxis(x, -2, -3)  # [..., H, T, size]

    q, k, v = (
        split(linear(n, x))
        for n, x in (("query", query), ("key", key), ("value", value))
    )
    logits = q @ np.swapaxes(k, -1, -2) / np.sqrt(q.shape[-1])
    if mask is not None:
        logits = np.where(mask, logits, -np.inf)
    weights = np.exp(logits - logits.max(-1, keepdims=True))
    weights /= weights.sum(-1, keepdims=True)
    out = np.moveaxis(weights @ v, -3, -2)
    return linear("linear", out.reshape(*out.shape[:-2], -1))


@pytest.mark.parametrize("batch", [(), (2,), (2, 3)])
def test_attention_follows_its_equation(batch):
    query, key, value = normal(*batch, 4, 5), normal(*batch, 6, 7), normal(*batch, 6, 3)
    mask = np.tri(4, 6)[(None,) * (len(batch) + 1)]
    net = hk.transform(
        lambda q, k, v, m: hk.MultiHeadAttention(
            2, 3, w_init=W_INIT, value_size=4, model_size=5
        )(q, k, v, m)
    )
    params = net.init(KEY, query, key, value, mask)
    params = jax.tree.map(lambda p: normal(*p.shape, seed=p.size), params)
    out = net.apply(params, None, query, key, value, mask)
    want = attention(params, query, key, value, mask, 2)
    np.testing.assert_allclose(out, want, rtol=1e-3, atol=1e-4)
    out = net.apply(params, None, query, key, value, None)
    want = attention(params, query, key, value, None, 2)
    np.testing.assert_allclose(out, want, rtol=1e-3, atol=1e-4)


def test_a_batch_may_share_one_memory():
    query, memory = normal(2, 4, 5), normal(6, 5)
    net = hk.transform(lambda q, m: hk.MultiHeadAttention(2, 3, w_init=W_INIT)(q, m, m))
    params = net.init(KEY, query, memory)
    stacked = np.stack([memory, memory])
    np.testing.assert_allclose(
        net.apply(params, None, query, memory),
        net.apply(params, None, query, stacked),
        rtol=1e-5,
        atol=1e-6,
    )


def test_a_scale_replaces_the_initializer_and_biases_are_optional():
    def f():
        by_scale = hk.MultiHeadAttention(2, 3, 5.0, with_bias=False)
        assert by_scale.w_init.scale == 5.0
        assert (by_scale.value_size, by_scale.model_size) == (3, 6)
        by_scale(X[0, 0][None], X[0, 0][None], X[0, 0][None])
        return by_scale.params_dict()

    assert {k.rpartition("/")[2] for k in run(f)()} == {"w"}


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16, jnp.float32])
def test_a_query_with_everything_masked_gets_the_mean_and_a_gradient(dtype):
    x = jnp.asarray(X[0, :2], dtype)  # [2, 4, 5]
    nothing, everything = jnp.zeros([1, 1, 4, 4]), jnp.ones([1, 1, 4, 4])
    net = hk.transform(
        lambda x, mask: hk.MultiHeadAttention(2, 3, 1.0)(x, 0 * x, x, mask)
    )
    params = net.init(KEY, x, nothing)
    out, grads = jax.value_and_grad(
        lambda p, mask: net.apply(p, None, x, mask).sum().astype("float32")
    )(params, nothing)
    # All keys are equal, so a query without a mask gets the mean of the values too.
    want = net.apply(params, None, x, everything).sum()
    np.testing.assert_allclose(out, np.float32(want), rtol=0.02, atol=0.02)
    assert all(np.isfinite(g).all() for g in jax.tree.leaves(grads))


def mha(q, k, v, mask=None):
    return lambda: hk.MultiHeadAttention(2, 3, w_init=W_INIT)(q, k, v, mask)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: hk.MultiHeadAttention(2, 3), ValueError, "provide a weight init"),
        (
            lambda: hk.MultiHeadAttention(2, 3, 1.0, w_init=W_INIT),
            ValueError,
            "provide only `w_init`",
        ),
        (mha(X[0, 0, 0], X, X), ValueError, r"\[..., length, features\].*\(5,\)"),
        (mha(X, X, X[:, :, :2]), ValueError, "as many keys as values"),
        (mha(X, X[0, :2], X[0, :2]), ValueError, "leading axes broadcast"),
        (
            mha(X, X, X, np.ones([4, 4])),
            ValueError,
            "Mask dimensionality 2 must match logits dimensionality 5",
        ),
        (
            mha(X, X, X, np.ones([1, 1, 1, 4, 5])),
            ValueError,
            r"does not broadcast.*\(2, 3, 2, 4, 4\)",
        ),
    ],
)
def test_wrong_arguments_raise(call, error, message):
    with pytest.raises(error, match=message):
        run(call)()
