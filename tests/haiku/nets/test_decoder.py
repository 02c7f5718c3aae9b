"""`hk.nets.Decoder` beside plain loops, with and without a cache."""

import copy
import dataclasses
import functools
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compiled_calls import update
from decoder_loop import decoder_loop

import haiku as hk

KEY = jax.random.key(0, impl="unsafe_rbg")  # the fastest to compile
RANDOM = np.random.default_rng(0)
V, T = 11, 6
# One row for each place of padding, and one that is nothing else.
MASK = np.array(
    [
        [1, 1, 1, 1, 1, 1],
        [0, 0, 0, 1, 1, 1],
        [1, 1, 1, 0, 0, 0],
        [1, 1, 0, 0, 1, 1],
        [0, 1, 0, 1, 0, 1],
        [0, 0, 0, 0, 0, 0],
    ],
    bool,
)
B = len(MASK)
TOKENS = RANDOM.integers(0, V, (B, T))
SMALL = {"vocab_size": V, "model_size": 8, "num_layers": 2, "num_heads": 4}
DYNAMIC = hk.Rotary(scaling=hk.rotary.Dynamic(4.0, original_length=3))
# After the models that use them; together they have every choice of every option.
KINDS = {
    "llama": {"num_kv_heads": 2, "num_layers": 3},
    "one layer": {"num_layers": 1, "rotary": hk.Rotary(100.0, interleaved=False)},
    "gpt2": {
        **{"position": "learned", "max_length": 7, "norm": "layer", "gated": False},
        **{"activation": "gelu_tanh", "attention_bias": True, "output_bias": True},
        **{"mlp_bias": True, "tied": True},
    },
    "gemma2": {
        **{"norm": "rms_offset", "norm_position": "both", "activation": "gelu_tanh"},
        **{"attention_soft_cap": 1.5, "final_soft_cap": 2.0, "windows": (3, None)},
        **{"num_layers": 2, "tied": True, "embedding_scale": 8**0.5, "scale": 0.7},
    },
    "gemma3": {
        **{"num_layers": 6, "windows": (None, 2, 3, 2, 3, None), "num_kv_heads": 2},
        **{"norm": "rms_offset", "norm_position": "both", "qk_norm": "head"},
        **{"rotary": hk.Rotary(1e6, scaling=hk.rotary.Linear(8.0))},
        **{"local_rotary": hk.Rotary(100.0), "activation": "gelu"},
    },
    "olmo2": {"norm_position": "post", "qk_norm": "all", "num_kv_heads": 2},
    "bloom": {
        **{"position": "alibi", "norm": "layer", "gated": False, "mlp_bias": True},
        **{"activation": "gelu", "attention_bias": True, "windows": [4]},
    },
    "none": {"position": None, "activation": "relu_squared", "hidden_size": 5},
    "gpt-oss": {
        **{"sinks": True, "windows": (2, None) * 2, "num_layers": 4, "head_size": 4},
        **{"attention_bias": True, "output_bias": True, "num_kv_heads": 1},
    },
    "phi": {
        **{"gated": False, "activation": "quick_gelu", "norm": "layer"},
        **{"head_size": 4, "rotary": hk.Rotary(fraction=0.5), "norm_eps": 1e-2},
    },
    "no head": {"head": None, "activation": "relu", "num_kv_heads": 2},
    "classes": {"head": "classes", "num_classes": 5, "mlp_bias": True},
    # The frequencies change from call to call, so deeper layers of a cache remember
    # what earlier ones were.
    "dynamic": {"rotary": DYNAMIC, "head_size": 4, "num_layers": 1},
    "dynamic, window": {
        **{"rotary": DYNAMIC, "head_size": 4, "num_layers": 1, "windows": (3,)},
    },
}


def config_of(kind, **options):
    return hk.nets.DecoderConfig(**{**SMALL, **KINDS[kind], **options})


@functools.cache
def model_of(kind, **options):
    """A model with random values for all parameters, also biases and norms."""
    config, noise = config_of(kind, **options), np.random.default_rng(1)
    shapes = jax.eval_shape(lambda: hk.bind(hk.nets.Decoder, config).init(0, TOKENS))

    def values(path, shape):
        x = noise.standard_normal(shape.shape) / 2
        centre = path[-1].key == "scale" and config.norm != "rms_offset"
        return jnp.asarray(x + centre, shape.dtype)

    return jax.tree_util.tree_map_with_path(values, shapes)


@functools.cache
def calls():
    """Compiled calls of any model, without and with a cache."""

    @jax.jit
    def call(model, tokens, **options):
        return model(tokens, **options)

    @jax.jit
    def updating(model, tokens, mask):
        return model.updating(tokens, mask=mask, cache_size=T)

    return call, updating


def call(model, tokens, **options):
    return calls()[0](model, jnp.asarray(tokens), **options)


def close(have, want, tolerance=1e-4):
    np.testing.assert_allclose(have, want, rtol=tolerance, atol=tolerance)


# ---- Parameters ---------------------------------------------------------------------


def shapes_of(kind, **options):
    return jax.tree.map(jnp.shape, model_of(kind, **options).params)


def test_parameters_of_a_llama():
    want = {
        "embed": {"embeddings": (V, 8)},
        "blocks/attention_norm": {"scale": (3, 8)},
        "blocks/attention/query": {"w": (3, 8, 8)},
        "blocks/attention/key": {"w": (3, 8, 4)},
        "blocks/attention/value": {"w": (3, 8, 4)},
        "blocks/attention/output": {"w": (3, 8, 8)},
        "blocks/mlp_norm": {"scale": (3, 8)},
        "blocks/mlp/gate": {"w": (3, 8, 32)},
        "blocks/mlp/up": {"w": (3, 8, 32)},
        "blocks/mlp/down": {"w": (3, 32, 8)},
        "norm": {"scale": (8,)},
        "head": {"w": (8, V)},
    }
    assert shapes_of("llama") == {f"decoder/{k}": v for k, v in want.items()}


def test_parameters_of_a_gpt2():
    norm = {"scale": (2, 8), "offset": (2, 8)}
    want = {
        "embed": {"embeddings": (V, 8)},
        "positions": {"embeddings": (7, 8)},
        "blocks/attention_norm": norm,
        **{
            f"blocks/attention/{name}": {"w": (2, 8, 8), "b": (2, 8)}
            for name in ("query", "key", "value", "output")
        },
        "blocks/mlp_norm": norm,
        "blocks/mlp/up": {"w": (2, 8, 32), "b": (2, 32)},
        "blocks/mlp/down": {"w": (2, 32, 8), "b": (2, 8)},
        "norm": {"scale": (8,), "offset": (8,)},
    }
    assert shapes_of("gpt2") == {f"decoder/{k}": v for k, v in want.items()}


def test_parameters_of_other_options():
    shapes = shapes_of("gemma3")
    # A layer, two periods of two kinds, a layer.
    blocks = {path.split("/attention")[0] for path in shapes if "/attention" in path}
    assert blocks == {
        f"decoder/{name}"
        for name in ("block_0", "blocks/block_0", "blocks/block_1", "block_5")
    }
    norms = {path.rsplit("/", 1)[1] for path in shapes if "norm" in path}
    around = "attention_norm", "attention_norm_post", "mlp_norm", "mlp_norm_post"
    assert norms == {*around, "query_norm", "key_norm", "norm"}
    assert shapes["decoder/block_5/attention/query_norm"] == {"scale": (2,)}
    assert shapes["decoder/blocks/block_1/mlp/gate"] == {"w": (2, 8, 32)}
    shapes = shapes_of("olmo2")
    assert "decoder/blocks/mlp_norm" not in shapes
    assert shapes["decoder/blocks/attention_norm_post"] == {"scale": (2, 8)}
    assert shapes["decoder/blocks/attention/query_norm"] == {"scale": (2, 8)}
    assert shapes["decoder/blocks/attention/key_norm"] == {"scale": (2, 4)}
    shapes = shapes_of("gpt-oss")
    assert shapes["decoder/blocks/block_0/attention"] == {"sinks": (2, 4)}
    assert shapes["decoder/blocks/block_1/attention/query"] == {
        "w": (2, 8, 16),
        "b": (2, 16),
    }
    assert shapes_of("classes")["decoder/head"] == {"w": (8, 5)}
    assert not {"decoder/head", "decoder/positions"} & set(shapes_of("no head"))


# ---- Numbers ------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_the_decoder_is_its_loop(kind):
    model, config = model_of(kind), config_of(kind)
    y = call(model, TOKENS[:2])
    for row, tokens in enumerate(TOKENS[:2]):
        close(y[row], decoder_loop(config, model.params, tokens)[0])


@pytest.mark.parametrize("kind", ["llama", "gpt2", "gemma2", "bloom", "dynamic"])
def test_padding_is_as_if_it_were_not_there(kind):
    check_parts(kind, (T,), [call(model_of(kind), TOKENS, mask=MASK)])


@pytest.mark.parametrize("kind", KINDS)
def test_with_a_cache_as_without(kind):
    """In parts, with padding at each place of a part."""
    model, parts, outputs = model_of(kind), (4, 1, 1), []
    for at, end in zip(np.cumsum((0, *parts)), np.cumsum(parts)):
        part = TOKENS[:, at:end]
        y, model = calls()[1](model, part, MASK[:, at:end])
        outputs.append(y)
    check_parts(kind, parts, outputs)
    lengths = [
        v for named in model.state.values() for k, v in named.items() if k == "length"
    ]
    for length in lengths:
        np.testing.assert_array_equal(
            length, np.broadcast_to(MASK.sum(1), length.shape)
        )


def check_parts(kind, parts, outputs):
    """Compares the output of each part with the loop over what has come till then."""
    params, config = model_of(kind).params, config_of(kind)
    for end, n, y in zip(np.cumsum(parts), parts, outputs):
        assert np.isfinite(y).all()
        longest = MASK[:, :end].sum(1).max()
        for row in range(B):
            kept, new = MASK[row, :end], MASK[row, end - n : end]
            if not new.any():
                continue
            tokens = TOKENS[row, :end][kept]
            want, _ = decoder_loop(config, params, tokens, length=longest)
            if config.head == "classes":
                close(y[row], want)
            else:
                close(y[row, new], want[-new.sum() :])


@pytest.mark.parametrize("kind", ["llama", "gpt2", "bloom", "dynamic"])
def test_segments_are_alone(kind):
    model, config = model_of(kind), config_of(kind)
    segments = np.array([[0, 0, 1, 1, 1, 1], [7, 7, 7, 7, 3, 3]])
    y = call(model, TOKENS[:2], segments=segments)
    for row in range(2):
        for segment in np.unique(segments[row]):
            own = segments[row] == segment
            tokens = TOKENS[row][own]
            close(y[row, own], decoder_loop(config, model.params, tokens, length=4)[0])


@pytest.mark.parametrize(
    "kind",
    [
        "llama",
        *(pytest.param(x, marks=pytest.mark.tables) for x in ("gpt2", "bloom")),
    ],
)
def test_positions_given_by_the_caller(kind):
    model, config = model_of(kind), config_of(kind)
    places = np.array([0, 1, 3, 4, 5, 6])
    y = call(model, TOKENS[:2], positions=places)
    for row, tokens in enumerate(TOKENS[:2]):
        close(y[row], decoder_loop(config, model.params, tokens, places)[0])
    z, after = update(model, TOKENS[:2, :4], positions=places[:4], cache_size=T)
    close(z, y[:, :4])
    z, _ = update(after, TOKENS[:2, 4:], positions=places[4:], cache_size=T)
    close(z, y[:, 4:])


def test_the_hidden_state_is_before_the_head():
    model, config = model_of("llama"), config_of("llama")
    h = jax.jit(lambda m, t: m.hidden(t, mask=MASK))(model, TOKENS)
    close(h[0], decoder_loop(config, model.params, TOKENS[0])[1])
    close(h @ model.params["decoder/head"]["w"], call(model, TOKENS, mask=MASK))
    assert jax.eval_shape(model_of("classes").hidden, TOKENS).shape == (B, T, 8)

    def both(tokens):
        net = hk.nets.Decoder(config)
        return net(tokens), net.hidden(tokens)

    params = jax.eval_shape(hk.transform(both).init, KEY, TOKENS)
    assert jax.tree.map(jnp.shape, params) == shapes_of("llama")


def test_a_prefix_is_used_many_times():
    model = model_of("llama")
    _, prefix = calls()[1](model, TOKENS[:, :4], np.ones([B, 4], bool))
    for token in (1, 2):
        one = np.full([B, 1], token)
        y, _ = calls()[1](prefix, one, np.ones([B, 1], bool))
        whole = call(model, np.concatenate([TOKENS[:, :4], one, one], 1))
        close(y[:, 0], whole[:, 4])


# ---- Gradients, dtypes, JAX's transformations ---------------------------------------


@pytest.mark.parametrize("kind", ["gpt2", "olmo2", "gpt-oss"])
def test_a_gradient_reaches_every_parameter(kind):
    model = model_of(kind)

    def loss(model):
        return jnp.sum(jnp.sin(model(TOKENS, mask=MASK)) * MASK[..., None])

    gradients = jax.jit(jax.grad(loss))(model).params
    for path, x in jax.tree_util.tree_leaves_with_path(gradients):
        assert np.isfinite(x).all(), path
        used = np.any(x, axis=tuple(range(1, x.ndim)))  # layers, tokens, positions
        if "embed" in str(path) and not model.net.args[0].tied:
            used = used[np.unique(TOKENS[MASK])]
        assert used[: T if "positions" in str(path) else None].all(), path


def test_gradients_are_slopes():
    model = model_of("gemma2")
    directions = jax.tree.map(
        lambda x: RANDOM.standard_normal(x.shape).astype(x.dtype), model.params
    )

    def loss(params):
        return jnp.mean(jnp.sin(model.replace(params=params)(TOKENS[:1])))

    slope = jax.jit(lambda *x: jax.jvp(loss, x[:1], x[1:])[1])(model.params, directions)
    ends = [
        np.mean(
            np.sin(
                decoder_loop(
                    model.net.args[0],
                    jax.tree.map(
                        lambda x, d: np.asarray(x, float) + e * d,  # noqa: B023
                        model.params,
                        directions,
                    ),
                    TOKENS[0],
                )[0]
            )
        )
        for e in (1e-5, -1e-5)
    ]
    np.testing.assert_allclose(slope, (ends[0] - ends[1]) / 2e-5, rtol=1e-3)


@pytest.mark.parametrize("kind", ["gpt2", "gemma2", "gpt-oss", "classes"])
def test_bfloat16_is_close(kind):
    def half(x):
        return x.astype(jnp.bfloat16)

    model = model_of(kind)
    y = call(jax.tree.map(half, model), TOKENS[:2])
    assert y.dtype == jnp.bfloat16
    rounded = jax.tree.map(lambda x: half(x).astype(jnp.float32), model.params)
    for row in range(2):
        want, _ = decoder_loop(config_of(kind), rounded, TOKENS[row])
        close(y[row].astype(jnp.float32), want, 0.1)


def test_dropout_needs_a_key():
    model = model_of("llama", dropout=0.5)
    y = call(model_of("llama"), TOKENS)
    np.testing.assert_array_equal(call(model, TOKENS), y)
    dropped = jax.jit(lambda m, key: m(TOKENS, rng_key=key))
    one, again, other = (dropped(model, jax.random.key(i)) for i in (0, 0, 1))
    np.testing.assert_array_equal(one, again)
    assert not np.allclose(one, y, atol=0.1) and not np.allclose(one, other, atol=0.1)


def test_vmap_over_texts_and_over_models():
    model = model_of("llama")
    y = call(model, TOKENS)
    alone = jax.vmap(lambda m, t: m(t[None])[0], (None, 0))(model, TOKENS)
    close(alone, y, 1e-5)
    two = jax.tree.map(lambda x: jnp.stack([x, 2 * x]), model)
    twice = jax.vmap(lambda m: m(TOKENS))(two)
    close(twice[0], y, 1e-5)
    close(twice[1], call(jax.tree.map(lambda x: 2 * x, model), TOKENS), 1e-5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("x64", [False, True])
def test_strict_settings(kind, x64):
    """Calls of each kind where JAX neither converts nor broadcasts; they only trace."""
    dtype = jnp.dtype(jnp.float64 if x64 else jnp.float32)

    def calls(model):
        y = model(TOKENS, mask=MASK), model(TOKENS, segments=TOKENS // 3)
        z, after = model.updating(TOKENS[:, :4], mask=MASK[:, :4], cache_size=T)
        return *y, z, after.updating(TOKENS[:, 4:], cache_size=T)[0]

    with (
        jax.enable_x64(x64),
        jax.numpy_rank_promotion("raise"),
        jax.numpy_dtype_promotion("strict"),
    ):
        model = jax.tree.map(lambda x: x.astype(dtype), model_of(kind))
        assert {y.dtype for y in jax.eval_shape(calls, model)} == {dtype}


def test_a_text_longer_than_its_rings():
    model, config = model_of("bloom"), config_of("bloom")  # all windows are 4
    first, cached = update(model, TOKENS[:1, :5], cache_size=4)
    second, _ = update(cached, TOKENS[:1, 5:], cache_size=4)
    y = jnp.concatenate([first, second], 1)[0]
    close(y, decoder_loop(config, model.params, TOKENS[0])[0])


def test_steps_under_scan():
    model = model_of("gpt-oss")
    y, cached = update(model, TOKENS[:, :1], cache_size=T)

    def step(model, tokens):
        y, model = model.updating(tokens[:, None], cache_size=T)
        return model, y[:, 0]

    _, rest = jax.lax.scan(step, cached, jnp.asarray(TOKENS[:, 1:].T))
    close(rest[:, :2].swapaxes(0, 1), call(model, TOKENS[:2])[:, 1:])


def test_init_under_jit():
    config = config_of("gemma2", dropout=0.5)
    model = jax.jit(lambda key: hk.bind(hk.nets.Decoder, config).init(key, TOKENS))(KEY)
    assert jax.tree.map(jnp.shape, model.params) == shapes_of("gemma2")
    assert not model.state  # no cache
    scales = {k: v["scale"] for k, v in model.params.items() if "scale" in v}
    assert all(not np.any(x) for x in scales.values())  # 1 + 0
    assert np.isfinite(model(TOKENS)).all()


def test_init_makes_no_cache():
    config = config_of("gpt2")
    model = jax.eval_shape(
        lambda: hk.bind(hk.nets.Decoder, config).init(0, TOKENS, cache_size=T)
    )
    assert not model.state


# ---- The config ---------------------------------------------------------------------


def test_defaults_are_filled_in():
    config = hk.nets.DecoderConfig(10, 16, 3, 4)
    sizes = config.num_kv_heads, config.head_size, config.hidden_size
    assert sizes == (4, 4, 64)
    windows = dataclasses.replace(config, windows=[5]).windows
    assert windows == (5, 5, 5)
    assert dataclasses.replace(config, windows=(None, None, None)).windows is None
    assert config.window(2) is None
    assert dataclasses.replace(config, windows=(1, None, 2)).window(2) == 2


@pytest.mark.parametrize("kind", KINDS)
def test_a_config_is_a_value(kind):
    config = config_of(kind)
    for again in (
        config_of(kind),
        copy.deepcopy(config),
        pickle.loads(pickle.dumps(config)),
        dataclasses.replace(config),
        hk.nets.DecoderConfig(**vars(config)),
    ):
        assert again == config and hash(again) == hash(config)
    assert len({config, config_of(kind), config_of(kind, vocab_size=12)}) == 2


def test_a_model_is_copied_and_pickled():
    model = model_of("gemma2")
    y = call(model, TOKENS)
    for again in copy.deepcopy(model), pickle.loads(pickle.dumps(model)):
        np.testing.assert_array_equal(call(again, TOKENS), y)


def test_sizes_of_numpy_are_integers():
    config = hk.nets.DecoderConfig(
        *(np.int64(n) for n in (V, 8, 2, 4)), windows=(np.int32(3),)
    )
    assert config == hk.nets.DecoderConfig(V, 8, 2, 4, windows=(3,))
    assert type(config.head_size) is type(config.vocab_size) is int


@pytest.mark.parametrize(
    ("message", "options"),
    {
        "vocab_size of .* integer of at least 1, got 0": {"vocab_size": 0},
        "model_size of .* got '8'": {"model_size": "8"},
        "num_layers of .* got -1": {"num_layers": -1},
        "num_heads of .* got 2.0": {"num_heads": 2.0},
        "num_kv_heads of .* got True": {"num_kv_heads": True},
        "hidden_size of .* got 0": {"hidden_size": 0},
        "max_length of .* got None": {"max_length": None},
        "head_size of .* got 0": {"head_size": 0},
        "num_classes of .* got 0": {"head": "classes", "num_classes": 0},
        "model_size 8 .* multiple of num_heads 3: give head_size": {"num_heads": 3},
        "num_kv_heads 3 .* must divide num_heads 4": {"num_kv_heads": 3},
        "windows .* each of the 2 layers, got 3": {"windows": (1, 2, 3)},
        "windows .* integers of at least 1 or None, got \\(0,\\)": {"windows": (0,)},
        "windows .* got \\(2.5, None\\)": {"windows": (2.5, None)},
        "windows .* one entry, .* got 4": {"windows": 4},
        "windows .* got 0": {"windows": ()},
        "activation of .* 'quick_gelu'.*, got 'swish'": {"activation": "swish"},
        "norm of .* got 'batch'": {"norm": "batch"},
        "norm_position of .* got 'sandwich'": {"norm_position": "sandwich"},
        "position of .* got 'rope'": {"position": "rope"},
        "qk_norm of .* got True": {"qk_norm": True},
        "head of .* got 'lm'": {"head": "lm"},
        "head='classes' of .* needs num_classes": {"head": "classes"},
        "norm_eps of .* at least 0, got -1": {"norm_eps": -1},
        "attention_soft_cap of .* above 0, got 0": {"attention_soft_cap": 0},
        "final_soft_cap of .* above 0, got -30.0": {"final_soft_cap": -30.0},
        "dropout of .* in \\[0, 1\\), got 1": {"dropout": 1},
        "rotary of .* must be a hk.Rotary, got 10000.0": {"rotary": 10000.0},
        "local_rotary of .* got \\{\\}": {"local_rotary": {}},
        "turns pairs: 1 of a head of 3": {"head_size": 3},
        "turns pairs: 0.3 of a head of 4": {
            **{"head_size": 4, "windows": (2,)},
            **{"local_rotary": hk.Rotary(fraction=0.3)},
        },
    }.items(),
)
def test_bad_configs_raise(message, options):
    with pytest.raises(ValueError, match=message):
        config_of("one layer", **{"num_layers": 2, "num_kv_heads": None, **options})


@pytest.mark.parametrize(
    ("message", "kind", "options"),
    [
        (
            "tokens of shape \\[batch, steps\\], .* float32",
            "llama",
            {"tokens": jnp.ones([2, 3])},
        ),
        (
            "integers, got int32 of shape \\(6,\\)",
            "llama",
            {"tokens": jnp.ones([T], int)},
        ),
        (
            "mask of 'decoder' .* \\(6, 6\\), got \\(6, 5\\)",
            "llama",
            {"mask": MASK[:, 1:]},
        ),
        ("segments of 'decoder' .* got \\(6,\\)", "llama", {"segments": MASK[0]}),
        ("positions would change nothing", "none", {"positions": np.arange(T)}),
        ("positions of 'decoder' .* got \\(5,\\)", "gpt2", {"positions": np.arange(5)}),
        (
            "positions of 'decoder' .* got \\(6, 5\\)",
            "llama",
            {"positions": np.ones([B, 5])},
        ),
        (
            "with cache_size it takes no segments",
            "llama",
            {"segments": MASK * 1, "cache_size": T},
        ),
        ("5 slots, and this call fills 6", "llama", {"cache_size": 5}),
        ("cache_size .* at least 1: 0", "llama", {"cache_size": 0}),
        ("8 tokens, .* 7 learned pos", "gpt2", {"tokens": jnp.ones([2, 8], int)}),
    ],
)
def test_bad_calls_raise(message, kind, options):
    options = {"tokens": TOKENS, **options}
    with pytest.raises(ValueError, match=message):
        model_of(kind).updating(**options)


def test_more_tokens_than_learned_positions_raise_or_give_nan():
    model = model_of("gpt2")
    tokens, mask = np.ones([2, 8], int), np.array([[1] * 8, [0] * 4 + [1] * 4], bool)
    y = call(model, tokens, mask=mask)
    assert np.isnan(y[0, 7]).all() and np.isfinite(y[0, :7]).all()
    assert np.isfinite(y[1, 4:]).all()
    y = call(model, TOKENS[:1], positions=np.array([0, 1, 2, 3, 7, -1]))
    assert np.isnan(y[0, 4:]).all() and np.isfinite(y[0, :4]).all()
    for call_it in (
        lambda: model(tokens, mask=mask),
        lambda: jax.eval_shape(lambda: model(tokens)),
        lambda: model.updating(tokens[:, :6], cache_size=9)[1].updating(
            tokens[:, 6:], cache_size=9
        ),
    ):
        with pytest.raises(ValueError, match="got 8 tokens, but has 7 learned pos"):
            call_it()


def test_more_tokens_than_the_cache_has_room_for_give_nan():
    model = model_of("llama")
    _, model = calls()[1](model, TOKENS, np.ones([B, T], bool))
    y, _ = calls()[1](model, TOKENS[:, :1], np.ones([B, 1], bool))
    assert np.isnan(y).all()
    with pytest.raises(ValueError, match="6 slots, and this call fills 7"):
        model.updating(TOKENS[:, :1], cache_size=T)
