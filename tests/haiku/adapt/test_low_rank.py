"""LoRA and DoRA: their equations, gradients, dtypes, dropout, and how they begin."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny_llama import (
    FOLDER,
    QUERY,
    TOKENS,
    call,
    linear,
    llama,
    with_random_updates,
)

import haiku as hk

ad = hk.adapt
W = np.random.RandomState(1).randn(6, 5).astype(np.float32)
X = np.random.RandomState(2).randn(3, 6).astype(np.float32)


def updated(adaptation, w=W):
    return with_random_updates(ad.add(linear(w), adaptation, rng_key=0))


@pytest.mark.parametrize("alpha", [None, 8, 0.5])
def test_the_weight_plus_a_product(alpha):
    model = updated(ad.LoRA("linear/w", 2, alpha))
    own = {k: np.asarray(x, np.float64) for k, x in model.params["linear"].items()}
    factor = (alpha or 2) / 2
    want = X @ (W + factor * own["lora_a"] @ own["lora_b"])
    np.testing.assert_allclose(model(X), want, rtol=1e-5, atol=1e-5)


def test_the_magnitude_times_the_direction():
    model = updated(ad.DoRA("linear/w", 2, alpha=3))
    own = {k: np.asarray(x, np.float64) for k, x in model.params["linear"].items()}
    v = W + 1.5 * own["lora_a"] @ own["lora_b"]
    w = np.empty_like(v)
    for column in range(5):
        length = np.sqrt(sum(x**2 for x in v[:, column]))
        w[:, column] = own["lora_magnitude"][column] * v[:, column] / length
    np.testing.assert_allclose(model(X), X @ w, rtol=1e-5, atol=1e-5)
    grad = jax.grad(lambda p: jnp.sum(jnp.sin(model.replace(params=p)(X))))
    got = grad(model.params)["linear"]
    upstream = X.T @ np.cos(X @ w)  # by w
    scaled = upstream * own["lora_magnitude"] / np.sqrt((v**2).sum(0))
    want_b = 1.5 * own["lora_a"].T @ scaled  # the length is a constant
    np.testing.assert_allclose(got["lora_b"], want_b, rtol=1e-4, atol=1e-4)
    want = (upstream * v).sum(0) / np.sqrt((v**2).sum(0))
    np.testing.assert_allclose(got["lora_magnitude"], want, rtol=1e-4, atol=1e-4)


def test_a_column_of_zeros_has_no_direction():
    model = ad.add(linear(W * [1, 0, 1, 1, 1]), ad.DoRA("**/w", 2), rng_key=0)
    grads = jax.grad(lambda p: model.replace(params=p)(X).sum())(model.params)
    assert all(bool(jnp.isfinite(x).all()) for x in jax.tree.leaves(grads))
    np.testing.assert_allclose(model(X), X @ (W * [1, 0, 1, 1, 1]), atol=1e-5)


@pytest.mark.parametrize("kind", [ad.LoRA, ad.DoRA])
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_it_begins_with_the_same_outputs(kind, dtype):
    model = llama(dtype)
    adapted = ad.add(model, kind("**/attention/*/w", rank=3), rng_key=0)
    own = adapted.params[QUERY]
    assert own["lora_a"].shape == (2, 16, 3) and own["lora_b"].shape == (2, 3, 16)
    assert own["lora_a"].dtype == jnp.float32 and own["w"].dtype == dtype
    assert not own["lora_b"].any()
    want = call(model)
    assert call(adapted).dtype == want.dtype
    np.testing.assert_allclose(call(adapted), want, atol=1e-5, rtol=1e-5)


def test_lora_a_is_he_uniform_and_each_its_own():
    model = ad.add(
        linear(np.zeros((600, 40), np.float32)), ad.LoRA("**", 40), rng_key=3
    )
    a = model.params["linear"]["lora_a"]
    assert 0.099 < float(jnp.abs(a).max()) <= 0.1  # sqrt(6 / 600)
    assert abs(float(a.std()) - 0.1 / 3**0.5) < 1e-3
    own = ad.add(llama(), ad.LoRA("**/attention/*/w", 2), rng_key=0).params
    key = own["decoder/blocks/attention/key"]["lora_a"]
    assert not np.array_equal(own[QUERY]["lora_a"], key)
    assert not np.array_equal(key[0], key[1])


def test_dropout_where_a_call_has_a_key():
    model = updated(ad.LoRA("**/w", 2, dropout=0.5))
    plain = model(X)
    np.testing.assert_allclose(ad.merge(model)(X), plain, atol=1e-5)
    base = X @ W
    seen = jnp.stack([model(X, rng_key=i) for i in range(200)])
    assert len(np.unique(seen[:, 0, 0])) > 20
    # Of six features each is there or not, twice as much: the mean is the same.
    np.testing.assert_allclose(seen.mean(0) - base, plain - base, atol=0.25)
    assert np.array_equal(model(X, rng_key=1), model(X, rng_key=1))


def test_dropout_in_a_stack_and_without_a_key():
    adapted = with_random_updates(
        ad.add(llama(), ad.LoRA("**/query/w", 2, dropout=0.5), rng_key=0)
    )
    same = ad.add(llama(), ad.LoRA("**/query/w", 2), rng_key=0)
    same = same.replace(params=adapted.params)
    np.testing.assert_array_equal(call(adapted), call(same))
    keyed = jax.jit(lambda model, key: model(TOKENS, rng_key=key))
    one, other = (keyed(adapted, jax.random.key(i)) for i in range(2))
    assert jnp.abs(one - other).max() > 1e-3
    np.testing.assert_array_equal(keyed(same, jax.random.key(0)), call(same))


def test_it_trains_with_gradients_of_the_update_alone():
    model = ad.add(llama(), ad.Frozen("**"), ad.LoRA("**/w", 2), rng_key=0)
    grads = jax.jit(jax.grad(lambda m: jnp.sum(jnp.sin(m(TOKENS)))))(model).params
    moved = {k for k in hk.surgery.paths(grads) if jnp.any(_at(grads, k))}
    updates = hk.surgery.paths(grads, "**/lora_b")
    assert moved == {*updates} and len(updates) == 8


def _at(tree, path):
    module, _, name = path.rpartition("/")
    return tree[module][name]


def test_experts_have_updates_of_their_own():

    model = hk.pretrained.load(FOLDER / "mixtral-plain").model
    adapted = ad.add(model, ad.LoRA("**/experts/{name}", 2), rng_key=0)
    own = adapted.params["decoder/blocks/experts"]
    assert {"lora_a_gate", "lora_b_gate", "lora_a_down"} <= {*own}
    assert own["lora_a_gate"].shape == (*own["gate"].shape[:-1], 2)
    adapted = with_random_updates(adapted)
    out = call(adapted)
    assert jnp.abs(out - call(model)).max() > 1e-3
    np.testing.assert_allclose(call(ad.merge(adapted)), out, atol=1e-5, rtol=1e-5)
