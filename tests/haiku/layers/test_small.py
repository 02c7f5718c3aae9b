"""Reshape, BatchApply, Deferred, Embed, dropout, attention."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import haiku as hk

run = hk.testing.transform_and_run
KEY = jax.random.key(0, impl="unsafe_rbg")  # the fastest to compile


def normal(*shape, seed=0):
    return np.random.RandomState(seed).randn(*shape).astype(np.float32)


X = normal(2, 3, 4, 5)

# ---- Reshape and Flatten -------------------------------------------------------------


@pytest.mark.parametrize(
    ("keep", "shape"),
    [
        (1, (2, 12, 5)),
        (-3, (2, 12, 5)),
        (2, (2, 3, 4, 5)),
        (3, (2, 3, 4, 1, 5)),
        (-1, (2, 3, 4, 1, 5)),
        (4, (2, 3, 4, 5)),
        (9, (2, 3, 4, 5)),
        (-9, (24, 5)),
    ],
)
def test_reshape(keep, shape):
    out = run(lambda: hk.Reshape((-1, 5), preserve_dims=keep)(X))()
    np.testing.assert_array_equal(out, X.reshape(shape))


def test_flatten():
    assert run(lambda: hk.Flatten()(X))().shape == (2, 60)
    assert run(lambda: hk.Flatten(2)(X))().shape == (2, 3, 20)
    assert run(lambda: hk.Flatten(-2)(X))().shape == (2, 3, 20)
    assert run(lambda: hk.Flatten()(jnp.ones(())))().shape == ()
    assert run(lambda: hk.Reshape((3, -1))(X[:0]))().shape == (0, 3, 20)
    assert run(lambda: hk.Reshape(())(jnp.ones([3, 1])))().shape == (3,)


def test_reshape_of_a_symbolic_size():
    sizes = jax.export.symbolic_shape("b, t, 4")
    x = jax.ShapeDtypeStruct(sizes, np.float32)
    f = hk.transform(lambda x: hk.Reshape((-1, 2))(x))
    out = jax.eval_shape(lambda x: f.apply({}, None, x), x)
    assert out.shape == (sizes[0], 2 * sizes[1], 2)


# ---- BatchApply and expand_apply -----------------------------------------------------


@pytest.mark.parametrize("num_dims", [1, 2, 3])
def test_batch_apply_merges_and_splits(num_dims):
    seen = []

    def f(tree, small, number, nothing, *, named):
        seen.append((tree["x"].shape, small.shape, number, nothing, named.shape))
        return {"sum": tree["x"].sum(-1), "none": None}

    small = np.ones([3] * (num_dims - 1))
    out = hk.BatchApply(f, num_dims)({"x": X}, small, 2.0, None, named=X)
    merged = (int(np.prod(X.shape[:num_dims])), *X.shape[num_dims:])
    assert seen == [(merged, small.shape, 2.0, None, merged)]
    np.testing.assert_allclose(out["sum"], X.sum(-1), rtol=1e-4, atol=1e-5)
    assert out["none"] is None


def test_batch_apply_keeps_numpy():
    assert isinstance(hk.BatchApply(lambda x: x)(X), np.ndarray)


@pytest.mark.parametrize("axis", [0, -1])
def test_expand_apply(axis):
    def f(x, *, y):
        assert x.shape == ((1, 3, 4) if axis == 0 else (3, 4, 1))
        assert y.shape == (1,)
        return {"out": x + y}

    out = hk.expand_apply(f, axis)(jnp.ones([3, 4]), y=1.0)
    np.testing.assert_array_equal(out["out"], 2 * np.ones([3, 4]))


# ---- Deferred ------------------------------------------------------------------------


class Holder(hk.Module):
    def __init__(self, name=None):
        super().__init__(name=name)
        self.number = 3

    def __call__(self, x):
        return x + 1

    def forward(self, x):
        return x + 2


def test_deferred_stands_for_its_module():
    def f():
        d = hk.Deferred(Holder, call_methods=("__call__", "forward"))
        with pytest.raises(AttributeError, match="'number'.*not built yet"):
            _ = d.number
        assert d.forward(1) == 3
        assert d(1) == 2
        assert d.target is d.target
        assert d.number == 3
        d.number = 4
        assert d.target.number == 4
        del d.number
        assert not hasattr(d.target, "number")
        assert str(d) == repr(d) == f"Deferred({d.target!r})"

    run(f)()


def test_deferred_is_named_where_it_was_made():
    class Outer(hk.Module):
        def __init__(self):
            super().__init__()
            self.inner = hk.Deferred(Holder)
            self.other = hk.Deferred(Holder)

        def __call__(self, x):
            return self.other(self.inner(x))

    def f():
        with hk.name_scope("scope"):
            early = hk.Deferred(Holder)
        outer = Outer()
        outer(1)
        assert early.target.module_name == "scope/holder"
        assert outer.inner.module_name == "outer/~/holder"
        assert outer.other.module_name == "outer/~/holder_1"
        assert Holder().module_name == "holder"

    run(f)()


def test_deferred_tries_again_after_an_error():
    def f():
        results = iter([ValueError("not yet"), None])

        def factory():
            error = next(results)
            if error:
                raise error
            return Holder()

        d = hk.Deferred(factory)
        with pytest.raises(ValueError, match="not yet"):
            d(1)
        assert Holder().module_name == "holder"
        assert d(1) == 2

    run(f)()


# ---- Embed ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "style", ["ARRAY_INDEX", "one_hot", hk.EmbedLookupStyle.ONE_HOT]
)
def test_embed_looks_up(style):
    ids = np.array([[0, 2], [1, 1]])
    matrix = normal(3, 4)

    def f():
        embed = hk.Embed(embedding_matrix=matrix, lookup_style=style)
        assert (embed.vocab_size, embed.embed_dim) == (3, 4)
        np.testing.assert_array_equal(embed.embeddings, matrix)
        return embed(ids), embed(ids.tolist(), lookup_style="ARRAY_INDEX")

    for out in run(f)():
        np.testing.assert_allclose(out, matrix[ids], rtol=1e-6)


def test_embed_makes_its_vectors():
    net = hk.transform(lambda ids: hk.Embed(7, 3, lookup_style="ONE_HOT")(ids))
    params = net.init(KEY, jnp.array([0]))
    assert params["embed"]["embeddings"].shape == (7, 3)
    out = net.apply(params, None, jnp.array([9]))  # one that is none of them
    np.testing.assert_array_equal(out, np.zeros([1, 3]))


# ---- Functions -----------------------------------------------------------------------


def test_dropout_keeps_the_mean():
    x = jnp.ones([200, 200])
    out = hk.dropout(KEY, 0.25, x)
    assert set(np.unique(out)) == {0.0, np.float32(1 / 0.75)}
    assert abs(float(out.mean()) - 1) < 0.02
    assert hk.dropout(KEY, 0.0, x) is x
    np.testing.assert_array_equal(jax.jit(hk.dropout)(KEY, 0.25, x), out)


def test_dropout_shares_a_fate_along_broadcast_dims():
    out = np.asarray(hk.dropout(KEY, 0.5, jnp.ones([4, 5, 6]), broadcast_dims=(0, -1)))
    assert (out == out[:1, :, :1]).all()
    assert len(np.unique(out)) == 2


def test_multinomial():
    logits = jnp.log(jnp.array([[0.7, 0.3, 0.0], [0.0, 0.0, 1.0]]))
    draws = np.asarray(hk.multinomial(KEY, logits, 2000))
    assert draws.shape == (2, 2000)
    assert abs((draws[0] == 0).mean() - 0.7) < 0.05
    assert (draws[1] == 2).all()
    assert hk.multinomial(KEY, logits[0], 5).shape == (5,)


def test_one_hot():
    out = hk.one_hot([0, 2, 5], 3, jnp.bfloat16)
    np.testing.assert_array_equal(out, [[1, 0, 0], [0, 0, 1], [0, 0, 0]])
    assert out.dtype == jnp.bfloat16


# ---- MultiHeadAttention --------------------------------------------------------------

W_INIT = hk.initializers.VarianceScaling(2.0)


def attended(params, query, key, value, mask, heads):
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
def test_attention(batch):
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
    want = attended(params, query, key, value, mask, 2)
    np.testing.assert_allclose(out, want, rtol=1e-3, atol=1e-4)
    out = net.apply(params, None, query, key, value, None)
    want = attended(params, query, key, value, None, 2)
    np.testing.assert_allclose(out, want, rtol=1e-3, atol=1e-4)


def test_attention_to_one_memory_for_all_of_the_batch():
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


def test_attention_options():
    def f():
        by_scale = hk.MultiHeadAttention(2, 3, 5.0, with_bias=False)
        assert by_scale.w_init.scale == 5.0
        assert (by_scale.value_size, by_scale.model_size) == (3, 6)
        by_scale(X[0, 0][None], X[0, 0][None], X[0, 0][None])
        return by_scale.params_dict()

    assert {k.rpartition("/")[2] for k in run(f)()} == {"w"}


# ---- Errors --------------------------------------------------------------------------


def mha(q, k, v, mask=None):
    return lambda: hk.MultiHeadAttention(2, 3, w_init=W_INIT)(q, k, v, mask)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: hk.Flatten(0), ValueError, "should be non-zero"),
        (lambda: hk.Reshape([-1, -1]), ValueError, r"-1 once.*\(-1, -1\)"),
        (lambda: hk.Reshape([7, "a"]), TypeError, "got 'a'"),
        (lambda: hk.Reshape(4), TypeError, "sequence of integers, got 4"),
        (lambda: hk.Reshape("45"), TypeError, "sequence of integers"),
        (lambda: hk.Reshape([7])(X), TypeError, r"'reshape'.*hold 60 elements"),
        (lambda: hk.Reshape([-1, 7])(X), TypeError, r"\(2, -1, 7\)"),
        (lambda: hk.Reshape([-1, 0])(X), TypeError, r"\(2, -1, 0\)"),
        (lambda: hk.Reshape([-1, -2])(X), TypeError, r"\(2, -1, -2\)"),
        (
            lambda: hk.BatchApply(lambda x: x, 0),
            ValueError,
            "one axis, got num_dims=0",
        ),
        (
            lambda: hk.BatchApply(lambda: 1)(),
            ValueError,
            "at least one input.*is 2",
        ),
        (lambda: hk.BatchApply(lambda x: x.sum())(X), ValueError, r"of 6.*shape \(\)"),
        (lambda: hk.BatchApply(lambda x: x[:2])(X), ValueError, r"of 6.*\(2, 4, 5\)"),
        (
            lambda: hk.expand_apply(lambda x: x, 1),
            ValueError,
            "axis=0 or axis=-1, got 1",
        ),
        (lambda: hk.Embed(), ValueError, "either with an initial.*vocab_size=None"),
        (lambda: hk.Embed(3), ValueError, "embed_dim=None"),
        (
            lambda: hk.Embed(7, embedding_matrix=X[0, 0]),
            ValueError,
            r"shape \(4, 5\).*vocab_size=7.*leave both sizes out",
        ),
        (
            lambda: hk.Embed(embed_dim=7, embedding_matrix=X[0, 0]),
            ValueError,
            r"shape \(4, 5\).*embed_dim=7.*leave both sizes out",
        ),
        (
            lambda: hk.Embed(embedding_matrix=X[0]),
            ValueError,
            r"shape \[vocab_size, embed_dim\], got \(3, 4, 5\)",
        ),
        (
            lambda: hk.Embed(3, 2)([1.0]),
            ValueError,
            "integer dtype.*'embed'.*float32",
        ),
        (
            lambda: hk.Embed(3, 2, lookup_style="FOO")([1]),
            AttributeError,
            "'FOO'.*ARRAY_INDEX.*ONE_HOT",
        ),
        (lambda: hk.dropout(KEY, 1.0, X), ValueError, r"in \[0, 1\). Got: 1.0"),
        (lambda: hk.dropout(KEY, -0.1, X), ValueError, r"Got: -0.1"),
        (lambda: hk.dropout(None, 0.5, X), TypeError, "key, got None"),
        (
            lambda: hk.dropout(KEY, 0.5, X, (4,)),
            ValueError,
            r"dimension 4 for shape \[2, 3, 4, 5\]",
        ),
        (lambda: hk.multinomial(KEY, jnp.ones(()), 3), ValueError, "got a scalar"),
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
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        run(call)()
