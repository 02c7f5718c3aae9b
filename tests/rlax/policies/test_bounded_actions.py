"""Distributions over actions within bounds, beside their formulas."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy_formulas import close, equal
from scipy import special, stats

import rlax

RANDOM = np.random.default_rng(12)
MU, SIGMA = RANDOM.standard_normal((4, 3)), np.exp(RANDOM.standard_normal((4, 3)))
LOW, HIGH = np.array([-1.0, 0.0, -3.0]), np.array([1.0, 5.0, -2.5])
UNIT = np.tanh(RANDOM.standard_normal((4, 3)))


def tanh_log_density(action, mu, sigma):
    unit = 2 * (action - LOW) / (HIGH - LOW) - 1
    slope = (1 - unit**2) * (HIGH - LOW) / 2
    return np.sum(stats.norm.logpdf(np.arctanh(unit), mu, sigma) - np.log(slope), -1)


def test_squashed_density_equals_the_formula():
    d = rlax.tanh_gaussian(LOW, HIGH)
    action = LOW + (HIGH - LOW) * (UNIT + 1) / 2
    equal(d.logprob, tanh_log_density, action, MU, SIGMA, grads=range(3), rtol=3e-5)
    one = rlax.tanh_gaussian(-2.0, 3.0)
    grid = np.linspace(-1.9999, 2.9999, 40001, dtype=np.float32)[:, None]
    density = np.exp(one.logprob(grid, 0 * grid + 0.3, np.float32(0.5)))
    np.testing.assert_allclose(np.trapezoid(density, grid[:, 0]), 1, rtol=1e-3)
    for spread in (SIGMA, 0.7):
        equal(
            lambda mu, spread=spread: d.mode(mu, spread),
            lambda mu: LOW + (HIGH - LOW) * (np.tanh(mu) + 1) / 2,
            MU,
            grads=(0,),
        )


def test_squashed_samples_have_their_density():
    d, key = rlax.tanh_gaussian(LOW, HIGH), jax.random.key(1)
    noise = np.asarray(jax.random.normal(key, (4, 3), np.float32), float)

    def action(mu, sigma):
        return LOW + (HIGH - LOW) * (np.tanh(mu + sigma * noise) + 1) / 2

    def log_p(mu, sigma):
        u = mu + sigma * noise
        slope = (1 - np.tanh(u) ** 2) * (HIGH - LOW) / 2
        return np.sum(stats.norm.logpdf(u, mu, sigma) - np.log(slope), -1)

    equal(lambda *x: d.sample(key, *x), action, MU, SIGMA, grads=(0, 1))
    equal(
        lambda *x: d.sample_and_logprob(key, *x),
        lambda *x: (action(*x), log_p(*x)),
        *(MU, SIGMA / 4),
        grads=(0, 1),
        rtol=5e-5,
    )


@pytest.mark.parametrize("bound", [-1.0, 1.0])
def test_actions_at_the_bounds_are_finite(bound):
    action = np.full(3, bound, np.float32)
    value, grads = jax.value_and_grad(rlax.tanh_gaussian().logprob, (0, 1, 2))(
        action, MU[0], SIGMA[0]
    )
    assert np.isfinite(value)
    assert all(np.isfinite(g).all() for g in grads)
    far = rlax.tanh_gaussian().sample_and_logprob
    value, grads = jax.value_and_grad(lambda m: far(jax.random.key(0), m, 1.0)[1])(
        np.full(3, 1e4 * bound, np.float32)
    )
    assert np.isfinite(value)
    assert np.isfinite(grads).all()
    value, grads = jax.value_and_grad(rlax.scaled_beta(-1.0).logprob, (1, 2))(
        action, SIGMA[0], SIGMA[1]
    )
    assert np.isfinite(value)
    assert all(np.isfinite(g).all() for g in grads)


ALPHA, BETA = 0.3 + 3 * RANDOM.random((2, 4, 3))


def test_beta_equals_the_formulas():
    d = rlax.scaled_beta(LOW, HIGH)
    action = LOW + (HIGH - LOW) * (UNIT + 1) / 2

    def log_density(x, a, b):
        return np.sum(stats.beta.logpdf(x, a, b, LOW, HIGH - LOW), -1)

    equal(d.logprob, log_density, action, ALPHA, BETA, grads=range(3), rtol=5e-5)
    equal(
        d.entropy,
        lambda a, b: np.sum(stats.beta.entropy(a, b) + np.log(HIGH - LOW), -1),
        *(ALPHA, BETA),
        grads=(0, 1),
        rtol=5e-5,
        atol=1e-5,
    )
    equal(
        d.mean,
        lambda a, b: LOW + (HIGH - LOW) * a / (a + b),
        *(ALPHA, BETA),
        grads=(0, 1),
    )


def test_beta_divergence_equals_the_formula():
    def kl(a0, b0, a1, b1):
        each = special.betaln(a1, b1) - special.betaln(a0, b0)
        each = each + (a0 - a1) * special.digamma(a0) + (b0 - b1) * special.digamma(b0)
        return np.sum(each + (a1 - a0 + b1 - b0) * special.digamma(a0 + b0), -1)

    d = rlax.scaled_beta(LOW, HIGH)
    equal(d.kl, kl, ALPHA, BETA, BETA, ALPHA, grads=range(4), rtol=1e-4, atol=1e-5)
    close(d.kl(ALPHA, BETA, ALPHA, BETA), np.zeros(4))
    # Beside the integral of its definition.
    x = np.linspace(0, 1, 200002)[1:-1]
    p, q = stats.beta(1.5, 2.0), stats.beta(3.0, 1.2)
    integral = np.trapezoid(p.pdf(x) * (p.logpdf(x) - q.logpdf(x)), x)
    have = rlax.scaled_beta().kl([1.5], [2.0], [3.0], [1.2])
    np.testing.assert_allclose(have, integral, rtol=1e-4)


def test_beta_samples_have_their_mean():
    d = rlax.scaled_beta(-1.0, 3.0)
    a, b = np.full((20000, 1), 2.0, np.float32), np.full((20000, 1), 5.0, np.float32)
    samples = d.sample(jax.random.key(0), a, b)
    np.testing.assert_allclose(samples.mean(), d.mean(a, b)[0, 0], atol=0.02)
    np.testing.assert_allclose(samples.std(), 4 * stats.beta.std(2, 5), rtol=0.03)
    assert d.sample(jax.random.key(0), jnp.ones(2, jnp.bfloat16), a[:2, 0]).shape == (
        2,
    )


def test_bad_input_raises():
    for make in (rlax.tanh_gaussian, rlax.scaled_beta):
        with pytest.raises(rlax.ContractError, match="min_action must be below"):
            make(1.0, 1.0)
    with pytest.raises(rlax.ContractError, match="sigma must be at least 0"):
        rlax.tanh_gaussian().mode(MU, -SIGMA)
    for density in "logprob", "sample_and_logprob":
        with pytest.raises(rlax.ContractError, match="sigma must be above 0"):
            getattr(rlax.tanh_gaussian(), density)(MU, MU, 0.0)
    with pytest.raises(rlax.ContractError, match="alpha must be above 0"):
        rlax.scaled_beta().mean(0 * ALPHA, BETA)
    with pytest.raises(rlax.ContractError, match=r"tanh_gaussian\(\).logprob: mu"):
        rlax.tanh_gaussian().logprob(MU, MU[:, :2], SIGMA)
