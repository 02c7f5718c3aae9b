"""`hk.nets.UNet`: beside loops over NumPy, sizes of images, and bad input.

Its numbers stand beside diffusers' in `tests/haiku/pretrained`.
"""

import functools
import json
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from drawn_models import drawn

import haiku as hk

KEY = jax.random.key(0, impl="unsafe_rbg")  # the fastest to compile
B, S = 3, 5
RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.standard_normal((B, 6, 4, 3)).astype(np.float32)
TIMESTEPS = np.array([0, 30, 999], np.int32)
CONTEXT = RANDOM.standard_normal((B, S, 6)).astype(np.float32)
SMALL = {"sizes": (4, 8), "layers_per_block": 1, "groups": 2}
CROSS = {"mid": "cross", "context_size": 6}
KINDS = {
    "self": {"attention": (None, "self"), "head_size": 4, "outer_activation": "silu"},
    "ddpm": {
        **{"mid": "plain", "cosines_first": False, "endpoint": True, "norm_eps": 1e-6},
        **{"downsample_padding": 0, "centered": True, "outer_activation": "silu"},
    },
    "adm": {
        **{"scale_shift": True, "head_size": 4, "time_size": 10, "activation": "relu"},
        "outer_activation": "silu",
    },
    "cross": CROSS | {"attention": ("cross", None), "num_heads": 2},
    "sdxl": CROSS
    | {"attention": (None, "cross"), "num_heads": (1, 4), "linear_maps": True}
    | {"transformer_layers": (1, 2)},
    "only_cross": CROSS | {"attention": "cross", "only_cross": (True, False)},
    "one_level": {"sizes": (4,), "mid": None, "out_channels": 2},
    "one_cross": CROSS
    | {"sizes": (4,), "mid": None, "attention": "cross", "num_heads": 2},
}
SELF = ("self", "ddpm", "adm", "one_level")


def config_of(kind, **options):
    return hk.nets.UNetConfig(**SMALL | KINDS[kind] | options)


def inputs_of(kind):
    return (IMAGES, TIMESTEPS) + (() if kind in SELF else (CONTEXT,))


@functools.cache
def model_of(kind):
    net = hk.Blueprint(hk.nets.UNet, config_of(kind))
    init = hk.transform(lambda *x: net(*x)).init
    return hk.bind(net).to(drawn(jax.eval_shape(init, KEY, *inputs_of(kind))))


# ---- Beside NumPy --------------------------------------------------------------------


def silu(x):
    return x / (1 + np.exp(-x))


def group_norm(x, p, groups, eps):
    """Of one image `[H, W, C]`, group by group."""
    y = np.empty_like(x)
    for at in np.split(np.arange(x.shape[-1]), groups):
        part = x[..., at]
        y[..., at] = (part - part.mean()) / math.sqrt(part.var() + eps)
    return y * p["scale"] + p["offset"]


def convolution(x, p, stride=1, pads=((1, 1), (1, 1))):
    """Of one image `[H, W, C]`, pixel by pixel."""
    k = p["w"].shape[0]
    x = np.pad(x, (*(pads if k > 1 else ((0, 0), (0, 0))), (0, 0)))
    height, width = ((n - k) // stride + 1 for n in x.shape[:2])
    y = np.empty((height, width, p["w"].shape[-1]))
    for i in range(height):
        for j in range(width):
            window = x[i * stride : i * stride + k, j * stride : j * stride + k]
            y[i, j] = np.tensordot(window, p["w"], 3) + p["b"]
    return y


def linear(x, p):
    return x @ p["w"] + p["b"]


def embedded(t, config, params):
    """A timestep's embedding, frequency by frequency: Ho et al.'s program."""
    half = config.sizes[0] // 2
    steps = half - 1 if config.endpoint else half
    angles = [t * math.exp(-math.log(10000) * i / steps) for i in range(half)]
    sines, cosines = [math.sin(a) for a in angles], [math.cos(a) for a in angles]
    pair = cosines + sines if config.cosines_first else sines + cosines
    hidden = silu(linear(np.array(pair), params["unet/time_embed/in"]))
    return linear(hidden, params["unet/time_embed/out"])


def resnet(x, time, config, params, path):
    act = silu if config.activation == "silu" else lambda x: np.maximum(x, 0)
    p = {x: params.get(f"{path}/{x}") for x in ("norm_1", "conv_1", "time", "norm_2")}
    norm = functools.partial(group_norm, groups=config.groups, eps=config.norm_eps)
    y = convolution(act(norm(x, p["norm_1"])), p["conv_1"])
    time = linear(act(time), p["time"])
    if config.scale_shift:
        scale, shift = np.split(time, 2)
        y = norm(y, p["norm_2"]) * (1 + scale) + shift
    else:
        y = norm(y + time, p["norm_2"])
    y = convolution(act(y), params[f"{path}/conv_2"])
    if f"{path}/shortcut" in params:
        x = convolution(x, params[f"{path}/shortcut"])
    return x + y


def attended(x, config, params, path, heads):
    """Each pixel attends to all, head by head."""
    p = {k: params[f"{path}/attention/{k}"] for k in ("query", "key", "value")}
    y = group_norm(x, params[f"{path}/norm"], config.groups, config.norm_eps)
    y = y.reshape(-1, x.shape[-1])
    query, key, value = (linear(y, p[k]) for k in ("query", "key", "value"))
    out = np.empty_like(value)
    for at in np.split(np.arange(x.shape[-1]), heads):
        logits = query[:, at] @ key[:, at].T / math.sqrt(len(at))
        weights = np.exp(logits - logits.max(-1, keepdims=True))
        out[:, at] = weights / weights.sum(-1, keepdims=True) @ value[:, at]
    out = linear(out, params[f"{path}/attention/output"])
    return x + out.reshape(x.shape)


def denoised(x, t, config, params):
    """The net of two levels of one block each, without a context."""
    time = embedded(t, config, params)
    x = 2 * x - 1 if config.centered else x

    def block(x, part, number, kind=None):
        path = f"unet/{part}"
        x = resnet(x, time, config, params, f"{path}/resnet_{number}")
        if kind != "self":
            return x
        return attended(
            x, config, params, f"{path}/attention_{number}", config.num_heads[1]
        )

    below = config.attention[1]
    first = convolution(x, params["unet/conv_in"])
    second = block(first, "down_0", 0)
    pads = ((config.downsample_padding, 1),) * 2
    third = convolution(second, params["unet/down_0/downsample/conv"], 2, pads)
    fourth = block(third, "down_1", 0, below)
    h = block(block(fourth, "mid", 0, config.mid), "mid", 1)
    h = block(np.concatenate([h, fourth], -1), "up_0", 0, below)
    h = block(np.concatenate([h, third], -1), "up_0", 1, below)
    h = h.repeat(2, 0).repeat(2, 1)
    h = convolution(h, params["unet/up_0/upsample/conv"])
    h = block(np.concatenate([h, second], -1), "up_1", 0)
    h = block(np.concatenate([h, first], -1), "up_1", 1)
    h = group_norm(h, params["unet/norm_out"], config.groups, config.norm_eps)
    return convolution(silu(h), params["unet/conv_out"])


@pytest.mark.parametrize("kind", ["self", "ddpm", "adm"])
def test_beside_numpy(kind):
    model, config = model_of(kind), config_of(kind)
    ours = jax.jit(lambda m, *x: m(*x))(model, IMAGES, TIMESTEPS)
    params = jax.tree.map(lambda x: np.asarray(x, np.float64), model.params)
    for image, t, y in zip(IMAGES, TIMESTEPS, ours):
        want = denoised(image.astype(np.float64), int(t), config, params)
        np.testing.assert_allclose(y, want, rtol=0, atol=1e-4 * np.abs(want).max())


# ---- Transformations, dtypes and sizes -----------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sizes", [(8, 4), (5, 7), (9, 2)])
def test_shapes(kind, sizes):
    images = jax.ShapeDtypeStruct((B, *sizes, 3), jnp.float32)
    inputs = (images, *inputs_of(kind)[1:])
    output = jax.eval_shape(model_of(kind), *inputs)
    assert output.shape == (B, *sizes, config_of(kind).out_channels)
    hidden = jax.eval_shape(model_of(kind).hidden, *inputs)
    assert hidden.shape == (B, *sizes, 4)


def test_vmap_and_gradients():
    model, inputs = model_of("one_cross"), inputs_of("one_cross")

    def run(params, *inputs):
        bound = model.replace(params=params)
        mapped = jax.vmap(lambda *x: bound(*(y[None] for y in x))[0])(*inputs)
        return bound(*inputs), mapped

    def loss(params, images, context):
        inputs = (images, TIMESTEPS, *context)
        output, mapped = run(params, *inputs)
        return jnp.sum(jnp.sin(output)), (output, mapped)

    learned = (model.params, IMAGES, inputs[2:])
    grad = jax.jit(jax.grad(loss, (0, 1, 2), has_aux=True))
    (gradients, *of_inputs), (output, mapped) = grad(*learned)
    np.testing.assert_allclose(mapped, output, rtol=0, atol=1e-4 * np.max(abs(output)))
    for x in jax.tree.leaves(of_inputs):
        assert np.all(np.any(x, axis=tuple(range(1, x.ndim))))
    for path, named in gradients.items():
        for name, x in named.items():
            assert np.all(np.isfinite(x)), path
            assert np.any(x), f"{path}/{name}"


def test_bfloat16():
    model = model_of("one_cross")
    low = jax.tree.map(lambda x: x.astype(jnp.bfloat16), model)
    run = jax.jit(lambda m, *x: m(*x))
    output, want = (
        run(low, *inputs_of("one_cross")),
        run(model, *inputs_of("one_cross")),
    )
    assert output.dtype == jnp.bfloat16  # though the inputs are in single precision
    np.testing.assert_allclose(output, want, rtol=0, atol=0.05 * np.max(abs(want)))


def test_timesteps_may_be_floats():
    model = model_of("one_level")
    run = jax.jit(lambda t: model(IMAGES, t))
    same = run(TIMESTEPS.astype(np.float32))
    np.testing.assert_array_equal(run(TIMESTEPS), same)
    assert np.all(np.any(run(TIMESTEPS + 0.5) != same, axis=(1, 2, 3)))


def test_dropout_draws_where_apply_gets_a_key():
    net = hk.Blueprint(hk.nets.UNet, config_of("one_level", dropout=0.5))
    f = hk.transform(lambda: net(IMAGES, TIMESTEPS))
    params = model_of("one_level").params
    plain, random = jax.jit(lambda p: (f.apply(p, None), f.apply(p, KEY)))(params)
    assert np.all(np.abs(random - plain).max((1, 2, 3)) > 0.01)


def test_transformer_blocks_are_stacked():
    params = model_of("sdxl").params
    blocks = "unet/up_0/attention_1/blocks"
    assert params[f"{blocks}/cross_attention/key"]["w"].shape == (2, 6, 8)
    assert params[f"{blocks}/mlp/gate"]["w"].shape == (2, 8, 32)
    assert "b" not in params[f"{blocks}/attention/query"]


# ---- Folders -------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_config_made_by_hand_is_saved(kind, tmp_path):
    model = model_of(kind)
    hk.pretrained.save(tmp_path / "copy", model)
    config = json.loads((tmp_path / "copy/config.json").read_text())
    family = "UNet2DModel" if kind in SELF else "UNet2DConditionModel"
    assert config["_class_name"] == family
    copy = hk.pretrained.load(tmp_path / "copy").model
    assert copy.net == model.net
    jax.tree.map(np.testing.assert_array_equal, copy.params, model.params)


@pytest.mark.parametrize(
    "options",
    [
        {"attention": ("self", "cross"), "mid": "cross", "context_size": 6},
        {"attention": "self", "num_heads": (2, 1)},  # heads of two sizes
        {"outer_activation": "relu"},
        {"activation": "quick_gelu", "outer_activation": "silu"},
        {"attention": "self", "layers_per_block": (1, 2), "outer_activation": "silu"},
    ],
)
def test_a_config_of_no_family(options):
    net = hk.bind(hk.nets.UNet, hk.nets.UNetConfig(**SMALL | options))
    model = net.to({"unet/norm_out": {"scale": np.ones(4)}})
    with pytest.raises(ValueError, match="No family has this config"):
        hk.pretrained.to_state_dict(model)


# ---- Bad input -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "options"),
    [
        ("sizes of .* a tuple of 1 to 16 integers, .* got 4", {"sizes": 4}),
        ("sizes of .* a tuple of 1 to 16 integers", {"sizes": ()}),
        ("sizes of .* an integer of at least 1", {"sizes": (4, 0)}),
        ("first of sizes .* must be even", {"sizes": (5, 10), "groups": 5}),
        ("first of sizes .* at least 4", {"sizes": (2,), "endpoint": True}),
        ("groups 3 of .* must divide each of sizes, \\(4, 8\\)", {"groups": 3}),
        ("channels of .* an integer of at least 1", {"channels": True}),
        ("out_channels of .* got 0", {"out_channels": 0}),
        ("layers_per_block of .* the 2 of sizes, got 3", {"layers_per_block": [1] * 3}),
        ("layers_per_block of .* got '1'", {"layers_per_block": "1"}),
        ("attention of .* one of \\('self', 'cross', None\\)", {"attention": "both"}),
        ("mid of .* must be one of", {"mid": "selfish"}),
        ("mid of .* must be one of", {"mid": ["self"]}),
        ("'cross': give context_size", {"attention": "cross"}),
        ("num_heads \\(3, 3\\) of .* must divide sizes", {"num_heads": 3}),
        ("head_size 16 of .* must divide sizes", {"head_size": 16}),
        ("are both given: leave one out", {"head_size": 4, "num_heads": 4}),
        ("only_cross of .* True or False, got 1", {"only_cross": 1}),
        ("scale_shift of .* must be one of", {"scale_shift": None}),
        ("downsample_padding of .* must be one of", {"downsample_padding": 2}),
        ("activation of .* must be one of", {"activation": "swish"}),
        ("norm_eps of .* a number of at least 0", {"norm_eps": -1}),
        ("norm_eps of .* a number of at least 0", {"norm_eps": math.nan}),
        ("dropout of .* below 1, got 1", {"dropout": 1}),
    ],
)
def test_bad_configs_raise(message, options):
    with pytest.raises(ValueError, match=message):
        hk.nets.UNetConfig(**SMALL | options)


@pytest.mark.parametrize(
    ("message", "kind", "inputs"),
    [
        ("needs images of shape \\[B, H, W, 3\\]", "self", (IMAGES[0], TIMESTEPS)),
        ("got float32 of shape \\(3, 6, 4, 1\\)", "self", (IMAGES[..., :1], TIMESTEPS)),
        ("floats, got int32", "self", (IMAGES.astype(np.int32), TIMESTEPS)),
        ("timesteps of shape \\[B\\], .* 3 images, got \\(\\)", "self", (IMAGES, 7)),
        ("timesteps of shape .* got \\(2,\\)", "self", (IMAGES, TIMESTEPS[:2])),
        ("reads no context: leave it out", "self", (IMAGES, TIMESTEPS, CONTEXT)),
        ("context of shape \\[B, S, 6\\] .* None", "cross", (IMAGES, TIMESTEPS)),
        ("got \\(3, 5, 5\\)", "cross", (IMAGES, TIMESTEPS, CONTEXT[..., 1:])),
        ("got \\(2, 5, 6\\)", "cross", (IMAGES, TIMESTEPS, CONTEXT[1:])),
        ("at least 2 pixels on each side", "ddpm", (IMAGES[:, :1], TIMESTEPS)),
    ],
)
def test_bad_calls_raise(message, kind, inputs):
    with pytest.raises(ValueError, match=message):
        model_of(kind)(*inputs)
