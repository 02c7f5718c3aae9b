"""`hk.adaptive_avg_pool` and `hk.adaptive_max_pool`."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from layer_values import VALUES, numbers

import haiku as hk


@pytest.mark.parametrize("case", VALUES["pools"], ids=lambda c: str(c["space"]))
def test_numbers_are_pytorchs(case):
    x = numbers(1, *case["space"], 2)
    y = hk.adaptive_avg_pool(x, case["sizes"])
    np.testing.assert_allclose(y, case["avg"], rtol=1e-5, atol=1e-6)
    y = hk.adaptive_max_pool(x, case["sizes"])
    np.testing.assert_allclose(y, case["max"], rtol=1e-6)


def windows(n, size):
    """The slices of an axis."""
    return [slice(i * n // size, math.ceil((i + 1) * n / size)) for i in range(size)]


@settings(max_examples=12, deadline=None, derandomize=True)
@given(*[st.integers(1, 9)] * 4)
def test_each_window_is_reduced(height, width, rows, columns):
    x = np.random.RandomState(0).randn(2, height, width, 3).astype(np.float32)
    parts = [
        [x[:, i, j] for j in windows(width, columns)] for i in windows(height, rows)
    ]
    sizes = (rows, columns)
    want = np.stack([np.stack([p.mean((1, 2)) for p in row], 1) for row in parts], 1)
    np.testing.assert_allclose(
        hk.adaptive_avg_pool(x, sizes), want, rtol=1e-4, atol=1e-5
    )
    want = np.stack([np.stack([p.max((1, 2)) for p in row], 1) for row in parts], 1)
    np.testing.assert_array_equal(hk.adaptive_max_pool(x, sizes), want)


def test_gradients():
    x = jnp.arange(5.0).reshape(1, 5, 1)
    c = jnp.array([2.0, 3.0]).reshape(1, 2, 1)  # windows 0 1 2, and 2 3 4
    pool = lambda f: jax.grad(lambda x: jnp.sum(c * f(x, 2)))(x).ravel()  # noqa: E731
    np.testing.assert_allclose(
        pool(hk.adaptive_avg_pool), np.array([2, 2, 5, 3, 3]) / 3, rtol=1e-6
    )
    np.testing.assert_array_equal(pool(hk.adaptive_max_pool), [0, 0, 2, 0, 3])


def test_dtypes():
    x = np.arange(10).reshape(1, 5, 2) - 20
    y = hk.adaptive_max_pool(jnp.asarray(x, jnp.int32), 2)
    assert y.dtype == jnp.int32 and y.max() == -11
    y = hk.adaptive_avg_pool(jnp.asarray(x, jnp.int32), 2)
    np.testing.assert_array_equal(y[0], [[-18, -17], [-14, -13]])
    x = jnp.asarray(numbers(2, 5, 7, 3), jnp.bfloat16)
    with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
        y = hk.adaptive_avg_pool(x, 3)
        assert hk.adaptive_max_pool(x, 3).dtype == jnp.bfloat16
    wide = hk.adaptive_avg_pool(x.astype(jnp.float32), 3)
    np.testing.assert_array_equal(y, wide.astype(jnp.bfloat16))


def test_one_size_for_all_axes_and_axes_to_keep():
    x = numbers(2, 5, 7, 3)
    assert hk.adaptive_avg_pool(x, 2).shape == (2, 2, 2, 3)
    y = hk.adaptive_avg_pool(x, (None, 1))
    np.testing.assert_allclose(y[:, :, 0], x.mean(2), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("pool", [hk.adaptive_avg_pool, hk.adaptive_max_pool])
@pytest.mark.parametrize(
    ("message", "shape", "sizes"),
    [
        (r"\[B, \*space, C\] .* got \(2, 3\)", (2, 3), 1),
        (r"at least one element .* got \(2, 0, 3\)", (2, 0, 3), 1),
        (r"all 2 spatial axes of \(2, 4, 4, 3\), .* got 0", (2, 4, 4, 3), 0),
        (r"None for each, got \(1, 2, 3\)", (2, 4, 4, 3), (1, 2, 3)),
        (r"got \(2, 1.5\)", (2, 4, 4, 3), (2, 1.5)),
    ],
)
def test_bad_input_raises(pool, message, shape, sizes):
    with pytest.raises(ValueError, match=message):
        pool(jnp.ones(shape), sizes)
