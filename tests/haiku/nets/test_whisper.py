"""`hk.nets.Whisper`: the cache, frames, positions and bad input.

Its numbers stand beside transformers' in `tests/haiku/pretrained`.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compiled_calls import run, update

import haiku as hk

KEY = jax.random.key(0, impl="unsafe_rbg")  # the fastest to compile
V, T, MELS, POSITIONS = 11, 5, 3, 4
RANDOM = np.random.default_rng(0)
FEATURES = RANDOM.standard_normal((2, 2 * POSITIONS, MELS)).astype(np.float32)
TOKENS = RANDOM.integers(0, V, (2, T))
SMALL = {
    **{"vocab_size": V, "model_size": 8, "num_layers": 1, "num_heads": 2},
    **{"num_mels": MELS, "num_positions": POSITIONS, "num_decoder_layers": 2},
    **{"num_decoder_heads": 4, "hidden_size": 6, "max_length": 7},
}


@functools.cache
def model_of(**options):
    net = hk.Blueprint(hk.nets.Whisper, hk.nets.WhisperConfig(**SMALL | options))
    init = jax.jit(hk.transform(lambda *x: net(*x)).init)
    return hk.bind(net).to(init(KEY, FEATURES, TOKENS))


def close(x, y):
    np.testing.assert_allclose(x, y, rtol=0, atol=1e-5)


def test_parameters():
    params = model_of(tied=False).params
    shapes = {
        "encoder/conv_0": {"w": (3, MELS, 8), "b": (8,)},
        "encoder/conv_1": {"w": (3, 8, 8), "b": (8,)},
        "encoder/positions": {"embeddings": (POSITIONS, 8)},
        "decoder/positions": {"embeddings": (7, 8)},
        "decoder/blocks/cross_attention/key": {"w": (2, 8, 8)},
        "decoder/blocks/mlp/up": {"w": (2, 8, 6), "b": (2, 6)},
        "head": {"w": (8, V)},
    }
    for path, shape in shapes.items():
        assert jax.tree.map(jnp.shape, params[f"whisper/{path}"]) == shape
    sines = hk.sinusoidal_positions(POSITIONS, 8, interleaved=False, endpoint=True)
    close(params["whisper/encoder/positions"]["embeddings"], sines)


def test_the_cache_changes_nothing_and_hears_once():
    model = model_of()
    whole = run(model, FEATURES, TOKENS)

    @jax.jit
    def step(model, features, tokens):
        return model.updating(features, tokens, cache_size=6)

    outputs, start, features = [], 0, FEATURES
    for size in (2, 1, 2):
        output, model = step(model, features, TOKENS[:, start : start + size])
        outputs.append(output)
        start, features = start + size, np.full_like(FEATURES, np.nan)
    close(np.concatenate(outputs, axis=1), whole)


def test_hidden_and_encode():
    model = model_of()
    table = model.params["whisper/embed"]["embeddings"]
    close(run(model, FEATURES, TOKENS), model.hidden(FEATURES, TOKENS) @ table.T)
    assert model.encode(FEATURES).shape == (2, POSITIONS, 8)


def test_the_first_frames():
    """The two convolutions, each with one frame of zeros at both ends."""
    model = model_of()
    params = model.params
    h = FEATURES
    for name, stride in (("conv_0", 1), ("conv_1", 2)):
        own = params[f"whisper/encoder/{name}"]
        h = np.pad(h, [(0, 0), (1, 1), (0, 0)])
        steps = range(0, h.shape[1] - 2, stride)
        h = np.stack(
            [np.einsum("bkd,kde->be", h[:, t : t + 3], own["w"]) for t in steps], 1
        )
        h = np.asarray(jax.nn.gelu(h + own["b"], approximate=False))
    h = h + params["whisper/encoder/positions"]["embeddings"]
    # Maps to nothing leave the embeddings as they are.
    still = {
        path: jax.tree.map(lambda x: x * 0, x) if "blocks" in path else x
        for path, x in params.items()
    }
    normed = (h - h.mean(-1, keepdims=True)) / np.sqrt(h.var(-1, keepdims=True) + 1e-5)
    close(model.replace(params=still).encode(FEATURES), normed)


def test_vmap_gradients_and_bfloat16():
    model = model_of()
    whole = run(model, FEATURES, TOKENS)
    mapped = jax.jit(jax.vmap(lambda x, y: model(x[None], y[None])[0]))
    close(mapped(FEATURES, TOKENS), whole)
    half = jax.tree.map(lambda x: x.astype(jnp.bfloat16), model)
    low = run(half, FEATURES, TOKENS)
    assert low.dtype == jnp.bfloat16
    np.testing.assert_allclose(low, whole, rtol=0, atol=0.1)
    gradients = jax.jit(
        jax.grad(lambda p: jnp.sum(model.replace(params=p)(FEATURES, TOKENS) ** 2))
    )(model.params)
    fixed = gradients.pop("whisper/encoder/positions")
    assert not np.any(fixed["embeddings"])
    gradients.pop("whisper/encoder/blocks/attention/query")
    for path, named in gradients.items():
        for x in named.values():
            assert np.all(np.isfinite(x)) and np.any(x != 0), path


def test_more_tokens_than_positions():
    model = model_of()
    tokens = np.zeros([2, 8], np.int32)
    with pytest.raises(ValueError, match="got 8 tokens, but has 7 learned positions"):
        model(FEATURES, tokens)
    _, cached = update(model, FEATURES, tokens[:, :6], cache_size=9)
    with pytest.raises(ValueError, match="got 8 tokens"):
        cached.updating(FEATURES, tokens[:, :2], cache_size=9)
    step = jax.jit(lambda m, x: m.updating(FEATURES, x, cache_size=9)[0])
    y = step(cached, tokens[:, :2])
    assert np.isfinite(y[:, 0]).all() and np.isnan(y[:, 1]).all()


@pytest.mark.parametrize(
    ("message", "options"),
    [
        ("num_mels of hk.nets.WhisperConfig must be an integer", {"num_mels": 0}),
        ("isn't a multiple of num_decoder_heads 3", {"num_decoder_heads": 3}),
        ("must be even and at least 4", {"model_size": 9, "num_heads": 3}),
        ("start_token of hk.nets.WhisperConfig", {"start_token": 1.0}),
        ("head of hk.nets.WhisperConfig", {"head": "classes"}),
    ],
)
def test_bad_configs_raise(message, options):
    with pytest.raises(ValueError, match=message):
        hk.nets.WhisperConfig(**SMALL | options)


@pytest.mark.parametrize(
    ("message", "changes"),
    [
        ("got 6 frames, and must get 8, two for each", {"features": FEATURES[:, :6]}),
        (r"\[batch, frames, 3\], channels last", {"features": FEATURES[..., :2]}),
        ("needs decoder_tokens of shape", {"decoder_tokens": TOKENS[0]}),
        ("got 2 sounds in features and 1 texts", {"decoder_tokens": TOKENS[:1]}),
    ],
)
def test_bad_calls_raise(message, changes):
    inputs = {"features": FEATURES, "decoder_tokens": TOKENS} | changes
    with pytest.raises(ValueError, match=message):
        model_of()(**inputs)
