"""Rotary embeddings: frequencies beside transformers', and turns as complex numbers."""

import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import haiku as hk

VALUES = json.loads(
    (pathlib.Path(__file__).parent / "oracle_values/rotary.json").read_text()
)["cases"]
SCALINGS = {
    "none": None,
    "Linear": hk.rotary.Linear(4.0),
    "Dynamic": hk.rotary.Dynamic(2.0, original_length=4),
    "YaRN": hk.rotary.YaRN(4.0, original_length=4),
    "Llama3": hk.rotary.Llama3(8.0, original_length=4),
    "LongRoPE": hk.rotary.LongRoPE((1.0, 1.5), (2.0, 4.0), 4, 16),
}
RANDOM = np.random.default_rng(0)


def made(case):
    scaling, arguments = getattr(hk.rotary, case["scaling"]), case["arguments"]
    return scaling(**arguments) if isinstance(arguments, dict) else scaling(*arguments)


@pytest.mark.parametrize("case", VALUES, ids=lambda x: x["scaling"])
def test_frequencies_are_those_of_transformers(case):
    rotary = hk.Rotary(scaling=made(case))
    frequencies, factor = rotary.frequencies(16, case["length"])
    np.testing.assert_allclose(frequencies, case["frequencies"], rtol=2e-6)
    np.testing.assert_allclose(factor, case["attention_factor"], rtol=1e-6)


@pytest.mark.parametrize("interleaved", [False, True])
@pytest.mark.parametrize("scaling", SCALINGS)
def test_pairs_turn_as_complex_numbers(scaling, interleaved):
    rotary = hk.Rotary(
        100.0, fraction=0.5, scaling=SCALINGS[scaling], interleaved=interleaved
    )
    x = RANDOM.standard_normal((2, 7, 3, 8)).astype(np.float32)
    positions = np.array([[0, 1, 2, 3, 4, 5, 6], [3, 1, 0, 0, 9, 2, 2]])
    frequencies, factor = rotary.frequencies(8, length=10)
    turned = x[..., :4]
    if interleaved:
        one, other = turned[..., ::2], turned[..., 1::2]
    else:
        one, other = turned[..., :2], turned[..., 2:]
    angles = positions[..., None, None] * np.asarray(frequencies, float)
    z = (one + 1j * other) * np.exp(1j * angles) * factor
    pair = np.stack([z.real, z.imag], -1 if interleaved else -2)
    want = np.concatenate([pair.reshape(turned.shape), x[..., 4:]], -1)
    have = jax.jit(rotary)(jnp.asarray(x), positions)
    np.testing.assert_allclose(have, want, rtol=1e-5, atol=1e-5)


@settings(max_examples=20, deadline=None, derandomize=True)
@given(st.integers(0, 1000), st.integers(0, 50), st.sampled_from(sorted(SCALINGS)))
def test_products_depend_on_the_distance_alone(start, distance, scaling):
    if scaling in ("Dynamic", "LongRoPE"):  # the frequencies change with the length
        return
    rotary = hk.Rotary(scaling=SCALINGS[scaling])
    query, key = jnp.asarray(RANDOM.standard_normal((2, 1, 1, 4)), jnp.float32)

    def product(at):
        turned = rotary(query, jnp.array([at + distance])), rotary(key, jnp.array([at]))
        return jnp.sum(turned[0] * turned[1])

    np.testing.assert_allclose(product(start), product(0), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("scaling", SCALINGS)
def test_transforms_and_dtypes(scaling):
    rotary = hk.Rotary(scaling=SCALINGS[scaling])
    assert hash(rotary) == hash(hk.Rotary(scaling=SCALINGS[scaling]))  # jit's static
    x = jnp.asarray(RANDOM.standard_normal((3, 5, 2, 4)), jnp.bfloat16)
    y = jax.vmap(rotary, (0, None))(x, jnp.arange(5))
    assert y.dtype == x.dtype
    together = rotary(x, jnp.arange(5)).astype(jnp.float32)
    np.testing.assert_array_equal(y.astype(jnp.float32), together)
    gradient = jax.grad(lambda x: jnp.sum(rotary(x, jnp.arange(5)) ** 2))(
        x.astype(jnp.float32)
    )
    _, factor = rotary.frequencies(4, 5)
    np.testing.assert_allclose(  # turning keeps lengths
        gradient, 2 * factor**2 * x.astype(jnp.float32), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize(
    ("message", "make"),
    {
        "base of hk.Rotary must be above 1": lambda: hk.Rotary(1.0),
        "fraction of hk.Rotary must be in": lambda: hk.Rotary(fraction=0.0),
        "an even number": lambda: hk.Rotary().frequencies(5),
        "0.4 of a head of 8": lambda: hk.Rotary(fraction=0.4).frequencies(8),
        "factor of hk.rotary.Linear": lambda: hk.rotary.Linear(0.5),
        "original_length of hk.rotary.Dynamic": lambda: hk.rotary.Dynamic(2.0, 0),
        "beta_fast of hk.rotary.YaRN": lambda: hk.rotary.YaRN(2.0, 4, beta_fast=0),
        "high_factor of hk.rotary.Llama3 must be above 4": lambda: hk.rotary.Llama3(
            2.0, 4, low_factor=4
        ),
        "as many short_factors": lambda: hk.rotary.LongRoPE((1.0,), (1.0, 2.0), 4, 8),
        "Factors of hk.rotary.LongRoPE": lambda: hk.rotary.LongRoPE(
            (0.0,), (1.0,), 4, 8
        ),
        "has 2 factors": lambda: hk.Rotary(scaling=SCALINGS["LongRoPE"]).frequencies(8),
        "positions \\[..., T\\]": lambda: hk.Rotary()(
            jnp.ones([2, 3, 1, 4]), jnp.arange(4)
        ),
    }.items(),
)
def test_bad_input_raises(message, make):
    with pytest.raises(ValueError, match=message):
        make()
