"""Mixtures of Gaussians beside their formula."""

import jax
import numpy as np
import pytest
from numpy_formulas import close, equal
from scipy import stats

import rlax

RANDOM = np.random.default_rng(13)
LOGITS, X = RANDOM.standard_normal(4), RANDOM.standard_normal(3)
MU, SIGMA = RANDOM.standard_normal((4, 3)), np.exp(RANDOM.standard_normal((4, 3)))
D = rlax.gaussian_mixture()


def weights(logits):
    return np.exp(logits) / np.exp(logits).sum()


def test_density_and_mean_equal_the_formulas():
    equal(
        D.logprob,
        lambda x, logits, mu, sigma: np.log(
            weights(logits) @ np.prod(stats.norm.pdf(x, mu, sigma), -1)
        ),
        *(X, LOGITS, MU, SIGMA),
        grads=range(4),
    )
    equal(
        D.mean, lambda logits, mu, _: weights(logits) @ mu, LOGITS, MU, SIGMA,
        grads=(0, 1),
    )  # fmt: skip


def test_far_samples_and_impossible_components_are_finite():
    logits = np.append(LOGITS[:3], -np.inf)
    value, grads = jax.value_and_grad(D.logprob, (0, 1, 2, 3))(
        X + 1e3 * SIGMA.max(), logits, MU, SIGMA
    )
    assert np.isfinite(value)
    assert all(np.isfinite(g).all() for g in grads)
    close(D.logprob(X, logits, MU, SIGMA), D.logprob(X, LOGITS[:3], MU[:3], SIGMA[:3]))


def test_samples_have_the_moments():
    keys = jax.random.split(jax.random.key(0), 20000)
    samples = jax.vmap(lambda k: D.sample(k, LOGITS, MU, SIGMA))(keys)
    close(samples.mean(0), D.mean(LOGITS, MU, SIGMA), rtol=0.1, atol=0.1)
    second = weights(LOGITS) @ (MU**2 + SIGMA**2)
    np.testing.assert_allclose((samples**2).mean(0), second, rtol=0.1)


def test_bad_input_raises():
    with pytest.raises(rlax.ContractError, match="sigma must be above 0"):
        D.logprob(X, LOGITS, MU, 0 * SIGMA)
    with pytest.raises(rlax.ContractError, match=r"gaussian_mixture\(\).mean: mu"):
        D.mean(LOGITS, MU[:2], SIGMA)
