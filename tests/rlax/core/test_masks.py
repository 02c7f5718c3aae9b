"""Reductions over what a mask keeps: values, gradients, and NaN at masked places."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlax._core import masks

X = np.array([3.0, np.nan, 1.0, np.inf, 2.0], np.float32)
MASK = np.array([True, False, True, False, True])
KEPT = X[MASK]
REDUCTIONS = {
    "sum": (masks.masked_sum, np.sum),
    "mean": (masks.masked_mean, np.mean),
    "moments": (masks.masked_moments, lambda x: (np.mean(x), np.std(x))),
}


def total(tree):
    return sum(x.sum() for x in jax.tree.leaves(tree))


@pytest.mark.parametrize("name", REDUCTIONS)
def test_masked_nan_reaches_neither_value_nor_gradient(name):
    reduce, plain = REDUCTIONS[name]
    np.testing.assert_allclose(jax.jit(reduce)(X, MASK), plain(KEPT), rtol=1e-6)
    gradient = jax.jit(jax.grad(lambda x: total(reduce(x, MASK))))(X)
    clean = jax.grad(lambda x: total(reduce(x)))(KEPT)
    np.testing.assert_allclose(gradient[MASK], clean, rtol=1e-6)
    assert not gradient[~MASK].any()


@pytest.mark.parametrize("name", REDUCTIONS)
def test_nothing_kept_gives_zero_with_gradient_zero(name):
    reduce, _ = REDUCTIONS[name]
    value, gradient = jax.value_and_grad(lambda x: total(reduce(x, 0 * MASK > 0)))(X)
    assert value == 0
    np.testing.assert_array_equal(gradient, 0)


@pytest.mark.parametrize("name", REDUCTIONS)
def test_lanes_of_vmap_are_separate(name):
    reduce, _ = REDUCTIONS[name]
    rows, keep = np.stack([X, X[::-1]]), np.stack([MASK, MASK[::-1]])
    together = jax.vmap(reduce)(rows, keep)
    for lane in range(2):
        alone = reduce(jnp.asarray(rows[lane]), keep[lane])
        np.testing.assert_allclose(np.stack(together).T[lane], alone, rtol=1e-6)


def test_axis_is_averaged_by_its_own_count():
    x = np.arange(6.0, dtype=np.float32).reshape(3, 2)
    keep = np.array([[1, 0], [1, 0], [0, 0]], bool)
    np.testing.assert_allclose(masks.masked_mean(x, keep, axis=0), [1, 0])
    np.testing.assert_allclose(masks.masked_mean(x, keep, axis=1), [0, 2, 0])
    np.testing.assert_allclose(masks.masked_sum(x, keep, axis=0), [2, 0])


def test_mask_of_leading_axes_keeps_whole_rows():
    x = np.arange(6.0, dtype=np.float32).reshape(3, 2)
    keep = np.array([True, False, True])
    np.testing.assert_allclose(masks.masked_mean(x, keep), x[keep].mean())
    mean, deviation = masks.masked_moments(x, keep)
    np.testing.assert_allclose([mean, deviation], [x[keep].mean(), x[keep].std()])


@pytest.mark.parametrize("value", [0.1, -1e5, 1e30])
def test_equal_elements_have_deviation_zero_and_a_finite_gradient(value):
    x = jnp.full(7, value, jnp.float32)
    mean, deviation = masks.masked_moments(x)
    assert (mean, deviation) == (x[0], 0)
    gradient = jax.grad(lambda x: ((x - x[0]) / (masks.masked_moments(x)[1] + 1)).sum())
    assert jnp.isfinite(gradient(x)).all()


def test_deviation_of_samples_divides_by_one_less():
    mean, deviation = masks.masked_moments(X, MASK, ddof=1)
    np.testing.assert_allclose(deviation, KEPT.std(ddof=1), rtol=1e-6)
    assert masks.masked_moments(X, MASK & (X == 1), ddof=1)[1] == 0


def test_small_deviation_far_from_zero_keeps_its_digits():
    x = np.float32(1e5) + np.array([-1, 0, 1], np.float32)
    np.testing.assert_allclose(masks.masked_moments(x)[1], x.std(dtype=float), 1e-6)


def test_devices_pool_their_elements():
    rows = np.arange(8.0, dtype=np.float32).reshape(2, 4)
    keep = np.array([[1, 1, 0, 1], [0, 0, 0, 1]], bool)
    spread = jax.vmap(
        lambda x, m: masks.masked_moments(x, m, axis_name="i"), axis_name="i"
    )(rows, keep)
    pooled = rows[keep].mean(), rows[keep].std()
    np.testing.assert_allclose(np.stack(spread).T, [pooled, pooled], rtol=1e-6)


def test_half_precision_counts_beyond_its_integers():
    x = jnp.ones(5000, jnp.float16)
    mean = masks.masked_mean(20 * x, x > 0)
    assert (mean, mean.dtype) == (20, jnp.float16)


def test_differences_to_a_large_mean_keep_their_digits():
    x = np.array([1e5 - 1, 1e5 + 2, 1e5, 1e5 + 3], np.float32)
    exact = x.astype(float)
    differences, deviation = masks.masked_differences(x)
    np.testing.assert_allclose(differences, exact - exact.mean(), rtol=1e-6)
    np.testing.assert_allclose(deviation, exact.std(), rtol=1e-6)
