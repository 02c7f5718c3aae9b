"""Fine-tuning with LoRA and decoding with int8, from first line to last."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from tiny_llama import FOLDER, TOKENS, llama

import haiku as hk


def test_fine_tune_merge_and_save(tmp_path):
    hk.pretrained.save(tmp_path / "base", llama())
    model, tokenizer = hk.pretrained.load(tmp_path / "base")
    lora = hk.adapt.LoRA("**/attention/*/w", rank=8)
    model = hk.adapt.add(model, lora, rng_key=0)
    adapters, fixed = hk.surgery.split(model.params, "**/lora_*")

    def loss(adapters, tokens):
        params = hk.surgery.merge(adapters, fixed)
        logits = model.replace(params=params)(tokens[:, :-1])
        target = tokens[:, 1:]
        return optax.softmax_cross_entropy_with_integer_labels(logits, target).mean()

    optimizer = optax.adam(0.05)
    state = optimizer.init(adapters)
    step = jax.jit(jax.value_and_grad(loss))
    losses = []
    for _ in range(20):
        value, grads = step(adapters, TOKENS)
        updates, state = optimizer.update(grads, state)
        adapters = optax.apply_updates(adapters, updates)
        losses.append(float(value))
    assert losses[-1] < 0.2 * losses[0]
    model = model.replace(params=hk.surgery.merge(adapters, fixed))
    hk.pretrained.save_adapters(tmp_path / "adapters", model)
    hk.pretrained.save(tmp_path / "merged", hk.adapt.merge(model), tokenizer)

    want = model(TOKENS)
    merged = hk.pretrained.load(tmp_path / "merged").model
    scale = jnp.abs(want).max()
    np.testing.assert_allclose(merged(TOKENS), want, atol=1e-5 * scale)
    base = hk.pretrained.load(tmp_path / "base").model
    again = hk.pretrained.load_adapters(tmp_path / "adapters", base)
    np.testing.assert_allclose(again(TOKENS), want, atol=1e-5 * scale)


@pytest.mark.parametrize(
    ("adaptation", "most"), [(hk.adapt.Int8("**/w"), 0.6), (hk.adapt.Int4("**/w"), 0.4)]
)
def test_a_small_copy_decodes(adaptation, most):
    model = hk.pretrained.load(FOLDER / "llama-plain", dtype=jnp.bfloat16).model
    small = hk.adapt.add(model, adaptation)
    update = jax.jit(lambda model, tokens: model.updating(tokens, cache_size=16))
    logits, cached = update(small, TOKENS)
    row = [jnp.argmax(logits[:, -1:], -1)]
    for _ in range(3):
        logits, cached = update(cached, row[-1])
        row.append(jnp.argmax(logits[:, -1:], -1))
    out = hk.generation.generate(small, TOKENS, max_new_tokens=4)
    assert np.array_equal(out.tokens, jnp.concatenate(row, 1))
    whole = jnp.concatenate([TOKENS, *row], 1)
    again = jnp.argmax(small(whole[:, :-1])[:, -4:], -1)
    assert np.array_equal(again, whole[:, -4:])
    matrices, both = (hk.surgery.select(x.params, "**/w*") for x in (model, small))
    assert _bits(both) < most * _bits(matrices)


def _bits(params):
    of = {"int4": 4, "int8": 8, "bfloat16": 16}
    return sum(x.size * of[x.dtype.name] for x in jax.tree.leaves(params))


def test_an_optimizer_for_each_kind():
    """Muon for matrices, also in a stack; Adam for the rest; decay for matrices."""
    params = llama().params
    kinds = hk.surgery.kinds(params)
    dimensions = optax.contrib.MuonDimensionNumbers(-2, -1)
    muon = optax.contrib.muon(0.1, muon_weight_dimension_numbers=dimensions)
    others = dict.fromkeys(("embedding", "norm", "head"), optax.adam(0.1))
    optimizer = optax.multi_transform({"matrix": muon, **others}, kinds)
    updates, _ = optimizer.update(params, optimizer.init(params), params)
    lengths = np.linalg.svd(updates["decoder/blocks/attention/query"]["w"])[1]
    assert lengths.shape == (2, 16) and 0.05 < lengths.min() < lengths.max() < 0.15
    embeddings = updates["decoder/embed"]["embeddings"]
    np.testing.assert_allclose(jnp.abs(embeddings), 0.1, atol=1e-3)
    mask = jax.tree.map(lambda kind: kind == "matrix", kinds)
    decay = optax.add_decayed_weights(0.5, mask=mask)
    zeros = jax.tree.map(jnp.zeros_like, params)
    decayed, _ = decay.update(zeros, decay.init(params), params)
    assert not decayed["decoder/head"]["w"].any()
    assert decayed["decoder/blocks/mlp/up"]["w"].any()
