"""Greedy and beam texts equal transformers', token for token."""

import functools
import json
import pathlib

import jax.numpy as jnp
import numpy as np
import pytest

import haiku as hk

FOLDER = pathlib.Path(__file__).parents[2] / "golden" / "nets"
VALUES = json.loads((FOLDER / "generation.json").read_text())


@functools.cache
def model_of(name):
    return hk.pretrained.load(FOLDER / name).model


def generated(name, **options):
    """Rows of new tokens, and all that `generate` returns."""
    case = VALUES[name]
    inputs = jnp.asarray(case.get("features", case.get("tokens")))
    if "mask" in case:
        options["mask"] = jnp.asarray(case["mask"], bool)
    out = hk.generation.generate(
        model_of(name), inputs, max_new_tokens=case["steps"], **options
    )
    return out.tokens, out


def assert_rows(tokens, rows):
    """Of texts that ended early transformers returns fewer columns."""
    rows = np.asarray(rows)
    np.testing.assert_array_equal(tokens[:, : rows.shape[1]], rows)
    assert not np.any(tokens[:, rows.shape[1] :])


@pytest.mark.parametrize("name", VALUES)
def test_greedy(name):
    assert_rows(generated(name)[0], VALUES[name]["greedy"])


@pytest.mark.tables
@pytest.mark.parametrize("name", VALUES)
def test_the_end(name):
    tokens, out = generated(name, eos=VALUES[name]["eos"])
    assert_rows(tokens, VALUES[name]["ended"])
    ends = np.asarray(tokens) == VALUES[name]["eos"]
    lengths = np.where(ends.any(1), ends.argmax(1) + 1, tokens.shape[1])
    np.testing.assert_array_equal(out.lengths, lengths)


@pytest.mark.parametrize("name", VALUES)
def test_beams(name):
    options = {"eos": VALUES[name]["eos"], "num_beams": 3, "length_penalty": 0.8}
    tokens, out = generated(name, **options)
    theirs = np.asarray(VALUES[name]["beams"])  # after the end they have no pad
    steps = np.arange(theirs.shape[1]) < np.asarray(out.lengths)[:, None]
    assert_rows(tokens, np.where(steps, theirs, 0))
    np.testing.assert_allclose(out.scores, VALUES[name]["scores"], rtol=1e-4, atol=1e-4)


@pytest.mark.tables
@pytest.mark.parametrize("name", VALUES)
def test_penalty(name):
    tokens, _ = generated(name, repetition_penalty=1.3)
    # In rows with padding transformers takes that for tokens of the text.
    assert_rows(tokens[:1], VALUES[name]["penalised"][:1])
