"""Rewards for what a network can't predict, and noise, beside formulas in NumPy."""

import jax
import numpy as np
import pytest
from numpy_formulas import close, equal

import rlax

RANDOM = np.random.default_rng(8)
X, Y, LOGITS = (RANDOM.standard_normal(n) for n in (5, 5, 3))


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_rnd_error_equals_the_formula(reduction):
    equal(
        lambda x, y: rlax.rnd_error(x, y, reduction=reduction),
        lambda x, y: getattr((x - y) ** 2, reduction)(),
        *(X, Y),
        grads=(0,),
    )


@pytest.mark.parametrize("stop", [True, False])
def test_icm_losses_equal_the_formulas(stop):
    def op(*x):
        return rlax.icm_losses(
            *x, 2, reward_scale=0.5, beta=0.3, stop_target_gradients=stop
        )

    def formulas(x, y, logits):
        forward = 0.5 * np.sum((x - y) ** 2)
        inverse = np.log(np.exp(logits).sum()) - logits[2]
        return forward, inverse, 0.3 * forward + 0.7 * inverse

    equal(
        lambda *x: tuple(op(*x)[1:]),
        formulas,
        *(X, Y, LOGITS),
        grads=(0, 2) if stop else (0, 1, 2),
    )
    equal(lambda *x: op(*x).reward, lambda *x: 0.5 * formulas(*x)[0], X, Y, LOGITS)


def test_parameter_noise_follows_the_rule():
    for distance, want in ((0.1, 1.5 * 1.01), (0.2, 1.5 * 1.01), (0.3, 1.5 / 1.01)):
        close(rlax.adapt_parameter_noise(1.5, distance, 0.2), want)
    close(rlax.adapt_parameter_noise(1.5, 0.3, 0.2, 2.0), 0.75)


def test_ornstein_uhlenbeck_step_equals_the_formula():
    key = jax.random.key(5)
    noise = np.asarray(jax.random.normal(key, (5,), np.float32), float)
    equal(
        lambda x, m: rlax.ornstein_uhlenbeck_step(key, x, 0.3, 0.4, 0.25, m),
        lambda x, m: x + 0.3 * (m - x) * 0.25 + 0.4 * 0.5 * noise,
        *(X, 0.7),
        grads=(0, 1),
    )
    default = rlax.ornstein_uhlenbeck_step(key, X)
    close(default, X - 0.15 * X * 0.01 + 0.2 * 0.1 * noise)


def test_noise_returns_to_its_mean():
    def step(noise, key):
        noise = rlax.ornstein_uhlenbeck_step(key, noise, 1.0, 0.5, 0.1, 2.0)
        return noise, noise

    keys = jax.random.split(jax.random.key(0), 500)
    _, path = jax.lax.scan(step, np.full(200, -5.0, np.float32), keys)
    np.testing.assert_allclose(path[100:].mean(), 2.0, atol=0.02)
    # The variance of x ← (1 - θ dt) x + σ √dt ε.
    np.testing.assert_allclose(path[100:].var(), 0.025 / (1 - 0.81), rtol=0.05)


def test_bad_input_raises():
    with pytest.raises(rlax.ContractError, match="reduction must be 'mean' or 'sum'"):
        rlax.rnd_error(X, Y, reduction="max")
    with pytest.raises(rlax.ContractError, match=r"beta must be in \[0, 1\]"):
        rlax.icm_losses(X, Y, LOGITS, 0, beta=1.5)
    with pytest.raises(rlax.ContractError, match=r"a_tm1 must be in 0 .. 2"):
        rlax.icm_losses(X, Y, LOGITS, 3)
    assert np.isnan(jax.jit(rlax.icm_losses)(X, Y, LOGITS, 3).loss)
    with pytest.raises(rlax.ContractError, match="stddev must be at least 0"):
        rlax.adapt_parameter_noise(-1.0, 0.1, 0.1)
    with pytest.raises(rlax.ContractError, match="factor must be above 0"):
        rlax.adapt_parameter_noise(1.0, 0.1, 0.1, 0.0)
    for name in ("theta", "sigma", "dt"):
        with pytest.raises(rlax.ContractError, match=f"{name} must be at least 0"):
            rlax.ornstein_uhlenbeck_step(jax.random.key(0), X, **{name: -1.0})
