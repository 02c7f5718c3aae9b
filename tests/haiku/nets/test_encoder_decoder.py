"""`hk.nets.EncoderDecoder`: padding, the cache, relative positions and bad input.

Its numbers stand beside transformers' in `tests/haiku/pretrained`.
"""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compiled_calls import run, update

import haiku as hk
from haiku.nets.relative import relative_bias

KEY = jax.random.key(0, impl="unsafe_rbg")  # the fastest to compile
V, S, T = 11, 6, 5
MASK = np.array([[1, 1, 1, 1, 1, 1], [0, 0, 1, 1, 1, 1], [1, 0, 1, 1, 0, 0]], bool)
DECODER_MASK = np.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0], [0, 1, 0, 1, 1]], bool)
RANDOM = np.random.default_rng(0)
TOKENS = RANDOM.integers(0, V, (3, S))
DECODER_TOKENS = RANDOM.integers(0, V, (3, T))
SMALL = {
    **{"vocab_size": V, "model_size": 8, "num_layers": 1, "num_heads": 3},
    **{"num_decoder_layers": 2, "head_size": 2, "hidden_size": 6},
    **{"relative_buckets": 6, "relative_distance": 4},
}
KINDS = {
    "t5": {"head_scale": 8**-0.5},
    "1.1": {"gated": True, "activation": "gelu_tanh", "tied": False},
    "layer norms, biases": {
        **{"norm": "layer", "attention_bias": True, "output_bias": True},
        **{"mlp_bias": True, "head": None, "scale": None},
    },
}


@functools.cache
def model_of(kind, **options):
    config = hk.nets.EncoderDecoderConfig(**SMALL | KINDS[kind] | options)
    net = hk.Blueprint(hk.nets.EncoderDecoder, config)
    init = jax.jit(hk.transform(lambda *x: net(*x)).init)
    return hk.bind(net).to(init(KEY, TOKENS, DECODER_TOKENS))


def close(x, y):
    np.testing.assert_allclose(x, y, rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_padding_may_stand_anywhere(kind):
    model = model_of(kind)
    run = jax.jit(lambda x, y, m, n: model(x, y, mask=m, decoder_mask=n))
    output = run(TOKENS, DECODER_TOKENS, MASK, DECODER_MASK)
    # What counts comes first.
    order, after = (np.argsort(~m, 1, kind="stable") for m in (MASK, DECODER_MASK))
    others = (np.take_along_axis(x, order, 1) for x in (TOKENS, MASK))
    tokens, mask = others
    others = (np.take_along_axis(x, after, 1) for x in (DECODER_TOKENS, DECODER_MASK))
    decoder_tokens, decoder_mask = others
    other = run(tokens, decoder_tokens, mask, decoder_mask)
    output = np.take_along_axis(output, after[..., None], 1)
    close(output[decoder_mask], other[decoder_mask])


def test_a_padded_pair_is_as_if_alone():
    model = model_of("t5")
    options = {"mask": MASK, "decoder_mask": DECODER_MASK}
    together = run(model, TOKENS, DECODER_TOKENS, **options)
    alone = run(model, TOKENS[1:2, 2:], DECODER_TOKENS[1:2, :3])[0]
    close(together[1, :3], alone)


@pytest.mark.parametrize("kind", KINDS)
def test_the_cache_changes_nothing(kind):
    model = model_of(kind)
    options = {"mask": MASK, "decoder_mask": DECODER_MASK}
    whole = run(model, TOKENS, DECODER_TOKENS, **options)

    @jax.jit
    def step(model, tokens, mask, after, decoder_mask):
        options = {"mask": mask, "decoder_mask": decoder_mask}
        return model.updating(tokens, after, cache_size=9, **options)

    outputs, start, tokens, mask = [], 0, TOKENS, MASK
    for size in (2, 1, 2):
        part = np.s_[:, start : start + size]
        inputs = tokens, mask, DECODER_TOKENS[part], DECODER_MASK[part]
        output, model = step(model, *inputs)
        outputs.append(output)
        # Later calls look at neither.
        start, tokens, mask = start + size, TOKENS * 0, np.zeros_like(MASK)
    found = np.concatenate(outputs, axis=1)
    close(found[DECODER_MASK], whole[DECODER_MASK])
    np.testing.assert_array_equal(
        model.state["encoder_decoder"]["length"], DECODER_MASK.sum(1)
    )


def test_the_encoder_runs_once():
    model = model_of("t5")
    _, cached = update(model, TOKENS, DECODER_TOKENS[:, :1], cache_size=4)
    spoiled = {
        path: jax.tree.map(lambda x: x * jnp.nan, x) if "/encoder/" in path else x
        for path, x in model.params.items()
    }
    step = cached.replace(params=spoiled)
    one = DECODER_TOKENS[:, 1:2]
    outputs = [x.updating(TOKENS, one, cache_size=4)[0] for x in (step, cached)]
    close(*outputs)
    assert np.isnan(model.replace(params=spoiled)(TOKENS, one)).all()


def test_hidden_and_encode():
    model = model_of("t5")
    h = model.hidden(TOKENS, DECODER_TOKENS, mask=MASK)
    table = model.params["encoder_decoder/embed"]["embeddings"]
    logits = run(model, TOKENS, DECODER_TOKENS, mask=MASK)
    close(logits, h @ table.T / np.sqrt(8))
    encoded = model.encode(TOKENS, MASK)
    assert encoded.shape == (3, S, 8)
    close(encoded[1, 2:], model.encode(TOKENS[1:2, 2:])[0])


def test_parameters():
    params = model_of("1.1").params
    assert params["encoder_decoder/head"]["w"].shape == (8, V)
    assert params["encoder_decoder/encoder/relative"]["embeddings"].shape == (6, 3)
    blocks = "encoder_decoder/decoder/blocks"
    assert params[f"{blocks}/cross_attention/key"]["w"].shape == (2, 8, 6)
    assert params[f"{blocks}/cross_attention_norm"]["scale"].shape == (2, 8)
    assert params["encoder_decoder/encoder/blocks/mlp/gate"]["w"].shape == (1, 8, 6)
    assert "encoder_decoder/head" not in model_of("t5").params


def test_vmap_gradients_and_bfloat16():
    model = model_of("1.1")
    whole = run(model, TOKENS, DECODER_TOKENS)
    mapped = jax.jit(jax.vmap(lambda x, y: model(x[None], y[None])[0]))
    close(mapped(TOKENS, DECODER_TOKENS), whole)
    half = jax.tree.map(lambda x: x.astype(jnp.bfloat16), model)
    low = run(half, TOKENS, DECODER_TOKENS)
    assert low.dtype == jnp.bfloat16
    np.testing.assert_allclose(low, whole, rtol=0, atol=0.1)

    @jax.jit
    @jax.grad
    def gradients(params, tokens, after):
        bound = model.replace(params=params)
        options = {"mask": MASK, "decoder_mask": DECODER_MASK}
        y = bound(tokens, after, **options)
        return jnp.sum(jnp.square(y), where=DECODER_MASK[..., None])

    ours = gradients(model.params, TOKENS, DECODER_TOKENS)
    others = (np.where(m, x, (x + 1) % V) for m, x in ((MASK, TOKENS),))
    theirs = gradients(
        *(model.params, *others),
        np.where(DECODER_MASK, DECODER_TOKENS, (DECODER_TOKENS + 1) % V),
    )
    for x, y in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs)):
        assert np.all(np.isfinite(x)) and np.any(x != 0)
        bound = 1e-4 * max(1.0, float(jnp.max(jnp.abs(x))))
        np.testing.assert_allclose(x, y, rtol=0, atol=bound)


def bucket_of(after, causal, buckets, longest):
    """The paper's rule, for a key that stands `after` the query."""
    first = 0
    if not causal:
        buckets //= 2
        first = buckets if after > 0 else 0
    distance = max(-after, 0) if causal else abs(after)
    exact = buckets // 2
    if distance < exact:
        return first + distance
    part = math.log(distance / exact) / math.log(longest / exact)
    return first + min(exact + int(part * (buckets - exact) + 1e-9), buckets - 1)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(("buckets", "longest"), [(32, 128), (7, 5), (4, 1000)])
def test_relative_positions(causal, buckets, longest):
    config = hk.nets.EncoderDecoderConfig(
        *(V, 8, 1, 1), relative_buckets=buckets, relative_distance=longest
    )
    queries, keys = np.array([[0, 150]]), np.arange(300)[None]
    f = hk.transform(lambda: relative_bias(config, queries, keys, causal))
    table = np.arange(buckets, dtype=np.float32)[:, None]
    bias = f.apply({"relative": {"embeddings": table}}, None)
    want = [
        [bucket_of(key - query, causal, buckets, longest) for key in keys[0]]
        for query in queries[0]
    ]
    np.testing.assert_array_equal(bias[0, 0], want)


def test_a_cache_that_is_full():
    model = model_of("t5")
    with pytest.raises(ValueError, match="cache has 3 slots, and this call fills 5"):
        model(TOKENS, DECODER_TOKENS, cache_size=3)
    full = jax.jit(
        lambda m: model.updating(TOKENS, DECODER_TOKENS, decoder_mask=m, cache_size=3)
    )(DECODER_MASK)[0]
    assert np.isnan(full[0]).all() and np.isfinite(full[1:]).all()


@pytest.mark.parametrize(
    ("message", "options"),
    [
        ("num_decoder_layers of .* must be an integer", {"num_decoder_layers": 0}),
        ("start_token of .* at least 0, got -1", {"start_token": -1}),
        ("start_token of .* got True", {"start_token": True}),
        ("head of hk.nets.EncoderDecoderConfig", {"head": "classes"}),
        ("num_heads 3: give head_size", {"head_size": None}),
        ("relative_distance more than half", {"relative_distance": 3}),
        ("head_scale of .* must be a number", {"head_scale": "1"}),
    ],
)
def test_bad_configs_raise(message, options):
    with pytest.raises(ValueError, match=message):
        hk.nets.EncoderDecoderConfig(**SMALL | options)


@pytest.mark.parametrize(
    ("message", "changes"),
    [
        ("needs tokens of shape", {"tokens": TOKENS[0]}),
        ("needs decoder_tokens of shape .* float64", {"decoder_tokens": 1.5 * TOKENS}),
        ("mask of 'encoder_decoder' .* got \\(3, 5\\)", {"mask": DECODER_MASK}),
        ("decoder_mask of 'encoder_decoder'", {"decoder_mask": MASK}),
        ("got 3 texts in tokens and 2 in", {"decoder_tokens": DECODER_TOKENS[:2]}),
    ],
)
def test_bad_calls_raise(message, changes):
    inputs = {"tokens": TOKENS, "decoder_tokens": DECODER_TOKENS} | changes
    with pytest.raises(ValueError, match=message):
        model_of("t5")(**inputs)


def test_another_text_in_a_later_call_raises():
    _, cached = model_of("t5").updating(TOKENS, DECODER_TOKENS[:, :1], cache_size=4)
    with pytest.raises(ValueError, match=r"cache is of tokens of shape \(3, 6\)"):
        cached(TOKENS[:, 1:], DECODER_TOKENS[:, 1:2], cache_size=4)
