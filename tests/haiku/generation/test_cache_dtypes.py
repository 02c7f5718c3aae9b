"""Caches whose keys and values have another dtype than the net's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from drawn_models import drawn_model

import haiku as hk
from haiku.generation import generate, stream

SIZES = {"vocab_size": 24, "model_size": 32, "num_layers": 2}
TOKENS = np.random.default_rng(0).integers(0, 24, (2, 12)).astype(np.int32)
TEXT = jax.ShapeDtypeStruct((1, 1), jnp.int32)
KINDS = {
    "plain": {},
    "groups": {"num_kv_heads": 1},
    "rings": {"windows": (5, None)},
    "alibi": {"position": "alibi"},
}


def decoder(**options):
    config = hk.nets.DecoderConfig(**SIZES, **({"num_heads": 4} | options))
    return drawn_model(hk.nets.Decoder, config, TEXT)


def int8(next_creator, shape, dtype, init, context):
    kept = context.name in ("keys", "values")
    return next_creator(shape, jnp.int8 if kept else dtype, init)


def in_parts(model, parts):
    """Logits of the tokens, which are read part by part, and the state."""
    read = jax.jit(lambda model, x: model.updating(x, cache_size=16))
    logits, start = [], 0
    for n in parts:
        out, model = read(model, TOKENS[:, start : start + n])
        logits.append(out)
        start += n
    return jnp.concatenate(logits, axis=1), model.state


@pytest.mark.parametrize("options", KINDS.values(), ids=KINDS)
def test_logits_stay_within_the_rounding(options):
    model = decoder(**options)
    own = model.replace(hooks=[hk.Hooks(state_creator=int8)])
    want = model(TOKENS)
    found, state = in_parts(own, (12,))
    error = jnp.linalg.norm(found - want) / jnp.linalg.norm(want)
    assert 0 < error < 0.02
    again, _ = in_parts(own, (5, 1, 1, 5))
    np.testing.assert_allclose(again, found, atol=0.02 * float(jnp.abs(want).max()))
    kept = [x for named in state.values() for x in named.items()]
    assert {n for n, x in kept if x.dtype == jnp.int8} == {"keys", "values"}
    assert {n for n, _ in kept} >= {"keys_scale", "values_scale"}


def test_each_number_is_within_half_a_step():
    attention = hk.bind(hk.Attention, 2, 8, causal=True)
    x = jax.random.normal(jax.random.key(0), (2, 6, 16)).at[1, 3].set(0)
    model = attention.init(1, x)
    _, exact = model.updating(x, cache_size=8)
    hooks = [hk.Hooks(state_creator=int8)]
    _, rounded = model.replace(hooks=hooks).updating(x, cache_size=8)
    exact, rounded = exact.state["attention"], rounded.state["attention"]
    for name in ("keys", "values"):
        scale = rounded[f"{name}_scale"]
        read = rounded[name] * scale[..., None]
        assert bool(jnp.all(jnp.abs(read - exact[name]) <= scale[..., None] * 0.5001))
        largest = jnp.abs(rounded[name]).max(axis=-1)[:, :6]
        assert bool(jnp.all((largest == 127) | (largest == 0)))


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16, jnp.float64])
def test_int8_in_nets_of_all_dtypes(dtype):
    with jax.enable_x64(dtype == jnp.float64):
        layer = hk.bind(hk.Attention, 2, 8, causal=True)
        x = jax.random.normal(jax.random.key(0), (1, 6, 16), dtype)
        model = layer.init(1, x)
        want = model(x).astype(jnp.float32)
        model = model.replace(hooks=[hk.Hooks(state_creator=int8)])
        found, _ = model.updating(x, cache_size=8)
        assert found.dtype == dtype
        np.testing.assert_allclose(found.astype(jnp.float32), want, atol=0.05)


@pytest.mark.parametrize("dtype", [jnp.int8, jnp.bfloat16])
def test_generate_stream_beams_and_drafts_take_a_dtype(dtype):
    model = decoder()
    options = {"max_new_tokens": 6, "cache_dtype": dtype}
    out = generate(model, TOKENS, **options)
    steps = np.stack(list(stream(model, TOKENS, **options)), axis=1)
    np.testing.assert_array_equal(steps, out.tokens)
    drafted = generate(model, TOKENS, draft=model, **options)
    assert drafted.tokens.shape == (2, 6)
    beams = generate(model, TOKENS, num_beams=2, **options)
    assert bool(jnp.all(beams.scores >= 6 * -jnp.log(24.0)))
    scores = generate(model, TOKENS, max_new_tokens=6).scores
    assert bool(jnp.all(jnp.abs(out.scores - scores) < 0.5))


def test_what_an_encoder_left_stays_as_it_is():
    config = hk.nets.EncoderDecoderConfig(**SIZES, num_heads=2)
    model = drawn_model(hk.nets.EncoderDecoder, config, TEXT, TEXT)
    out = generate(model, TOKENS, max_new_tokens=4, cache_dtype=jnp.int8)
    want = generate(model, TOKENS, max_new_tokens=4)
    assert bool(jnp.all(jnp.abs(out.scores - want.scores) < 0.5))


def test_bad_dtypes():
    model = decoder()
    with pytest.raises(ValueError, match=r"jnp\.int8 or a dtype of floats.*int32"):
        generate(model, TOKENS, max_new_tokens=2, cache_dtype=jnp.int32)
    with pytest.raises(ValueError, match=r"jnp\.int8 or a dtype of floats.*'tiny'"):
        generate(model, TOKENS, max_new_tokens=2, cache_dtype="tiny")
    mamba = drawn_model(hk.nets.Mamba, hk.nets.MambaConfig(**SIZES), TEXT)
    with pytest.raises(ValueError, match="this model has none"):
        generate(mamba, TOKENS, max_new_tokens=2, cache_dtype=jnp.int8)
    _, holding = model.updating(TOKENS, cache_size=20)
    with pytest.raises(ValueError, match="keeps them in float32 already"):
        generate(
            *(holding, TOKENS[:, :2]),
            max_new_tokens=2,
            cache_size=20,
            cache_dtype=jnp.int8,
        )

    def integers(next_creator, shape, dtype, init, context):
        return next_creator(shape, jnp.int32 if context.name == "keys" else dtype, init)

    wrong = model.replace(hooks=[hk.Hooks(state_creator=integers)])
    with pytest.raises(ValueError, match="has keys of int32: it can hold floats or"):
        wrong.updating(TOKENS, cache_size=20)
