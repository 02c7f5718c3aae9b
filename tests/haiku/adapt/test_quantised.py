"""Int8 and Int4: half a step at most, groups, dtypes, memory, and updates on top."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny_llama import QUERY, TOKENS, call, linear, llama, with_random_updates

import haiku as hk

ad = hk.adapt
W = np.random.RandomState(0).randn(70, 6).astype(np.float32) * np.float32(
    [1, 1e-3, 100, 1, 1, 1e-6]
)


def error_in_steps(w, adaptation):
    """The error of each weight as stored, in steps; everything in double."""
    own = ad.add(linear(w), adaptation).params["linear"]
    steps = np.asarray(own["w_scale"], np.float64)
    if steps.ndim == 1:
        steps = np.broadcast_to(steps, w.shape)
    else:
        steps = np.repeat(steps, adaptation.group_size, 0)[: w.shape[0]]
    stored = np.asarray(own["w"].astype(jnp.int32), np.float64)
    return np.abs(stored * steps - np.asarray(w, np.float64)) / steps


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16, jnp.float16])
@pytest.mark.parametrize(
    "adaptation",
    [
        ad.Int8("**/w"),
        ad.Int4("**/w"),
        ad.Int4("**/w", group_size=7),
        ad.Int4("**/w", group_size=1000),
    ],
    ids=repr,
)
def test_the_error_is_half_a_step_at_most(adaptation, dtype):
    w = np.asarray(jnp.asarray(W, dtype))
    away = error_in_steps(w, adaptation)
    assert away.max() <= 0.5 + 1e-4
    assert away.max() > 0.3


def test_steps_are_by_column_and_group():
    own = ad.add(linear(W), ad.Int8("**/w")).params["linear"]
    assert own["w"].dtype == jnp.int8 and own["w_scale"].shape == (6,)
    np.testing.assert_allclose(own["w_scale"], np.abs(W).max(0) / 127, rtol=1e-6)
    own = ad.add(linear(W), ad.Int4("**/w")).params["linear"]
    assert own["w"].dtype == jnp.int4 and own["w_scale"].shape == (3, 6)
    np.testing.assert_allclose(
        own["w_scale"],
        [np.abs(W[i : i + 32]).max(0) / 7 for i in (0, 32, 64)],
        rtol=1e-6,
    )


@pytest.mark.parametrize("kind", [ad.Int8, ad.Int4])
def test_zeros_stay_zeros_and_the_rest_is_finite(kind):
    w = W * np.float32([0, 1, 1, 1, 1, 1])
    model = ad.add(linear(w), kind("**/w"))
    merged = ad.merge(model).params["linear"]["w"]
    assert not merged[:, 0].any() and bool(jnp.isfinite(merged).all())


@pytest.mark.parametrize("kind", [ad.Int8, ad.Int4])
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_a_model_reads_and_merges_it(kind, dtype):
    small = ad.add(llama(dtype), kind("**/w"))
    assert small.params[QUERY]["w_scale"].dtype == dtype
    out = call(small)
    merged = ad.merge(small)
    assert merged.hooks == () and merged.params[QUERY]["w"].dtype == dtype
    assert merged.params.keys() == llama().params.keys()
    np.testing.assert_allclose(call(merged), out, atol=1e-5, rtol=1e-5)
    away = jnp.abs(out - call(llama(dtype))).max()
    assert 1e-6 < away < {ad.Int8: 0.1, ad.Int4: 1.5}[kind]


@pytest.mark.parametrize("kind", [ad.LoRA, ad.DoRA])
@pytest.mark.parametrize("order", [1, -1])
def test_updates_over_integers(kind, order):
    """However they come, the update is added to the floats of the integers."""
    adaptations = [ad.Int4("**/w", 8), kind("**/attention/*/w", 2)][::order]
    model = with_random_updates(ad.add(llama(), *adaptations, rng_key=0))
    one_by_one = llama()
    for adaptation in adaptations:
        one_by_one = ad.add(one_by_one, adaptation, rng_key=0)
    assert one_by_one.hooks != () and ad.adaptations(one_by_one) == (
        ad.Int4("**/w", 8),
        kind("**/attention/*/w", 2),
    )
    out = call(model)
    trained, fixed = hk.surgery.split(model.params, "**/lora_*")

    def loss(trained):
        whole = hk.surgery.merge(trained, fixed)
        return jnp.sum(jnp.sin(model.replace(params=whole)(TOKENS)))

    grads = jax.jit(jax.grad(loss))(trained)
    assert all(bool(x.any()) for x in jax.tree.leaves(grads))
    np.testing.assert_allclose(call(ad.merge(model)), out, atol=1e-5, rtol=1e-5)


def test_int4_takes_half_a_byte_in_memory():
    w = jax.jit(lambda: jnp.ones([256, 256], jnp.int4))()
    small = jax.device_put(w)
    read = jax.jit(lambda w: w.astype(jnp.float32).sum())
    arguments = read.lower(small).compile().memory_analysis()
    assert arguments.argument_size_in_bytes == 256 * 256 // 2
    assert read(small) == 256 * 256


def test_loops_slice_a_stack_of_int4():
    model = ad.add(llama(), ad.Int4("**/w", 8))
    stack = model.params[QUERY]["w"]
    sums = jax.jit(lambda q: jax.lax.map(lambda w: w.astype(jnp.int32).sum(), q))
    want = np.asarray(stack.astype(jnp.int32)).sum((1, 2))
    assert np.array_equal(sums(stack), want)
    each = jax.jit(jax.vmap(lambda w: w.astype(jnp.int32).sum()))(stack)
    assert np.array_equal(each, want)


def test_what_cannot_be_quantised():
    with pytest.raises(ValueError, match=r"Int8\('\*\*/w'\) .*'w': it holds infinite"):
        ad.add(linear(np.full((4, 4), np.nan, np.float32)), ad.Int8("**/w"))
    small = ad.add(linear(W), ad.Int8("**/w"))
    with pytest.raises(ValueError, match="quantised twice, by .*Int8.* and by .*Int4"):
        ad.add(small, ad.Int4("**/w"))
    bare = small.replace(hooks=[])
    with pytest.raises(ValueError, match="linear/w, s8.70,6., and that isn't a matrix"):
        ad.add(bare, ad.Int4("**/w"))
    with pytest.raises(ValueError, match="reads int8, and linear/w is f32"):
        small.replace(params={"linear": {"w": W}})(W.T)
