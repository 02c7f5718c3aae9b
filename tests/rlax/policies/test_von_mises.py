"""The von Mises distribution beside SciPy's."""

import jax
import numpy as np
import pytest
from numpy_formulas import equal
from scipy import special, stats

import rlax

VM = rlax.von_mises()
K = np.array([0.0, 1e-3, 0.5, 3.0, 15.0, 17.0, 40.0, 1e3, 1e4, 1e6])


def log_density(x, loc, k):
    return k * (np.cos(x - loc) - 1) - np.log(2 * np.pi * special.i0e(k))


def test_density_equals_the_formula_up_to_large_concentrations():
    # Near the centre for large ones: elsewhere the numbers are huge.
    distance = np.linspace(-2, 2.5, len(K)) / np.sqrt(1 + K)
    loc = np.full(len(K), 0.25)
    k = K.astype(np.float32)
    equal(
        lambda x, loc: VM.logprob(x, loc, k),
        lambda x, loc: log_density(x, loc, K),
        *(loc + distance, loc),
        grads=(0, 1),
        rtol=2e-4,
    )
    equal(VM.logprob, log_density, loc[1:] + 0.125, loc[1:], K[1:], grads=range(3))
    x = np.linspace(-np.pi, np.pi, 2001, dtype=np.float32)
    total = np.trapezoid(np.exp(VM.logprob(x, 0 * x, 0 * x + 5)), x)
    np.testing.assert_allclose(total, 1, rtol=1e-4)


def test_entropy_equals_the_formula():
    def entropy(k):  # 1 - I_1 / I_0 in extra precision, from an integral of e^(k cos)
        t = np.linspace(0, np.pi, 400001)
        t = t / max(1.0, np.sqrt(k) / 12)  # where the density is
        weight = np.exp(-2 * k * np.sin(t / 2) ** 2)
        lost = np.trapezoid(2 * np.sin(t / 2) ** 2 * weight, t)
        lost /= np.trapezoid(weight, t)
        return k * lost + np.log(2 * np.pi * special.i0e(k))

    for k in K[:-1]:
        np.testing.assert_allclose(VM.entropy(0.0, k), entropy(k), rtol=1e-5, atol=3e-6)
        if k:
            step = 1e-3 * k
            slope = (entropy(k + step) - entropy(k - step)) / (2 * step)
            gradient = jax.grad(VM.entropy, 1)(0.0, k)
            np.testing.assert_allclose(gradient, slope, rtol=3e-4, atol=1e-8)
    np.testing.assert_allclose(jax.grad(VM.entropy, 1)(0.0, 0.0), 0, atol=1e-6)


@pytest.mark.parametrize("k", [0.0, 1e-3, 0.5, 4.0, 100.0, 1e4, 1e7])
def test_samples_have_the_distribution(k):
    n = 20000
    sample = jax.jit(VM.sample)(
        jax.random.key(0), np.full(n, 3.0, np.float32), np.full(n, k, np.float32)
    )
    assert np.abs(sample).max() <= np.pi + 1e-6
    offset = np.mod(np.asarray(sample, float) - 3.0 + np.pi, 2 * np.pi) - np.pi
    cdf = stats.vonmises(k).cdf if k else stats.uniform(-np.pi, 2 * np.pi).cdf
    assert stats.kstest(offset, cdf).pvalue > 1e-3


def test_sampling_ends_for_any_concentration():
    k = np.array([0.0, 1e6, 1e30, np.inf, np.nan], np.float32)
    sample = VM.sample(jax.random.key(0), np.zeros(5, np.float32), k)
    assert np.isfinite(sample[:4]).all()
    assert np.abs(sample[1:4]).max() < 0.01
    assert np.isnan(sample[4])


def test_gradient_of_a_sample_reaches_its_centre():
    grads = jax.grad(VM.sample, (1, 2))(jax.random.key(0), 0.5, 2.0)
    assert grads == (1, 0)


def test_bad_input_raises():
    with pytest.raises(rlax.ContractError, match="concentration must be at least 0"):
        VM.entropy(0.0, -1.0)
