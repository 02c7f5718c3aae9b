"""`hk.nets.Encoder`: padding, heads, poolers and bad input.

Its numbers stand beside transformers' in `tests/haiku/pretrained`.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compiled_calls import run
from drawn_models import drawn

import haiku as hk

KEY = jax.random.key(0, impl="unsafe_rbg")  # the fastest to compile
V, T = 11, 6
MASK = np.array(
    [[1, 1, 1, 1, 1, 1], [0, 0, 0, 1, 1, 1], [1, 1, 1, 0, 0, 0], [0, 1, 0, 1, 0, 1]],
    bool,
)
B = len(MASK)
RANDOM = np.random.default_rng(0)
TOKENS = RANDOM.integers(0, V, (B, T))
SEGMENTS = RANDOM.integers(0, 2, (B, T))
SMALL = {"vocab_size": V, "model_size": 8, "num_layers": 2, "num_heads": 2}
MODERN = {
    **{"position": "rotary", "norm_position": "pre", "windows": (None, 4, 4, None)},
    **{"local_rotary": hk.Rotary(100.0), "first_norm": False, "gated": True},
    **{"norm_offset": False, "num_layers": 4, "attention_bias": False},
}
KINDS = {
    "bert": {"token_types": 2, "pooler": True},
    "bert, masked": {"head": "tokens", "transform": True, "tied": True},
    "bert, classes": {"head": "classes", "num_classes": 3, "pooler": True},
    "untied": {"head": "tokens", "position_offset": 2},
    "modern": MODERN,
    "modern, mean": MODERN
    | {"head": "classes", "num_classes": 3, "pooling": "mean", "transform": True},
    "modern, first": MODERN | {"head": "classes", "num_classes": 3},
    "modern, tokens": MODERN | {"head": "token_classes", "num_classes": 3},
    "alibi": {"position": "alibi", "norm_position": "post", "norm": "rms"},
    "relative": {
        **{"position": "relative", "norm_position": "pre", "norm": "rms"},
        **{"relative_buckets": 6, "relative_distance": 4, "scale": 1.0},
    },
    "none": {"position": None, "norm_position": "both", "embedding_norm": False},
}


def config_of(kind, **options):
    return hk.nets.EncoderConfig(**SMALL | KINDS[kind] | options)


def model_of(kind, **options):
    return made(kind, T, *options.items())


@functools.cache
def made(kind, length, *options):
    net = hk.Blueprint(hk.nets.Encoder, config_of(kind, **dict(options)))
    init = hk.transform(lambda x: net(x)).init
    shapes = jax.eval_shape(init, KEY, TOKENS[:, :length])
    return hk.bind(net).to(drawn(shapes))


def inputs_of(kind):
    has_types = config_of(kind).token_types is not None
    return {"segments": SEGMENTS} if has_types else {}


@pytest.mark.parametrize("kind", KINDS)
def test_padding_may_stand_anywhere(kind):
    model, config = model_of(kind), config_of(kind)
    pooled = config.pooler and config.head is None

    @jax.jit
    def run(tokens, mask, segments):
        inputs = {"mask": mask}
        if config.token_types is not None:
            inputs["segments"] = segments
        return model(tokens, **inputs), pooled and model.pooled(tokens, **inputs)

    output, of_pooler = run(TOKENS, MASK, SEGMENTS)
    order = np.argsort(~MASK, axis=1, kind="stable")  # what counts comes first
    inputs = (np.take_along_axis(x, order, 1) for x in (TOKENS, MASK, SEGMENTS))
    other, of_other = run(*inputs)
    assert np.all(np.isfinite(output))
    if output.ndim == 3:
        output = np.take_along_axis(output, order[..., None], 1)
        counts = np.take_along_axis(MASK, order, 1)
        output, other = output[counts], other[counts]
    np.testing.assert_allclose(output, other, rtol=0, atol=2e-5)
    np.testing.assert_allclose(of_pooler, of_other, rtol=0, atol=2e-5)


def test_a_padded_text_is_as_if_alone():
    model = model_of("modern")
    together = run(model, TOKENS, mask=MASK)
    alone = run(model, TOKENS[1:2, 3:])[0]
    np.testing.assert_allclose(together[1, 3:], alone, rtol=0, atol=2e-5)


@pytest.mark.parametrize("kind", ["bert", "bert, classes", "modern, mean"])
def test_padding_reaches_no_output_and_no_gradient(kind):
    model, options = model_of(kind), inputs_of(kind)
    other = np.where(MASK, TOKENS, (TOKENS + 1) % V)

    def loss(params, tokens):
        output = model.replace(params=params)(tokens, mask=MASK, **options)
        kept = MASK[..., None] if output.ndim == 3 else True
        return jnp.sum(jnp.square(output), where=kept), output

    both = jax.jit(jax.value_and_grad(loss, has_aux=True))
    (_, ours), gradients = both(model.params, TOKENS)
    (_, theirs), others = both(model.params, other)
    kept = MASK if ours.ndim == 3 else np.s_[:]
    np.testing.assert_allclose(ours[kept], theirs[kept], rtol=0, atol=2e-5)
    for x, y in zip(jax.tree.leaves(gradients), jax.tree.leaves(others)):
        bound = 1e-4 * max(1.0, float(jnp.max(jnp.abs(x))))
        np.testing.assert_allclose(x, y, rtol=0, atol=bound)


@pytest.mark.parametrize("kind", ["bert", "bert, masked", "modern, mean", "relative"])
def test_vmap(kind):
    model = model_of(kind)
    mapped = jax.jit(jax.vmap(lambda tokens: model(tokens[None])[0]))(TOKENS)
    np.testing.assert_allclose(mapped, run(model, TOKENS), rtol=0, atol=2e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_shapes(kind):
    config = config_of(kind)
    output = jax.eval_shape(model_of(kind), TOKENS)
    shapes = {
        **{None: (B, T, 8), "tokens": (B, T, V)},
        **{"classes": (B, 3), "token_classes": (B, T, 3)},
    }
    assert output.shape == shapes[config.head]
    hidden = jax.eval_shape(lambda x: model_of(kind).hidden(x), TOKENS)
    assert hidden.shape == (B, T, 8)


def test_bfloat16():
    model = model_of("bert")
    low = jax.tree.map(lambda x: x.astype(jnp.bfloat16), model)
    output = low(TOKENS, mask=MASK, segments=SEGMENTS)
    assert output.dtype == jnp.bfloat16
    whole = run(model, TOKENS, mask=MASK, segments=SEGMENTS)
    np.testing.assert_allclose(output[MASK], whole[MASK], rtol=0, atol=0.15)


def test_layers_that_are_alike_are_stacked():
    params = model_of("modern").params
    assert params["encoder/blocks/attention/query"]["w"].shape == (2, 8, 8)
    assert "encoder/block_0/attention_norm" not in params
    assert params["encoder/block_3/attention_norm"]["scale"].shape == (8,)
    assert model_of("bert").params["encoder/blocks/mlp/up"]["w"].shape == (2, 8, 32)


def test_dropout_draws_where_apply_gets_a_key():
    net = hk.Blueprint(hk.nets.Encoder, config_of("bert", dropout=0.5))
    f = hk.transform(lambda: net(TOKENS))
    params = jax.jit(f.init)(KEY)
    plain = f.apply(params, None)
    np.testing.assert_array_equal(plain, f.apply(params, None))
    assert np.all(np.abs(f.apply(params, KEY) - plain).max((1, 2)) > 0.1)


def test_more_tokens_than_positions():
    model = made("untied", 4, ("max_length", 4))
    with pytest.raises(ValueError, match="got 6 tokens, but has 4 learned positions"):
        model(TOKENS)
    with pytest.raises(ValueError, match="got 6 tokens"):
        model(TOKENS, mask=MASK)
    whole = run(model, TOKENS[1:], mask=MASK[1:])  # three tokens each, and padding
    assert np.all(np.isfinite(whole))
    hidden = jax.jit(lambda mask: model(TOKENS, mask=mask))(MASK)
    assert np.all(np.isnan(hidden[0])) and np.all(np.isfinite(hidden[1:]))


@pytest.mark.parametrize(
    ("message", "options"),
    [
        ("head of hk.nets.EncoderConfig must be one of", {"head": "words"}),
        ("pooling of hk.nets.EncoderConfig must be one of", {"pooling": "last"}),
        ("head='classes' of hk.nets.EncoderConfig needs num", {"head": "classes"}),
        ("head='tokens' .* doesn't read a pooler", {"head": "tokens", "pooler": True}),
        ("token_types of hk.nets.EncoderConfig must be an int", {"token_types": 0}),
        ("position_offset .* at least 0, got -1", {"position_offset": -1}),
        ("num_heads .*: give head_size", {"num_heads": 3}),
        ("windows of hk.nets.EncoderConfig .* got 3", {"windows": (1, 2, 3)}),
        ("relative_buckets .* must be at least 4", {"relative_buckets": 3}),
        ("relative_distance more than half", {"relative_distance": 16}),
        ("norm_position of hk.nets.EncoderConfig", {"norm_position": "front"}),
    ],
)
def test_bad_configs_raise(message, options):
    with pytest.raises(ValueError, match=message):
        hk.nets.EncoderConfig(**SMALL | options)


@pytest.mark.parametrize(
    ("message", "kind", "options"),
    [
        ("integers, got float32", "bert", {"tokens": jnp.ones([2, 3])}),
        ("mask of 'encoder' .* got \\(4, 5\\)", "bert", {"mask": MASK[:, 1:]}),
        ("segments of 'encoder' .* got \\(6,\\)", "bert", {"segments": SEGMENTS[0]}),
        ("no token types", "modern", {"segments": SEGMENTS}),
    ],
)
def test_bad_calls_raise(message, kind, options):
    with pytest.raises(ValueError, match=message):
        model_of(kind)(**{"tokens": TOKENS, **options})


def test_pooled_without_a_pooler_raises():
    with pytest.raises(ValueError, match="has no pooler: build it with pooler=True"):
        model_of("modern").pooled(TOKENS)
