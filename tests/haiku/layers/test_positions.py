"""Learned positions, sines and Fourier features."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compiled_calls import run
from layer_values import VALUES, numbers

import haiku as hk

X = jnp.asarray(numbers(2, 5, 4))


def learned(x=X, length=7):
    return hk.bind(hk.LearnedPositions, length).init(0, x)


def test_learned_positions_add_a_vector_for_each_step():
    model = learned()
    table = model.params["learned_positions"]["embeddings"]
    assert table.shape == (7, 4)
    np.testing.assert_array_equal(model(X), np.asarray(X) + np.asarray(table)[:5])
    np.testing.assert_array_equal(model(X[0]), model(X)[0])
    gradient = jax.grad(lambda m: jnp.sum(m(X)))(model).params
    want = [[2.0] * 4] * 5 + [[0.0] * 4] * 2
    np.testing.assert_array_equal(gradient["learned_positions"]["embeddings"], want)


def test_learned_positions_of_the_caller():
    model = learned()
    table = np.asarray(model.params["learned_positions"]["embeddings"])
    for at in (np.array([6, 0, 3, 3, 1]), np.array([[0, 1, 2, 3, 4], [2, 3, 4, 5, 6]])):
        np.testing.assert_array_equal(model(X, at), np.asarray(X) + table[at])
    at = np.array([[1], [2]])
    want = np.asarray(X) + table[at]
    np.testing.assert_array_equal(model(X, at), want)


def test_learned_positions_outside_give_nan_in_a_compiled_program():
    y = jax.jit(lambda m, at: m(X, at))(learned(), jnp.array([0, 7, 2, -1, 6]))
    assert np.isnan(y[:, [1, 3]]).all() and np.isfinite(y[:, [0, 2, 4]]).all()


def test_sines_follow_their_equation():
    y = hk.sinusoidal_positions(50, 6)
    assert y.shape == (50, 6) and y.dtype == jnp.float32
    for t in range(50):
        for i in range(3):
            angle = t / 10000 ** (2 * i / 6)
            np.testing.assert_allclose(y[t, 2 * i], np.sin(angle), atol=1e-5)
            np.testing.assert_allclose(y[t, 2 * i + 1], np.cos(angle), atol=1e-5)


def test_sines_are_whispers():
    (case,) = VALUES["sines"]
    y = hk.sinusoidal_positions(9, 8, interleaved=False, endpoint=True)
    np.testing.assert_allclose(y, case["y"], rtol=1e-5, atol=1e-6)


def test_sines_of_timesteps():
    steps = jnp.array([[0.0, 1.5, 999.0]])
    y = hk.sinusoidal_positions(
        steps, 4, interleaved=False, cosines_first=True, base=100.0
    )
    angles = np.asarray(steps)[..., None] * np.array([1.0, 0.1])
    want = np.concatenate([np.cos(angles), np.sin(angles)], -1)
    np.testing.assert_allclose(y, want, atol=1e-4)
    whole = hk.sinusoidal_positions(jnp.arange(5), 4)
    np.testing.assert_array_equal(whole, hk.sinusoidal_positions(5, 4))
    assert hk.sinusoidal_positions(jnp.array(3), 4).shape == (4,)
    swapped = hk.sinusoidal_positions(5, 4, cosines_first=True)
    np.testing.assert_array_equal(swapped, whole[:, np.array([1, 0, 3, 2])])


def test_sines_in_half_precision_keep_large_positions_apart():
    steps = jnp.array([998, 999])
    y = hk.sinusoidal_positions(steps, 8, dtype=jnp.bfloat16)
    assert y.dtype == jnp.bfloat16
    want = hk.sinusoidal_positions(steps, 8)
    np.testing.assert_allclose(y.astype(jnp.float32), want, atol=5e-3)


@pytest.mark.parametrize("learned", [False, True])
def test_fourier_features_follow_their_equation(learned):
    model = hk.bind(hk.FourierFeatures, 6, 3.0, learned=learned).init(0, X)
    store, other = model.params, model.state
    if not learned:
        store, other = other, store
    assert other == {}
    w = np.asarray(store["fourier_features"]["w"], float)
    assert w.shape == (4, 3)
    angles = 2 * np.pi * np.asarray(X, float) @ w
    want = np.concatenate([np.cos(angles), np.sin(angles)], -1)
    np.testing.assert_allclose(run(model, X), want, atol=2e-5)


def test_frequencies_have_the_scale():
    model = hk.bind(hk.FourierFeatures, 4000, 16.0).init(0, jnp.ones([1, 2]))
    w = np.asarray(model.state["fourier_features"]["w"])
    np.testing.assert_allclose([w.mean(), w.std()], [0, 16], atol=0.6)


def test_fourier_features_in_half_precision_turn_in_single():
    x = jnp.asarray([[0.5, 0.25]], jnp.bfloat16)
    model = hk.bind(hk.FourierFeatures, 4, 30.0).init(0, x)
    w = np.asarray(model.state["fourier_features"]["w"].astype(jnp.float32))
    angles = 2 * np.pi * np.array([[0.5, 0.25]]) @ w
    want = np.concatenate([np.cos(angles), np.sin(angles)], -1)
    assert model(x).dtype == jnp.bfloat16
    np.testing.assert_allclose(model(x).astype(jnp.float32), want, atol=5e-3)
    steps = jnp.array([[3], [4]])  # integers: features are single precision
    assert hk.bind(hk.FourierFeatures, 4, 1.0).init(0, steps)(steps).dtype == "float32"


@pytest.mark.parametrize(
    ("message", "call"),
    {
        "max_length of 'learned_positions'": lambda: hk.LearnedPositions(0),
        "has 4 positions, got 5 steps": lambda: hk.LearnedPositions(4)(X),
        r"shape \[..., T, D\], got \(4,\)": lambda: hk.LearnedPositions(4)(X[0, 0]),
        "must be integers, got float32": lambda: hk.LearnedPositions(4)(X, X[0, :, 0]),
        r"= \[2, 5\], got \[4\]": lambda: hk.LearnedPositions(9)(X, jnp.arange(4)),
        "positions 0 to 8, got 9": lambda: hk.LearnedPositions(9)(X, jnp.arange(5) + 5),
        "an even number, at least 2, got 3": lambda: hk.sinusoidal_positions(4, 3),
        "at least 4, got 2": lambda: hk.sinusoidal_positions(4, 2, endpoint=True),
        "base of hk.sinusoidal_positions": lambda: hk.sinusoidal_positions(
            4, 2, base=0
        ),
        "size of 'fourier_features' must be": lambda: hk.FourierFeatures(5, 1.0),
        "scale of 'fourier_features' must be": lambda: hk.FourierFeatures(4, 0.0),
        "got a scalar: pass": lambda: hk.FourierFeatures(4, 1.0)(jnp.ones([])),
    }.items(),
)
def test_bad_input_raises(message, call):
    with pytest.raises(ValueError, match=message):
        hk.testing.transform_and_run(call)()
