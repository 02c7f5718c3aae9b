"""A trained model, as its package ships it, computes what transformers computes."""

import importlib.util
import pathlib
import sys

import jax.numpy as jnp
import numpy as np
import pytest

import haiku as hk

ROOT = pathlib.Path(__file__).parents[3]
VALUES = ROOT / "tests/haiku/oracle_values/sentences.safetensors"
TEXTS = [
    "The sea",
    "Haiku is a library of neural networks.",
    "How do I load a model from a Hugging Face folder?",
    "Rewards are discounted, and what follows a cut is bootstrapped; a termination "
    "ends the sum. Naïve readers – and 1,234 others – confuse the two!",
    "",
]


@pytest.fixture(scope="module")
def example():
    spec = importlib.util.spec_from_file_location(
        "sentence_search", ROOT / "examples/sentence_search.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def loaded(example):
    return hk.pretrained.load(example.model_folder())


@pytest.mark.parametrize("padding", ["left", "right"])
def test_numbers_are_those_of_transformers(loaded, padding):
    model, tokenizer = loaded
    values = hk.pretrained.read(VALUES)
    tokens, mask = tokenizer(TEXTS, padding)
    hidden = model(tokens, mask=mask)
    means = jnp.mean(hidden, axis=1, where=mask[:, :, None])
    pooled = model.pooled(tokens, mask=mask)
    for i in range(len(TEXTS)):
        np.testing.assert_array_equal(tokens[i][mask[i]], values[f"{i}/tokens"])
        for ours, name in ((means, "mean"), (pooled, "pooled")):
            want = values[f"{i}/{name}"]
            bound = 1e-5 * np.max(np.abs(want))
            np.testing.assert_allclose(ours[i], want, rtol=0, atol=bound)


def test_saved_folder_has_the_same_tensors(loaded, tmp_path, example):
    hk.pretrained.save(tmp_path / "copy", *loaded)
    ours = hk.pretrained.read(tmp_path / "copy" / "model.safetensors")
    theirs = dict(hk.pretrained.read(example.model_folder() / "model.safetensors"))
    theirs.pop("embeddings.position_ids", None)
    assert {*ours} == {*theirs}
    for name, x in theirs.items():
        np.testing.assert_array_equal(ours[name], x)


def test_example_finds_the_page(example, capsys, monkeypatch, tmp_path):
    pages = {
        "sea.md": "# The sea\n\nThe sea is deep, and its water is full of salt. " * 3,
        "cook.md": "# Cooking\n\nBoil an egg for six minutes in a pot of water. " * 3,
    }
    for name, text in pages.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    arguments = ["sentence_search.py", "How do I make breakfast?", "--docs"]
    monkeypatch.setattr(sys, "argv", [*arguments, str(tmp_path)])
    example.main()
    lines = capsys.readouterr().out.splitlines()
    found = [line.split()[1] for line in lines if line[:2] == "0."]
    assert found == ["cook", "sea"]
