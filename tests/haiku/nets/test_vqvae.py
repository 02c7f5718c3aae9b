"""Vector quantisers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import haiku as hk

run = hk.testing.transform_and_run
KEY = jax.random.key(0, impl="unsafe_rbg")  # the fastest to compile
X = np.random.RandomState(0).randn(2, 5, 4).astype(np.float32)
MAKERS = {
    "learned": lambda **options: hk.nets.VectorQuantizer(4, 6, 0.5, **options),
    "averaged": lambda **options: hk.nets.VectorQuantizerEMA(4, 6, 0.5, 0.9, **options),
}


@pytest.mark.parametrize("name", MAKERS)
def test_each_input_gets_its_nearest_vector(name):
    def f():
        quantizer = MAKERS[name]()
        out = quantizer(X, is_training=False)
        return out, quantizer.embeddings, quantizer.quantize(out["encoding_indices"])

    out, embeddings, again = run(f)()
    distances = ((X.reshape(-1, 4)[:, :, None] - embeddings[None]) ** 2).sum(1)
    nearest = distances.argmin(1)
    np.testing.assert_array_equal(out["encoding_indices"].ravel(), nearest)
    np.testing.assert_allclose(out["distances"], distances, rtol=1e-3, atol=1e-4)
    np.testing.assert_array_equal(out["encodings"], np.eye(6)[nearest])
    quantized = embeddings.T[nearest].reshape(X.shape)
    np.testing.assert_allclose(out["quantize"], quantized, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(again, quantized)
    mean_square = ((X - quantized) ** 2).mean()
    weight = 1.5 if name == "learned" else 0.5
    np.testing.assert_allclose(out["loss"], weight * mean_square, rtol=1e-4)
    used = np.bincount(nearest, minlength=6) / nearest.size
    used = used[used > 0]
    perplexity = np.exp(-(used * np.log(used)).sum())
    np.testing.assert_allclose(out["perplexity"], perplexity, rtol=1e-4)


@pytest.mark.parametrize("name", MAKERS)
def test_the_gradient_passes_straight_through(name):
    net = hk.transform_with_state(lambda x: MAKERS[name]()(x, False)["quantize"])
    params, state = net.init(KEY, X)
    weights = np.random.RandomState(1).randn(*X.shape)
    loss = lambda x: jnp.sum(weights * net.apply(params, state, None, x)[0])  # noqa: E731
    np.testing.assert_allclose(jax.grad(loss)(X), weights, rtol=1e-5)


@pytest.mark.parametrize("name", MAKERS)
def test_an_empty_batch_stays_empty(name):
    out = run(lambda: MAKERS[name]()(jnp.zeros([0, 5, 4]), False)["quantize"])()
    assert out.shape == (0, 5, 4)


def test_averaged_vectors_move_to_their_inputs():
    net = hk.transform_with_state(
        lambda x, t: hk.nets.VectorQuantizerEMA(4, 2, 0.5, 0.0)(x, t)
    )
    _, state = net.init(KEY, X, True)
    x = np.concatenate([X * 0.1 + 5, X * 0.1 - 5])
    embeddings = jnp.array([[1.0] * 4, [-1.0] * 4]).T
    state["vector_quantizer_ema"]["embeddings"] = embeddings
    _, kept = net.apply({}, state, None, x, False)
    np.testing.assert_array_equal(
        kept["vector_quantizer_ema"]["embeddings"], embeddings
    )
    _, state = net.apply({}, state, None, x, True)
    moved = state["vector_quantizer_ema"]["embeddings"].T
    want = [x[:2].mean((0, 1)), x[2:].mean((0, 1))]
    np.testing.assert_allclose(moved, want, rtol=1e-3)


@pytest.mark.parametrize("name", MAKERS)
def test_replicas_share_statistics(name):
    def f(x, axis):
        quantizer = MAKERS[name](cross_replica_axis=axis)
        out = quantizer(x, is_training=True)
        return out["perplexity"], quantizer.embeddings

    alone = hk.transform_with_state(lambda x: f(x, None))
    params, state = alone.init(KEY, X)
    want = alone.apply(params, state, None, X)[0]
    shared = hk.transform_with_state(lambda x: f(x, "i"))
    one = lambda x: shared.apply(params, state, None, x)[0]  # noqa: E731
    have = jax.vmap(one, axis_name="i")(X)
    for a, b in zip(have, want):
        np.testing.assert_allclose(a, np.stack([b, b]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: MAKERS["learned"]()(X[..., :2], True), r"=4.*\(2, 5, 2\).*must be 4"),
        (lambda: MAKERS["averaged"]()(jnp.ones(()), True), r"embedding_dim=4.*\(\)"),
        (lambda: hk.nets.VectorQuantizerEMA(4, 6, 0.5, 1.5), r"\[0, 1\], got 1.5"),
    ],
)
def test_wrong_arguments_raise(call, message):
    with pytest.raises(ValueError, match=message):
        run(call)()


@pytest.mark.parametrize("name", MAKERS)
def test_each_term_of_the_loss_has_its_own_gradient(name):
    """The commitment term moves only inputs, the codebook term only vectors."""
    net = hk.transform_with_state(lambda x: MAKERS[name]()(x, False))
    params, state = net.init(KEY, X)
    out, _ = net.apply(params, state, None, X)
    nearest = np.asarray(out["encoding_indices"])
    stored = params if name == "learned" else state
    (vectors,) = (v["embeddings"] for v in stored.values() if "embeddings" in v)
    away = 2 * (X - np.asarray(vectors).T[nearest]) / X.size

    def loss(params, x):
        return net.apply(params, state, None, x)[0]["loss"]

    by_params, by_inputs = jax.grad(loss, argnums=(0, 1))(params, X)
    if name == "averaged":
        by_state = jax.grad(
            lambda state: net.apply(params, state, None, X)[0]["loss"], allow_int=True
        )(state)
        assert not any(map(np.any, jax.tree.leaves(by_state)))
    np.testing.assert_allclose(by_inputs, 0.5 * away, rtol=1e-4, atol=1e-6)
    for gradient in jax.tree.leaves(by_params):
        expected = np.zeros(vectors.shape)
        np.add.at(expected.T, nearest.ravel(), -away.reshape(-1, 4))
        np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-6)
