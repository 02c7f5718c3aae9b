"""`hk.nets.ConvNeXt`: beside loops, with dropped blocks, and bad input.

Its numbers stand beside transformers' in `tests/haiku/pretrained`.
"""

import dataclasses
import functools
import json
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from drawn_models import drawn

import haiku as hk
from haiku._layers.response_norm import ResponseNorm

KEY = jax.random.key(0, impl="unsafe_rbg")  # the fastest to compile
B = 3
IMAGES = np.random.default_rng(0).standard_normal((B, 13, 20, 3)).astype(np.float32)
SMALL = {"model_sizes": (4, 6), "num_layers": (1, 2), "patch_size": (2, 3)}
TWO = {"layer_scale": None, "response_norm": True}
KINDS = {
    "1": {},
    "1, no scale": {"layer_scale": None, "activation": "relu"},
    "2": TWO,
    "2, classes": TWO | {"head": "classes", "num_classes": 5},
}
SAVED_AS = {"1": "convnext", "1, no scale": "convnext"}


def config_of(kind, **options):
    return hk.nets.ConvNeXtConfig(**SMALL | KINDS[kind] | options)


@functools.cache
def model_of(kind):
    net = hk.Blueprint(hk.nets.ConvNeXt, config_of(kind))
    shapes = jax.eval_shape(hk.transform(lambda x: net(x)).init, KEY, IMAGES)
    return hk.bind(net).to(drawn(shapes))


# ---- Beside loops --------------------------------------------------------------------


def place_by_place(x, w, b, stride, padding=(0, 0)):
    """A convolution; the kernel's last axis but one has all inputs, or one."""
    height, width = w.shape[:2]
    x = np.pad(x, [(n, n) for n in padding] + [(0, 0)])
    rows = (x.shape[0] - height) // stride[0] + 1
    columns = (x.shape[1] - width) // stride[1] + 1
    y = np.zeros((rows, columns, w.shape[-1]))
    for i in range(rows):
        for j in range(columns):
            top, left = i * stride[0], j * stride[1]
            seen = x[top : top + height, left : left + width]
            y[i, j] = b
            if w.shape[2] == x.shape[2]:
                y[i, j] += np.einsum("hwc,hwcd->d", seen, w)
            else:  # each feature by itself
                y[i, j] += np.sum(seen * w[:, :, 0], axis=(0, 1))
    return y


def layer_norm(x, p, eps):
    out = np.zeros_like(x)
    for place in np.ndindex(x.shape[:-1]):
        deviation = x[place] - x[place].mean()
        out[place] = deviation / math.sqrt(np.mean(deviation**2) + eps)
    return out * p["scale"] + p["offset"]


def response_norm(x, p):
    response = np.zeros(x.shape[-1])
    for d in range(x.shape[-1]):
        response[d] = math.sqrt(sum(float(v) ** 2 for v in x[..., d].ravel()))
    share = response / (response.mean() + 1e-6)
    return p["scale"] * (x * share) + p["offset"] + x


def by_loops(params, config, image):
    """The last map and the pooled features of one image."""
    p = jax.tree.map(np.float64, params)
    erf = np.vectorize(math.erf)

    def part(path):
        return p[f"convnext/{path}"]

    def of_layer(stage, i, path):
        named = part(f"stage_{stage}/blocks/{path}")
        return {name: x[i] for name, x in named.items()}

    h = place_by_place(image, **part("patch_embed"), stride=config.patch_size)
    h = layer_norm(h, part("embed_norm"), 1e-6)
    for stage, layers in enumerate(config.num_layers):
        if stage:
            h = layer_norm(h, part(f"stage_{stage}/downsample_norm"), 1e-6)
            h = place_by_place(h, **part(f"stage_{stage}/downsample"), stride=(2, 2))
        for i in range(layers):
            of = functools.partial(of_layer, stage, i)
            y = place_by_place(h, **of("conv"), stride=(1, 1), padding=(3, 3))
            y = layer_norm(y, of("norm"), 1e-6) @ of("mlp/up")["w"] + of("mlp/up")["b"]
            y = y * 0.5 * (1 + erf(y / math.sqrt(2)))
            if config.response_norm:
                y = response_norm(y, of("mlp/norm"))
            y = y @ of("mlp/down")["w"] + of("mlp/down")["b"]
            if config.layer_scale is not None:
                y = y * of("scale")["scale"]
            h = h + y
    return h, layer_norm(h.mean((0, 1)), part("norm"), 1e-12)


@pytest.mark.parametrize("kind", ["1", "2"])
def test_beside_loops(kind):
    model, config = model_of(kind), config_of(kind)
    run = jax.jit(lambda m, images: (m(images), m.pooled(images)))
    maps, pooled = run(model, IMAGES)
    assert maps.shape == (B, 3, 3, 6) and pooled.shape == (B, 6)
    want, of_pooled = by_loops(model.params, config, IMAGES[1].astype(np.float64))
    np.testing.assert_allclose(maps[1], want, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(pooled[1], of_pooled, rtol=1e-4, atol=1e-4)


def test_response_norm_of_features_that_do_not_respond():
    x = jnp.stack([jnp.zeros([2, 3]), jnp.ones([2, 3])], axis=-1)
    params = {"response_norm": {"scale": jnp.ones(2), "offset": jnp.zeros(2)}}
    f = hk.transform(lambda x: ResponseNorm()(x))
    y = f.apply(params, None, x)
    np.testing.assert_allclose(y[..., 0], 0)
    np.testing.assert_allclose(y[..., 1], 3, rtol=1e-5)  # its share is 2
    of_x = jax.grad(lambda x: jnp.sum(f.apply(params, None, x)))(x)
    np.testing.assert_allclose(of_x[..., 0], 1, rtol=1e-5)
    assert np.all(np.isfinite(of_x))
    params = f.init(KEY, x)
    np.testing.assert_array_equal(f.apply(params, None, x), x)  # begins as x


# ---- Every kind ----------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_shapes(kind):
    config, model = config_of(kind), model_of(kind)

    def run(images):
        return model.hidden(images), model(images), model.pooled(images)

    images = jax.ShapeDtypeStruct((B, 24, 12, 3), jnp.float32)
    hidden, output, pooled = jax.eval_shape(run, images)
    assert hidden.shape == (B, 6, 2, 6) and pooled.shape == (B, 6)
    assert output.shape == ((B, 5) if config.head else hidden.shape)


@pytest.mark.parametrize("kind", ["1", "1, no scale", "2, classes"])
def test_vmap_and_gradients(kind):
    model = model_of(kind)

    @jax.jit
    def run(params, images):
        bound = model.replace(params=params)
        mapped = jax.vmap(lambda image: bound(image[None])[0])(images)
        return bound(images), mapped, bound.pooled(images)

    output, mapped, _ = run(model.params, IMAGES)
    np.testing.assert_allclose(mapped, output, rtol=0, atol=2e-5)

    def loss(params, images):
        output, _, pooled = run(params, images)
        return jnp.sum(jnp.sin(output)) + jnp.sum(jnp.sin(pooled))

    gradients, of_images = jax.jit(jax.grad(loss, (0, 1)))(model.params, IMAGES)
    assert np.all(np.any(of_images, axis=(1, 2, 3)))
    assert not np.any(of_images[:, 12]) and not np.any(of_images[:, :, 18:])
    for path, named in gradients.items():
        for name, x in named.items():
            assert np.all(np.isfinite(x)) and np.any(x), f"{path}/{name}"


def test_bfloat16():
    model = model_of("2")
    low = jax.tree.map(lambda x: x.astype(jnp.bfloat16), model)
    output = low(IMAGES)  # in single precision
    assert output.dtype == jnp.bfloat16
    np.testing.assert_allclose(output, model(IMAGES), rtol=0, atol=0.2)


def test_the_last_block_is_dropped_most():
    net = hk.Blueprint(hk.nets.ConvNeXt, config_of("1", stochastic_depth=0.5))
    f = hk.transform(lambda x: net(x))
    params = model_of("1").params  # of 3 blocks, with rates 0, 1/4 and 1/2
    images = np.repeat(IMAGES[:1], 64, axis=0)
    run = jax.jit(lambda p, x: (f.apply(p, None, x[:1]), f.apply(p, KEY, x)))
    plain, random = run(params, images)
    np.testing.assert_allclose(plain, model_of("1")(IMAGES[:1]), rtol=0, atol=1e-5)

    # The factors of the second stage's blocks are all that differs.
    scales = params["convnext/stage_1/blocks/scale"]["scale"]
    kept = {}
    for factors in np.ndindex(2, 2):
        scaled = scales * (np.array(factors) * [4 / 3, 2])[:, None]
        others = params | {"convnext/stage_1/blocks/scale": {"scale": scaled}}
        (want,) = run(others, images)[0]
        near = np.abs(random - want).max((1, 2, 3)) < 1e-4
        kept[factors] = int(np.sum(near))
    assert sum(kept.values()) == 64 and all(kept.values())
    assert 40 <= kept[1, 0] + kept[1, 1] <= 56  # of the middle block: 48
    assert 22 <= kept[0, 1] + kept[1, 1] <= 42  # of the last one: 32


def test_layers_are_stacked():
    params = model_of("2").params
    assert params["convnext/stage_1/blocks/mlp/up"]["w"].shape == (2, 6, 24)
    assert params["convnext/stage_1/blocks/conv"]["w"].shape == (2, 7, 7, 1, 6)
    assert params["convnext/stage_0/blocks/mlp/norm"]["scale"].shape == (1, 16)
    assert params["convnext/stage_1/downsample"]["w"].shape == (2, 2, 4, 6)
    assert "convnext/stage_0/downsample" not in params


@pytest.mark.parametrize("kind", KINDS)
def test_a_config_made_by_hand_is_saved_in_its_version(kind, tmp_path):
    model = model_of(kind)
    config = dataclasses.replace(config_of(kind), stochastic_depth=0.25)
    model = hk.bind(hk.nets.ConvNeXt, config).to(model.params)
    hk.pretrained.save(tmp_path / "copy", model)
    written = json.loads((tmp_path / "copy/config.json").read_text())
    assert written["model_type"] == SAVED_AS.get(kind, "convnextv2")
    assert written["drop_path_rate"] == 0.25
    copy = hk.pretrained.load(tmp_path / "copy").model
    assert copy.net == model.net
    jax.tree.map(np.testing.assert_array_equal, copy.params, model.params)


@pytest.mark.parametrize("options", [{"response_norm": True}, {"norm_eps": 0.1}])
def test_a_config_of_no_family(options):
    net = hk.bind(hk.nets.ConvNeXt, config_of("1", **options))
    model = net.to({"convnext/norm": {"scale": np.ones(6)}})
    with pytest.raises(ValueError, match="No family has this config"):
        hk.pretrained.to_state_dict(model)


# ---- Bad input -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "options"),
    [
        ("model_sizes of .* got 4", {"model_sizes": 4}),
        ("model_sizes of .* got \\(4, 0\\)", {"model_sizes": (4, 0)}),
        ("num_layers of .* got \\(\\)", {"num_layers": ()}),
        ("num_layers of .* got \\(1, True\\)", {"num_layers": (1, True)}),
        ("num_layers of .* got \\(1, 2.0\\)", {"num_layers": (1, 2.0)}),
        ("one entry for each stage, got 2 and 1", {"num_layers": (1,)}),
        ("patch_size of .* one or two integers", {"patch_size": (2, 2, 2)}),
        ("patch_size of .* one or two integers", {"patch_size": 0}),
        (
            "patches of \\(2, 3\\) and 40 stages of .* are too much",
            {"model_sizes": (1,) * 40, "num_layers": (1,) * 40},
        ),
        ("channels of .* must be an integer", {"channels": 0}),
        ("num_classes of .* must be an integer", {"num_classes": 0}),
        ("activation of .* must be one of", {"activation": "sinh"}),
        ("response_norm of .* must be one of", {"response_norm": None}),
        ("head of .* must be one of", {"head": "tokens"}),
        ("head='classes' of .* needs num_classes", {"head": "classes"}),
        ("layer_scale of .* must be a number of at least 0", {"layer_scale": -1.0}),
        ("norm_eps of .* must be a number of at least 0", {"norm_eps": "small"}),
        ("stochastic_depth of .* in \\[0, 1\\)", {"stochastic_depth": 1.0}),
    ],
)
def test_bad_configs_raise(message, options):
    with pytest.raises(ValueError, match=message):
        hk.nets.ConvNeXtConfig(**SMALL | options)


@pytest.mark.parametrize(
    ("message", "images"),
    [
        ("needs images of shape \\[B, H, W, 3\\]", IMAGES[0]),
        ("floats, got float32 of shape \\(3, 13, 20, 1\\)", IMAGES[..., :1]),
        ("floats, got int32", IMAGES.astype(np.int32)),
        ("2 stages need at least \\(4, 6\\): resize or", IMAGES[:, :3]),
    ],
)
def test_bad_calls_raise(message, images):
    with pytest.raises(ValueError, match=message):
        model_of("1")(jnp.asarray(images))
