"""Gaussians, plain and squashed."""

import jax
import numpy as np
import pytest

import rlax


def test_diagonal_gaussian_equals_the_formulas():
    mu, sigma = np.array([[0.5, -1.0]]), np.array([[0.3, 2.0]])
    x = np.array([[0.1, 0.7]])
    z = (x - mu) / sigma
    log_p = (-0.5 * z**2 - np.log(sigma * np.sqrt(2 * np.pi))).sum(-1)
    d = rlax.gaussian_diagonal()
    np.testing.assert_allclose(d.logprob(x, mu, sigma), log_p, rtol=1e-5)
    np.testing.assert_allclose(d.prob(x, mu, sigma), np.exp(log_p), rtol=1e-5)
    entropy = np.log(sigma * np.sqrt(2 * np.pi * np.e)).sum(-1)
    np.testing.assert_allclose(d.entropy(mu, sigma), entropy, rtol=1e-5)
    kl = (-np.log(sigma) + (sigma**2 + mu**2) / 2 - 0.5).sum(-1)
    np.testing.assert_allclose(d.kl_to_standard_normal(mu, sigma), kl, rtol=1e-5)
    np.testing.assert_allclose(d.kl(mu, sigma, 0 * mu, 1.0), kl, rtol=1e-5)
    # A fixed sigma; one passed to a function takes precedence.
    fixed = rlax.gaussian_diagonal(0.5)
    np.testing.assert_allclose(fixed.entropy(mu), d.entropy(mu, 0.5))
    np.testing.assert_allclose(fixed.entropy(mu, 0.7), d.entropy(mu, 0.7))
    many = fixed.logprob(np.zeros((4, 2)), mu[0])
    assert many.shape == (4,)
    samples = d.sample(jax.random.key(1), np.zeros((5000, 2)), np.ones((5000, 2)) * 2)
    np.testing.assert_allclose(samples.std(0), [2, 2], rtol=0.05)


def test_samples_broadcast_against_means():
    mu, sigma, samples = (
        np.random.default_rng(len(shape)).random(shape).astype(np.float32)
        for shape in ((8, 5, 3), (1, 8, 5, 3), (10, 8, 5, 3))
    )
    logprob = rlax.gaussian_diagonal().logprob
    np.testing.assert_allclose(
        logprob(samples, mu, sigma[0])[4], logprob(samples[4], mu, sigma[0]), rtol=1e-5
    )


class Spec:
    minimum = np.array([-1.0, 0.0])
    maximum = np.array([3.0, 1.0])


@pytest.mark.parametrize("spec", [None, Spec])
def test_squashed_gaussian_density_integrates_to_one(spec):
    d = rlax.squashed_gaussian(-3, 0.5)
    low, high = (-1.0, 1.0) if spec is None else (Spec.minimum[:1], Spec.maximum[:1])
    x = np.linspace(low, high, 20001).reshape(-1, 1)[1:-1]
    one = None
    if spec is not None:
        one = type(
            "One", (), {"minimum": Spec.minimum[:1], "maximum": Spec.maximum[:1]}
        )
    mu, sigma = np.array([0.3]), np.array([0.2])
    density = d.prob(
        x, np.broadcast_to(mu, x.shape), np.broadcast_to(sigma, x.shape), one
    )
    width = (x[1] - x[0]).item()
    np.testing.assert_allclose(np.asarray(density).sum() * width, 1, rtol=1e-3)
    wide = np.zeros((200, 2))
    samples = d.sample(jax.random.PRNGKey(0), wide, wide + 2, spec)
    lows, highs = (-1, 1) if spec is None else (Spec.minimum, Spec.maximum)
    assert (samples >= lows).all()
    assert (samples <= highs).all()
    assert samples.std() > 0.1
