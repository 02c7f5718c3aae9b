"""`hk.nets.CLIP`: embeddings, padding, end tokens and bad input.

Its numbers stand beside transformers' in `tests/haiku/pretrained`.
"""

import dataclasses
import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from drawn_models import drawn

import haiku as hk

KEY = jax.random.key(0, impl="unsafe_rbg")  # the fastest to compile
RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.standard_normal((2, 4, 6, 3)).astype(np.float32)
END = 9
TOKENS = RANDOM.integers(0, END, (3, 5))
MASK = np.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0], [0, 0, 1, 1, 1]], bool)
TOKENS[:, 4] = TOKENS[1, 2] = END
VISION = hk.nets.VisionTransformerConfig(
    *((4, 6), 2, 8, 2, 2),
    **{"hidden_size": 12, "patch_bias": False, "embedding_norm": True},
    **{"pooler": "first", "pooled_norm": True, "norm_eps": 1e-5},
)
TEXT = hk.nets.EncoderConfig(
    *(11, 6, 2, 3),
    **{"hidden_size": 12, "max_length": 5, "norm_position": "pre", "causal": True},
    **{"embedding_norm": False, "norm_eps": 1e-5},
)
CLIP = {"vision": VISION, "text": TEXT, "projection_size": 4, "end_token": END}
KINDS = {
    "clip": CLIP,
    "clip, largest": CLIP | {"end_token": None},
    "siglip": {
        "vision": hk.nets.VisionTransformerConfig(
            *((4, 6), 2, 8, 2, 2),
            **{"hidden_size": 12, "class_token": False, "pooler": "attention"},
        ),
        "text": dataclasses.replace(TEXT, causal=False),
        **{"projection_size": 8, "image_projection": False, "pooling": "last"},
        **{"projection_bias": True, "logit_bias": True},
    },
}


@functools.cache
def model_of(kind):
    net = hk.Blueprint(hk.nets.CLIP, hk.nets.CLIPConfig(**KINDS[kind]))
    init = hk.transform(lambda *x: net(*x)).init
    return hk.bind(net).to(drawn(jax.eval_shape(init, KEY, IMAGES, TOKENS)))


@pytest.mark.parametrize("kind", ["clip", "siglip"])
def test_logits_compare_embeddings_of_length_one(kind):
    model = model_of(kind)

    @jax.jit
    def run(images, tokens):
        alone = model.embed_images(images), model.embed_text(tokens)
        return model(images, tokens), alone

    (logits, image, text), alone = run(IMAGES, TOKENS)
    np.testing.assert_allclose(alone[0], image, rtol=0, atol=1e-6)
    np.testing.assert_allclose(alone[1], text, rtol=0, atol=1e-6)
    for x in image, text:
        np.testing.assert_allclose(np.linalg.norm(x, axis=1), 1, rtol=1e-5)
    scales = model.params["clip"]
    want = np.exp(scales["logit_scale"]) * np.asarray(image) @ np.asarray(text).T
    want = want + scales.get("logit_bias", 0)
    np.testing.assert_allclose(logits, want, rtol=0, atol=1e-5)
    assert logits.shape == (2, 3)


@pytest.mark.parametrize("kind", ["clip", "siglip"])
def test_vmap_and_gradients(kind):
    model = model_of(kind)

    def loss(params, images, tokens):
        bound = model.replace(params=params)
        logits = bound(images, tokens, mask=MASK).logits
        each = jax.vmap(lambda image: bound(image[None], tokens, mask=MASK).logits[0])
        return jnp.sum(jnp.sin(logits)), (logits, each(images))

    gradient = jax.jit(jax.grad(loss, has_aux=True))
    gradients, (logits, each) = gradient(model.params, IMAGES, TOKENS)
    np.testing.assert_allclose(each, logits, rtol=0, atol=1e-4)
    for path, named in gradients.items():
        for name, x in named.items():
            assert np.all(np.isfinite(x)), path
            assert "attention/key" in path or np.any(x), f"{path}/{name}"


@pytest.mark.parametrize("kind", ["clip", "clip, largest"])
def test_a_padded_text_is_as_if_alone(kind):
    model = model_of(kind)
    together = jax.jit(lambda tokens: model.embed_text(tokens, MASK))
    alone = jax.jit(model.embed_text)
    padded = np.where(MASK, TOKENS, END)  # padding is the end token, as in CLIP's texts
    for tokens in padded, np.where(MASK, TOKENS, 10):
        ours = together(tokens)
        for i in 1, 2:
            want = alone(TOKENS[i : i + 1][:, MASK[i]])[0]
            np.testing.assert_allclose(ours[i], want, rtol=0, atol=2e-5)


def test_the_first_end_token_counts():
    tokens = np.array([[1, END, 10, 3, END]])
    other = np.array([[1, END, 2, 2, 2]])
    first, largest = (
        jax.jit(model_of(kind).embed_text) for kind in ("clip", "clip, largest")
    )
    np.testing.assert_array_equal(first(tokens), first(other))
    assert np.any(largest(tokens) != largest(other))


def test_bfloat16():
    model = model_of("siglip")
    low = jax.tree.map(lambda x: x.astype(jnp.bfloat16), model)
    run = jax.jit(lambda model: model(IMAGES, TOKENS))
    for ours, whole in zip(run(low), run(model)):
        assert ours.dtype == jnp.bfloat16
        np.testing.assert_allclose(ours, whole, rtol=0, atol=0.1)


@pytest.mark.parametrize("kind", KINDS)
def test_a_config_made_by_hand_is_saved_in_the_simplest_family(kind, tmp_path):
    model = model_of(kind)
    hk.pretrained.save(tmp_path / "copy", model)
    config = json.loads((tmp_path / "copy/config.json").read_text())
    assert config["model_type"] == kind.partition(",")[0]
    copy = hk.pretrained.load(tmp_path / "copy").model
    assert copy.net == model.net
    jax.tree.map(np.testing.assert_array_equal, copy.params, model.params)


def test_a_classifier_is_the_tower_of_images(tmp_path):
    config = dataclasses.replace(
        VISION, head="classes", num_classes=4, pooling="mean", activation="quick_gelu"
    )
    net = hk.Blueprint(hk.nets.VisionTransformer, config)
    shapes = jax.eval_shape(hk.transform(lambda x: net(x)).init, KEY, IMAGES)
    hk.pretrained.save(tmp_path / "copy", hk.bind(net).to(drawn(shapes)))
    written = json.loads((tmp_path / "copy/config.json").read_text())
    assert written["architectures"] == ["CLIPForImageClassification"]
    assert written["vision_config"]["hidden_size"] == 8
    assert hk.pretrained.load(tmp_path / "copy").model.net == net
    path = tmp_path / "copy/config.json"
    path.write_text(json.dumps(written | {"architectures": ["CLIPTextModel"]}))
    with pytest.raises(ValueError, match="'CLIPForImageClassification', 'CLIPModel'"):
        hk.pretrained.load(tmp_path / "copy")


HEADLESS = dataclasses.replace(VISION, pooler=None, pooled_norm=False)
HEADED = dataclasses.replace(VISION, head="classes", num_classes=2)


@pytest.mark.parametrize(
    ("message", "options"),
    [
        ("vision of .* must be a hk.nets.VisionTransformerConfig", {"vision": TEXT}),
        ("vision of .* without a head", {"vision": HEADED}),
        ("text of .* must be a hk.nets.EncoderConfig", {"text": None}),
        ("vision of .* has no pooler", {"vision": HEADLESS}),
        ("projection_size of .* at least 1 .* got 0", {"projection_size": 0}),
        ("end_token of .* at least 0 .* got -1", {"end_token": -1}),
        ("pooling of .* must be one of", {"pooling": "first"}),
        ("projection_size 4 .* pooled image, 8", {"image_projection": False}),
    ],
)
def test_bad_configs_raise(message, options):
    with pytest.raises(ValueError, match=message):
        hk.nets.CLIPConfig(**CLIP | options)


@pytest.mark.parametrize(
    ("message", "images", "tokens", "mask"),
    [
        ("'clip/vision' needs images of shape", IMAGES[0], TOKENS, None),
        ("don't divide", IMAGES[:, :3], TOKENS, None),
        ("'clip/text' needs tokens of shape", IMAGES, TOKENS[0], None),
        ("mask of 'clip/text'", IMAGES, TOKENS, MASK[:, 1:]),
        ("got 10 tokens, but has 5", IMAGES, np.tile(TOKENS, 2), None),
    ],
)
def test_bad_calls_raise(message, images, tokens, mask):
    with pytest.raises(ValueError, match=message):
        model_of("clip")(images, tokens, mask=mask)
