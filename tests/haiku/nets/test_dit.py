"""`hk.nets.DiT`: beside a NumPy formula, its first values, its folders and bad input.

Its numbers stand beside diffusers' in `tests/haiku/pretrained`.
"""

import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from drawn_models import drawn

import haiku as hk

KEY = jax.random.key(0, impl="unsafe_rbg")  # the fastest to compile
B, D, NONE = 3, 8, 5  # the label that means none
IMAGES = np.random.default_rng(0).standard_normal((B, 4, 6, 2)).astype(np.float32)
TIMESTEPS = np.array([0, 1, 700], np.int32)
LABELS = np.array([0, NONE, 3], np.int32)
INPUTS = IMAGES, TIMESTEPS, LABELS
SMALL = {
    **{"image_size": 8, "patch_size": 2, "model_size": D, "num_layers": 2},
    **{"num_heads": 2, "num_classes": NONE, "channels": 2, "hidden_size": 12},
}
KINDS = {
    "shared": {"out_channels": 3},
    "each": {
        **{"shared_condition": False, "norm_affine": True, "norm_eps": 0.1},
        **{"gated": True, "activation": "silu"},
    },
}


def config_of(kind, **options):
    return hk.nets.DiTConfig(**SMALL | KINDS[kind] | options)


@functools.cache
def model_of(kind, **options):
    net = hk.Blueprint(hk.nets.DiT, config_of(kind, **options))
    shapes = jax.eval_shape(hk.transform(lambda *x: net(*x)).init, KEY, *INPUTS)
    return hk.bind(net).to(drawn(shapes))


# ---- The formula ---------------------------------------------------------------------


def normal(x, eps=1e-6):
    x = x - x.mean(-1, keepdims=True)
    return x / np.sqrt((x**2).mean(-1, keepdims=True) + eps)


def silu(x):
    return x / (1 + np.exp(-x))


def gelu_tanh(x):
    return x / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def positions(rows, columns, of_training):
    """Of each patch: sines, cosines of its column, then of its row."""
    table = np.zeros((rows * columns, D))
    for r in range(rows):
        for c in range(columns):
            column, row = c * of_training / columns, r * of_training / rows
            for i in range(D // 4):
                f = 10000.0 ** (-i / (D // 4))
                table[r * columns + c, i :: D // 4] = (
                    *(np.sin(column * f), np.cos(column * f)),
                    *(np.sin(row * f), np.cos(row * f)),
                )
    return table


class Formula:
    """One example through the net, in NumPy and double precision."""

    def __init__(self, model):
        self.config = model.net.arguments["config"]
        self.params = jax.tree.map(lambda x: np.asarray(x, np.float64), model.params)

    def map(self, path, x, layer=None):
        named = self.params[f"dit/{path}"]
        w, b = (named[k] if layer is None else named[k][layer] for k in "wb")
        return x @ w + b

    def condition(self, timestep, label, path, layer=None):
        waves = np.zeros(256)
        for i in range(128):
            angle = timestep * 10000.0 ** (-i / 127)
            waves[i], waves[128 + i] = np.cos(angle), np.sin(angle)
        hidden = silu(self.map(f"{path}/up", waves, layer))
        table = self.params[f"dit/{path}/labels"]["embeddings"]
        table = table if layer is None else table[layer]
        return silu(self.map(f"{path}/down", hidden, layer) + table[label])

    def modulated(self, x, condition, path, layer=None):
        scale = self.map(f"{path}/scale", condition, layer)
        return x * (1 + scale) + self.map(f"{path}/shift", condition, layer)

    def attention(self, x, layer):
        path, size = "blocks/attention", D // 2
        query, key, value = (
            self.map(f"{path}/{name}", x, layer) for name in ("query", "key", "value")
        )
        heads = []
        for h in range(2):
            of_head = np.s_[:, h * size : (h + 1) * size]
            logits = query[of_head] @ key[of_head].T / np.sqrt(size)
            weights = np.exp(logits)
            weights /= weights.sum(-1, keepdims=True)
            heads.append(weights @ value[of_head])
        return self.map(f"{path}/output", np.concatenate(heads, -1), layer)

    def mlp(self, x, layer):
        up = self.map("blocks/mlp/up", x, layer)
        if self.config.gated:
            hidden = up * silu(self.map("blocks/mlp/gate", x, layer))
        else:
            hidden = gelu_tanh(up)
        return self.map("blocks/mlp/down", hidden, layer)

    def block(self, h, c, layer):
        x = self.modulated(normal(h), c, "blocks/attention_norm", layer)
        gate = self.map("blocks/attention_gate", c, layer)
        h = h + gate * self.attention(x, layer)
        x = normal(h, self.config.norm_eps)
        if self.config.norm_affine:
            affine = self.params["dit/blocks/mlp_affine"]
            x = x * affine["scale"][layer] + affine["offset"][layer]
        x = self.modulated(x, c, "blocks/mlp_norm", layer)
        return h + self.map("blocks/mlp_gate", c, layer) * self.mlp(x, layer)

    def __call__(self, image, timestep, label):
        (height, width, _), p = image.shape, 2
        rows, columns = height // p, width // p
        conv = self.params["dit/patch_embed/conv"]
        h = np.zeros((rows * columns, D))
        for r in range(rows):
            for c in range(columns):
                patch = image[r * p : r * p + p, c * p : c * p + p]
                h[r * columns + c] = np.einsum("hwc,hwcd->d", patch, conv["w"])
        h = h + conv["b"] + positions(rows, columns, self.config.grid[0])
        shared = self.config.shared_condition
        conditions = [
            self.condition(timestep, label, "condition")
            if shared
            else self.condition(timestep, label, "blocks/condition", layer)
            for layer in range(2)
        ]
        for layer, c in enumerate(conditions):
            h = self.block(h, c, layer)
        y = self.map("head", self.modulated(normal(h), conditions[0], "norm"))
        out = np.zeros((height, width, self.config.out_channels))
        for n, pixels in enumerate(y):
            r, c = n // columns * p, n % columns * p
            out[r : r + p, c : c + p] = pixels.reshape(p, p, -1)
        return out


@pytest.mark.parametrize("kind", KINDS)
def test_beside_numpy(kind):
    model = model_of(kind)
    output = jax.jit(lambda m: m(*INPUTS))(model)
    want = np.stack([Formula(model)(*one) for one in zip(*INPUTS)])
    assert output.shape == (B, 4, 6, 3 if kind == "shared" else 2)
    np.testing.assert_allclose(output, want, rtol=0, atol=1e-4 * np.abs(want).max())


@pytest.mark.parametrize("kind", KINDS)
def test_vmap_and_gradients(kind):
    model = model_of(kind)

    @jax.jit
    @functools.partial(jax.grad, argnums=(0, 1), has_aux=True)
    def run(params, images):
        bound = model.replace(params=params)

        def one(*x):
            return bound(*(each[None] for each in x))[0]

        output = bound(images, *INPUTS[1:])
        mapped = jax.vmap(one)(images, *INPUTS[1:])
        return jnp.sum(jnp.sin(output)), (output, mapped)

    (gradients, of_images), (output, mapped) = run(model.params, IMAGES)
    np.testing.assert_allclose(mapped, output, rtol=0, atol=2e-5)
    assert np.all(np.any(of_images, axis=(1, 2, 3)))
    for path, named in gradients.items():
        for name, x in named.items():
            assert np.all(np.isfinite(x)), path
            assert np.any(x), f"{path}/{name}"


# ---- First values --------------------------------------------------------------------


def test_blocks_begin_as_the_identity():
    net = hk.bind(hk.nets.DiT, config_of("shared"))
    model = jax.jit(lambda: net.init(KEY, *INPUTS))()
    zeros = {
        path.removeprefix("dit/")
        for path, named in model.params.items()
        if "w" in named and not np.any(named["w"])
    }
    of_block = {
        f"blocks/{of}_{x}"
        for of in ("attention", "mlp")
        for x in ("gate", "norm/scale", "norm/shift")
    }
    assert zeros == of_block | {"norm/scale", "norm/shift", "head"}
    run = jax.jit(lambda m: (m(*INPUTS), m.hidden(*INPUTS)))
    output, hidden = run(model)
    assert not np.any(output)
    embedded = Formula(model)
    conv = embedded.params["dit/patch_embed/conv"]
    patches = IMAGES.reshape(B, 2, 2, 3, 2, 2).transpose(0, 1, 3, 2, 4, 5)
    h = patches.reshape(B, 6, -1) @ conv["w"].reshape(-1, D) + positions(2, 3, 4)
    np.testing.assert_allclose(hidden, normal(h), rtol=0, atol=1e-5)


def test_layers_are_stacked():
    shared, each = model_of("shared").params, model_of("each").params
    assert shared["dit/blocks/mlp/up"]["w"].shape == (2, D, 12)
    assert shared["dit/condition/labels"]["embeddings"].shape == (NONE + 1, D)
    labels = each["dit/blocks/condition/labels"]["embeddings"]
    assert labels.shape == (2, NONE + 1, D)


def test_a_deep_net_has_the_same_program():
    def equations(layers):
        model = model_of("each", num_layers=layers)
        return str(jax.make_jaxpr(lambda m: m(*INPUTS))(model)).count("\n")

    assert equations(9) == equations(2)


def test_bfloat16_and_float_timesteps():
    model = model_of("each")
    low = jax.tree.map(lambda x: x.astype(jnp.bfloat16), model)
    timesteps = TIMESTEPS.astype(np.float32)
    run = jax.jit(lambda m: m(IMAGES, timesteps, LABELS))
    output, want = run(low), run(model)
    assert output.dtype == jnp.bfloat16
    np.testing.assert_allclose(output, want, rtol=0, atol=0.05 * np.abs(want).max())


def test_dropout_draws_where_apply_gets_a_key():
    net = hk.Blueprint(hk.nets.DiT, config_of("shared", dropout=0.5))
    f = hk.transform(lambda: net(*INPUTS))
    params = model_of("shared").params
    plain, random = jax.jit(lambda p: (f.apply(p, None), f.apply(p, KEY)))(params)
    assert np.all(np.abs(random - plain).max((1, 2, 3)) > 0.01)


# ---- Folders -------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shard", [10**9, 4000])
def test_a_config_made_by_hand_is_saved(kind, shard, tmp_path):
    model = model_of(kind, hidden_size=32)
    hk.pretrained.save(tmp_path, model, max_shard_size=shard)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["_class_name"] == "DiTTransformer2DModel"
    assert not {"model_type", "architectures", "dtype"} & {*config}
    files = {path.name for path in tmp_path.iterdir()}
    whole = "diffusion_pytorch_model.safetensors"
    assert (f"{whole}.index.json" if shard < 10**9 else whole) in files
    copy = hk.pretrained.load(tmp_path).model
    assert copy.net == model.net
    jax.tree.map(np.testing.assert_array_equal, copy.params, model.params)
    arrays = hk.pretrained.to_state_dict(copy)
    name = "transformer_blocks.1.norm1.emb.timestep_embedder.linear_1.bias"
    assert np.any(arrays[name])
    arrays[name] = arrays[name] + 1
    other = hk.pretrained.from_state_dict(config, arrays).net.arguments["config"]
    assert not other.shared_condition


@pytest.mark.parametrize(
    "options",
    [{"patch_size": (2, 4)}, {"image_size": (8, 6)}, {"gated": True}, {}],
)
def test_a_config_of_no_family(options):
    net = hk.bind(hk.nets.DiT, config_of("shared", **options))
    model = net.to({"dit/head": {"w": np.ones([8, 12]), "b": np.ones(12)}})
    with pytest.raises(ValueError, match="No family has this config"):
        hk.pretrained.to_state_dict(model)


# ---- Bad input -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "options"),
    [
        ("image_size of .* one or two integers", {"image_size": (4, 4, 4)}),
        ("patch_size of .* one or two integers", {"patch_size": 0}),
        ("image_size \\(8, 8\\) .* is below patch_size \\(9, 9\\)", {"patch_size": 9}),
        ("channels of .* must be an integer", {"channels": 0}),
        ("out_channels of .* must be an integer", {"out_channels": 1.5}),
        ("num_classes of .* must be an integer", {"num_classes": 0}),
        ("activation of .* must be one of", {"activation": "tanh"}),
        ("multiple of 4, got 6: a quarter", {"model_size": 6}),
        ("num_heads 3: give head_size", {"num_heads": 3}),
        ("norm_eps of .* at least 0", {"norm_eps": -1}),
    ],
)
def test_bad_configs_raise(message, options):
    with pytest.raises(ValueError, match=message):
        hk.nets.DiTConfig(**SMALL | options)


@pytest.mark.parametrize(
    ("message", "number", "value"),
    [
        ("needs images of shape \\[B, H, W, 2\\]", 0, IMAGES[0]),
        ("floats, got float32 of shape \\(3, 4, 6, 1\\)", 0, IMAGES[..., :1]),
        ("floats, got int32", 0, IMAGES.astype(np.int32)),
        ("don't divide images of \\(3, 6\\): crop", 0, IMAGES[:, :3]),
        ("timesteps of shape \\[B\\], \\(3,\\), numbers, got", 1, TIMESTEPS[:2]),
        ("timesteps of shape .* got bool", 1, TIMESTEPS > 0),
        ("labels of shape \\[B\\], \\(3,\\), integers, got int32", 2, LABELS[0]),
        ("labels of shape .* got float32", 2, LABELS.astype(np.float32)),
    ],
)
def test_bad_calls_raise(message, number, value):
    inputs = [*INPUTS]
    inputs[number] = value
    with pytest.raises(ValueError, match=message):
        model_of("shared")(*inputs)
