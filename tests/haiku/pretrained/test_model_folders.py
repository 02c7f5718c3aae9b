"""Folders of every family give the numbers that transformers gives."""

import functools
import json
import pathlib
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import haiku as hk

FOLDER = pathlib.Path(__file__).parents[2] / "golden" / "nets"
INDEX = json.loads((FOLDER / "cases.json").read_text(encoding="utf-8"))
CASES = {row["name"]: row for row in INDEX["cases"]}
# Of each family one, and those with windows or other frequencies.
VARIED = ("plain", "window", "untied", "longrope", "layer_types", "linear")
CACHED = [
    name
    for name, row in CASES.items()
    if row["parts"] and name.partition("-")[2] in VARIED
]
LEARNED = [
    name
    for name, row in CASES.items()
    if name.partition("-")[2] in (*VARIED, "classes", "base", "wide", "small", "gates")
    or row["net"] in ("encoder", "clip")
]
FAMILIES = (
    *("gpt2", "llama", "mistral", "qwen2", "qwen3"),
    *("gemma", "gemma2", "gemma3_text", "phi3", "olmo2"),
    *("mixtral", "qwen3_moe", "gpt_oss", "bert", "roberta", "modernbert"),
    *("vit", "dinov2", "dinov2_with_registers"),
    *("clip_vision_model", "siglip_vision_model", "clip", "siglip"),
    *("t5", "whisper", "mamba", "mamba2"),
    *("convnext", "convnextv2"),
    *("DiTTransformer2DModel", "UNet2DModel", "UNet2DConditionModel"),
)
TOLERANCE = 1e-4  # relative to the largest value


@functools.cache
def load(name, dtype=jnp.float32):
    return hk.pretrained.load(FOLDER / name, dtype=dtype).model


def expected(name):
    return hk.pretrained.read(FOLDER / name / "expected.safetensors")


def assert_close(x, y, tolerance=TOLERANCE):
    np.testing.assert_allclose(x, y, rtol=0, atol=tolerance * np.max(np.abs(y)))


def kept(output, want):
    """The output, zero where there is padding."""
    _, mask = text_of(want)
    if mask is None or output.ndim < 3:
        return output
    return jnp.where(mask[..., None], output, 0)


def first_of(output):
    """The output, or a tuple's first: CLIP's logits."""
    return output[0] if isinstance(output, tuple) else output


def call(model, want, method="__call__", **options):
    firsts = (
        *("features", "images", "timesteps", "classes", "context"),
        *("tokens", "decoder_tokens"),
    )
    inputs = [want[name] for name in firsts if name in want]
    names = {"mask", "segments", "decoder_mask"} & {*want}
    options |= {name: want[name] for name in names}
    return getattr(model, method)(*inputs, **options)


def text_of(want):
    """The text whose next tokens the output predicts, and where there are tokens."""
    if "decoder_tokens" not in want:
        return want.get("tokens"), want.get("mask")
    tokens = want["decoder_tokens"]
    return tokens, want.get("decoder_mask", np.ones(tokens.shape, bool))


def loss_of(output, want):
    """The loss whose gradients are recorded; the folders' README says which."""

    def cross_entropy(logits, labels):
        of_labels = jnp.take_along_axis(
            jax.nn.log_softmax(logits), labels[..., None], -1
        )
        return -of_labels[..., 0]

    if "labels" in want:
        labels = want["labels"]
        losses = cross_entropy(output, jnp.maximum(labels, 0))
        return jnp.mean(losses, where=labels >= 0)
    if "weights" in want:
        number = len(output) if "images" in want else jnp.sum(text_of(want)[1])
        return jnp.sum(kept(output, want) * want["weights"]) / number
    tokens, mask = text_of(want)
    losses = cross_entropy(output[:, :-1], tokens[:, 1:])
    return jnp.mean(losses, where=mask[:, :-1] & mask[:, 1:])


def without_prefix(tensors):
    """Tensors by name; a base model's prefix may be in the names or not."""
    prefixes = re.compile(
        "^(model|transformer|bert|roberta|vit|dinov2|dinov2_with_registers|vision_model"
        "|backbone|convnext|convnextv2)[.]"
    )
    return {prefixes.sub("", name): x for name, x in tensors.items()}


# One of each kind of net: what the others differ in, `test_output` sees.
KINDS = ("llama", "gpt_oss", "bert", "vit", "t5", "mamba2", "convnext")


def rarely(names, families=FAMILIES):
    """Cases, of which all but the first of each of `families` run with the tables."""
    first = {name.partition("-")[0]: name for name in reversed([*names])}
    often = {first[family] for family in families if family in first}
    return [
        name if name in often else pytest.param(name, marks=pytest.mark.tables)
        for name in names
    ]


def test_every_family_has_four_cases():
    of_family = [name.split("-")[0] for name in CASES]
    assert {*of_family} == {*FAMILIES}
    assert all(of_family.count(family) >= 4 for family in FAMILIES)
    assert {path.parent.name for path in FOLDER.glob("*/config.json")} == {*CASES}


@pytest.mark.parametrize("name", rarely(CASES))
def test_output(name):
    want = expected(name)
    model = load(name)
    output = jax.jit(lambda m: call(m, want))(model)
    for field in getattr(output, "_fields", ())[1:]:
        assert_close(getattr(output, field), want[field])
    output = first_of(output)
    assert output.dtype == jnp.float32
    assert_close(kept(output, want), want["output"])
    if "pooled" in want:
        assert_close(call(model, want, "pooled"), want["pooled"])


@pytest.mark.parametrize("name", rarely(LEARNED, KINDS))
def test_gradients(name):
    model, want = load(name), expected(name)

    @jax.jit
    @jax.grad
    def gradients(params):
        bound = model.replace(params=params)
        output = call(bound, want)
        loss = loss_of(first_of(output), want)
        if isinstance(output, tuple):
            loss = loss + sum(jnp.sum(x) for x in output[1:])
        if "pooled" in want:
            loss = loss + jnp.sum(call(bound, want, "pooled"))
        return loss

    named = model.replace(params=gradients(model.params))
    ours = without_prefix(hk.pretrained.to_state_dict(named))
    theirs = {k[9:]: x for k, x in want.items() if k.startswith("gradient/")}
    assert len(theirs) >= 3
    for tensor, gradient in without_prefix(theirs).items():
        assert_close(ours[tensor], gradient)


@pytest.mark.parametrize("name", rarely(CACHED, KINDS))
def test_cache_in_parts(name):
    model, want = load(name), expected(name)
    tokens, mask = text_of(want)
    names = {"features", "tokens", "mask"} if "decoder_tokens" in want else set()
    fixed = {name: want[name] for name in names & {*want}}
    texts = ("decoder_tokens", "decoder_mask") if fixed else ("tokens", "mask")
    texts = [name for name in texts if name in want]

    @jax.jit
    def step(model, *parts):
        inputs = fixed | dict(zip(texts, parts))
        return call(model, inputs, "updating", cache_size=12)

    outputs, start = [], 0
    for size in CASES[name]["parts"]:
        part = np.s_[:, start : start + size]
        output, model = step(model, tokens[part], mask[part])
        outputs.append(output)
        start += size
    assert start == tokens.shape[1]
    output = kept(jnp.concatenate(outputs, axis=1), want)
    assert_close(output, want["output"], 2e-5)


@pytest.mark.parametrize("name", rarely(CASES))
def test_saved_folder_is_equal(name, tmp_path):
    model = load(name, dtype=None)
    hk.pretrained.save(tmp_path / "copy", model)
    copy = hk.pretrained.load(tmp_path / "copy").model
    assert copy.net == model.net
    jax.tree.map(np.testing.assert_array_equal, copy.params, model.params)
    dtypes = [[x.dtype for x in jax.tree.leaves(of)] for of in (copy, model)]
    assert dtypes[0] == dtypes[1]


@pytest.mark.parametrize(
    "name", [name for name, row in CASES.items() if row["dtype"] == "bfloat16"]
)
def test_bfloat16_stays(name):
    model, want = load(name, dtype=None), expected(name)
    assert {x.dtype for x in jax.tree.leaves(model)} == {jnp.dtype(jnp.bfloat16)}
    output = first_of(jax.jit(lambda m: call(m, want))(model))
    assert output.dtype == jnp.bfloat16
    assert_close(kept(output, want), want["output"], 0.1)
