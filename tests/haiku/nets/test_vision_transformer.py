"""`hk.nets.VisionTransformer`: sizes of images, masked patches, poolers and bad input.

Its numbers stand beside transformers' in `tests/haiku/pretrained`.
"""

import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from drawn_models import drawn

import haiku as hk
from haiku._layers.resize import resized

KEY = jax.random.key(0, impl="unsafe_rbg")  # the fastest to compile
B, N = 3, 6
IMAGES = np.random.default_rng(0).standard_normal((B, 4, 6, 3)).astype(np.float32)
SMALL = {
    **{"image_size": (4, 6), "patch_size": 2, "model_size": 8, "num_layers": 2},
    **{"num_heads": 2, "hidden_size": 12},
}
DINO = {"layer_scale": 1.0, "mask_token": True, "pooler": "first", "norm_eps": 1e-6}
KINDS = {
    "vit": {"pooler": "tanh", "pooler_size": 5},
    "vit, classes": {"head": "classes", "num_classes": 4},
    "dinov2": DINO | {"gated": True, "activation": "silu", "hidden_size": 16},
    "registers": DINO
    | {"registers": 2, "antialias": True, "hidden_size": 16}
    | {"head": "classes", "num_classes": 4, "pooling": "both"},
    "clip": {
        **{"patch_bias": False, "embedding_norm": True, "activation": "quick_gelu"},
        **{"pooler": "first", "pooled_norm": True, "norm_eps": 1e-5},
    },
    "siglip": {"class_token": False, "pooler": "attention"},
}
SAVED_AS = {
    **{"vit": "vit", "vit, classes": "vit", "dinov2": "dinov2"},
    **{"registers": "dinov2_with_registers", "clip": "clip_vision_model"},
    **{"siglip": "siglip_vision_model"},
}


def config_of(kind, **options):
    return hk.nets.VisionTransformerConfig(**SMALL | KINDS[kind] | options)


@functools.cache
def model_of(kind):
    net = hk.Blueprint(hk.nets.VisionTransformer, config_of(kind))
    shapes = jax.eval_shape(hk.transform(lambda x: net(x)).init, KEY, IMAGES)
    return hk.bind(net).to(drawn(shapes))


@pytest.mark.parametrize("kind", KINDS)
def test_shapes(kind):
    config, model = config_of(kind), model_of(kind)

    def run(images):
        pooled = config.pooler and model.pooled(images)
        return model.hidden(images), model(images), pooled

    images = jax.ShapeDtypeStruct((B, 2, 10, 3), jnp.float32)
    hidden, output, pooled = jax.eval_shape(run, images)
    assert hidden.shape == (B, 5 + config.class_token + config.registers, 8)
    assert output.shape == ((B, 4) if config.head else hidden.shape)
    if config.pooler is not None:
        assert pooled.shape == (B, config.pooler_size or 8)


@pytest.mark.parametrize(
    "kind",
    [
        "vit",
        *(pytest.param(x, marks=pytest.mark.tables) for x in ("registers", "siglip")),
    ],
)
def test_vmap_and_gradients(kind):
    model = model_of(kind)

    @jax.jit
    def run(params, images):
        bound = model.replace(params=params)
        output = bound(images)
        mapped = jax.vmap(lambda image: bound(image[None])[0])(images)
        pooled = config_of(kind).pooler and bound.pooled(images)
        return output, mapped, pooled

    output, mapped, pooled = run(model.params, IMAGES)
    np.testing.assert_allclose(mapped, output, rtol=0, atol=2e-5)

    def loss(params, images):
        output, _, pooled = run(params, images)
        loss = jnp.sum(jnp.sin(output))
        return loss if pooled is None else loss + jnp.sum(jnp.sin(pooled))

    gradients, of_images = jax.jit(jax.grad(loss, (0, 1)))(model.params, IMAGES)
    assert np.all(np.any(of_images, axis=(1, 2, 3)))
    for path, named in gradients.items():
        for name, x in named.items():
            assert np.all(np.isfinite(x)), path
            unused = name == "mask_token" or "attention/key" in path
            assert unused or np.any(x), f"{path}/{name}"


@pytest.mark.parametrize("method", ["linear", "cubic"])
@pytest.mark.parametrize("new", [2, 3, 5, 11])
def test_antialiased_sizes(method, new):
    """Beside Pillow's loop: neighbours under the kernel, weights that sum to one."""
    x = np.random.default_rng(1).standard_normal((1, 5, 2))
    step = 5 / new
    wide = max(step, 1)
    want = np.zeros((1, new, 2))
    for i in range(new):
        weights = []
        for j in range(5):
            d = abs(j + 0.5 - (i + 0.5) * step) / wide
            if method == "linear":
                weight = max(1 - d, 0)
            elif d < 1:
                weight = 1.5 * d**3 - 2.5 * d**2 + 1
            else:
                weight = -0.5 * d**3 + 2.5 * d**2 - 4 * d + 2 if d < 2 else 0
            weights.append(weight)
        for j in range(5):
            want[0, i] += weights[j] / sum(weights) * x[0, j]
    ours = resized(jnp.asarray(x, jnp.float32), (new,), method, antialias=True)
    np.testing.assert_allclose(ours, want, rtol=0, atol=1e-6)


def test_a_masked_patch_is_the_mask_token():
    model = model_of("registers")
    masked = np.zeros((B, N), bool)
    masked[:, 1] = True
    other = IMAGES.copy()
    other[:, :2, 2:4] += 1  # the second patch
    run = jax.jit(lambda images, masked: model(images, masked=masked))
    np.testing.assert_array_equal(run(IMAGES, masked), run(other, masked))
    nowhere = np.zeros((B, N), bool)
    assert np.all(np.any(run(IMAGES, nowhere) != run(other, nowhere), axis=1))
    np.testing.assert_allclose(run(IMAGES, nowhere), model(IMAGES), rtol=0, atol=2e-5)


def test_bfloat16():
    model = model_of("registers")
    low = jax.tree.map(lambda x: x.astype(jnp.bfloat16), model)
    output = low(IMAGES)  # in single precision
    assert output.dtype == jnp.bfloat16
    np.testing.assert_allclose(output, model(IMAGES), rtol=0, atol=0.2)


def test_dropout_draws_where_apply_gets_a_key():
    net = hk.Blueprint(hk.nets.VisionTransformer, config_of("vit", dropout=0.5))
    f = hk.transform(lambda: net(IMAGES))
    params = model_of("vit").params
    plain, random = jax.jit(lambda p: (f.apply(p, None), f.apply(p, KEY)))(params)
    assert np.all(np.abs(random - plain).max((1, 2)) > 0.01)


def test_the_last_block_is_left_out_most():
    rates = {"stochastic_depth": 0.5, "num_layers": 3, "layer_scale": 1.0}
    net = hk.Blueprint(hk.nets.VisionTransformer, config_of("vit", **rates))
    images = np.repeat(IMAGES[:1], 256, axis=0)
    shapes = jax.eval_shape(hk.transform(lambda x: net(x)).init, KEY, IMAGES)
    params = drawn(shapes)
    f = hk.transform(lambda x: net(x))
    run = jax.jit(lambda p, x: (f.apply(p, None, x[:1]), f.apply(p, KEY, x)))
    random = run(params, images)[1]

    # The factors of the second and third block's branches are all that differs.
    branches = [f"vision_transformer/blocks/{n}_scale" for n in ("attention", "mlp")]
    kept = {}
    for factors in np.ndindex(2, 2, 2, 2):
        by_block = np.reshape(factors, (2, 2)) * [[4 / 3], [2]]
        others = {
            branch: {"scale": params[branch]["scale"] * np.r_[1, column][:, None]}
            for branch, column in zip(branches, by_block.T)
        }
        (want,) = run(params | others, images)[0]
        kept[factors] = int(np.sum(np.abs(random - want).max((1, 2)) < 1e-4))
    assert sum(kept.values()) == 256
    shares = [sum(n for key, n in kept.items() if key[i]) / 256 for i in range(4)]
    np.testing.assert_allclose(shares, [0.75, 0.75, 0.5, 0.5], atol=0.1)


def test_stochastic_depth_is_saved_where_the_family_has_it(tmp_path):
    for kind, saved in ("dinov2", 0.25), ("vit", None):
        config = config_of(kind, stochastic_depth=0.25)
        net = hk.bind(hk.nets.VisionTransformer, config).to(model_of(kind).params)
        hk.pretrained.save(tmp_path / kind, net)
        written = json.loads((tmp_path / kind / "config.json").read_text())
        assert written.get("drop_path_rate") == saved
        copy = hk.pretrained.load(tmp_path / kind).model.net
        assert copy.arguments["config"].stochastic_depth == (saved or 0)


def test_layers_are_stacked():
    params = model_of("dinov2").params
    stack = "vision_transformer/blocks"
    assert params[f"{stack}/mlp/gate"]["w"].shape == (2, 8, 16)
    assert params[f"{stack}/attention_scale"]["scale"].shape == (2, 8)
    assert params["vision_transformer"]["mask_token"].shape == (8,)


@pytest.mark.parametrize("kind", KINDS)
def test_a_config_made_by_hand_is_saved_in_the_simplest_family(kind, tmp_path):
    model = model_of(kind)
    hk.pretrained.save(tmp_path / "copy", model)
    config = json.loads((tmp_path / "copy/config.json").read_text())
    assert config["model_type"] == SAVED_AS[kind]
    copy = hk.pretrained.load(tmp_path / "copy").model
    assert copy.net == model.net
    jax.tree.map(np.testing.assert_array_equal, copy.params, model.params)


@pytest.mark.parametrize(
    "options",
    [{"layer_scale": 1.0}, {"registers": 2}, {"pooler": "first"}, {"gated": True}],
)
def test_a_config_of_no_family(options):
    net = hk.bind(hk.nets.VisionTransformer, config_of("vit", **options))
    model = net.to({"vision_transformer/norm": {"scale": np.ones(8)}})
    with pytest.raises(ValueError, match="No family has this config"):
        hk.pretrained.to_state_dict(model)


@pytest.mark.parametrize(
    ("message", "options"),
    [
        ("head of .* must be one of", {"head": "tokens"}),
        ("pooler of .* must be one of", {"pooler": "last"}),
        ("pooling of .* must be one of", {"pooling": "last"}),
        ("head='classes' of .* needs num_classes", {"head": "classes"}),
        ("image_size of .* one or two integers", {"image_size": (4, 4, 4)}),
        ("patch_size of .* one or two integers", {"patch_size": 0}),
        ("image_size \\(4, 6\\) .* is below patch_size \\(5, 5\\)", {"patch_size": 5}),
        ("registers of .* at least 0, got -1", {"registers": -1}),
        ("channels of .* must be an integer", {"channels": 0}),
        ("layer_scale of .* must be a number", {"layer_scale": "small"}),
        ("stochastic_depth of .* in \\[0, 1\\), got 1", {"stochastic_depth": 1}),
        ("stochastic_depth of .* in \\[0, 1\\), got None", {"stochastic_depth": None}),
        ("pooler='tanh' .* class_token=True", {"pooler": "tanh", "class_token": False}),
        ("pooled_norm=True .* needs pooler='first'", {"pooled_norm": True}),
        (
            "pooling='first' .* write pooling='mean'",
            {"class_token": False, "head": "classes", "num_classes": 2},
        ),
        ("num_heads .*: give head_size", {"num_heads": 3}),
    ],
)
def test_bad_configs_raise(message, options):
    with pytest.raises(ValueError, match=message):
        hk.nets.VisionTransformerConfig(**SMALL | options)


@pytest.mark.parametrize(
    ("message", "kind", "images", "options"),
    [
        ("needs images of shape \\[B, H, W, 3\\]", "vit", IMAGES[0], {}),
        ("floats, got float32 of shape \\(3, 4, 6, 1\\)", "vit", IMAGES[..., :1], {}),
        ("floats, got int32", "vit", IMAGES.astype(np.int32), {}),
        ("don't divide images of \\(3, 6\\): crop", "vit", IMAGES[:, :3], {}),
        ("no mask token: build it", "vit", IMAGES, {"masked": np.ones((B, N))}),
        ("\\(3, 6\\), got \\(3, 5\\)", "dinov2", IMAGES, {"masked": np.ones((B, 5))}),
    ],
)
def test_bad_calls_raise(message, kind, images, options):
    with pytest.raises(ValueError, match=message):
        model_of(kind)(jnp.asarray(images), **options)


def test_pooled_without_a_pooler_raises():
    with pytest.raises(ValueError, match="has no pooler: build it with pooler='first'"):
        model_of("vit, classes").pooled(IMAGES)
