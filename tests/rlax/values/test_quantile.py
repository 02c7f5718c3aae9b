"""Quantile regression beside a plain loop."""

import jax
import numpy as np
import pytest

import rlax


def quantile_loop(src, tau, target, kappa):
    total = 0.0
    for s, level in zip(src, tau):
        for y in target:
            u = y - s
            if kappa == 0:
                loss = abs(u)
            elif abs(u) <= kappa:
                loss = 0.5 * u**2
            else:
                loss = kappa * (abs(u) - 0.5 * kappa)
            total += abs(level - (u < 0)) * loss / len(target)
    return total


@pytest.mark.parametrize("kappa", [0.0, 0.7])
def test_loss_and_gradient_equal_the_loop(kappa):
    @jax.jit
    def loss(*x):
        return rlax.quantile_regression_loss(*x, kappa)

    @jax.jit
    def traced_kappa(k, *x):
        return rlax.quantile_regression_loss(*x, k)

    grad = jax.jit(jax.grad(loss, (0, 1, 2)))
    for seed in range(5):
        random = np.random.default_rng(seed)
        src, target = random.standard_normal(4), random.standard_normal(11)
        args = (src, random.random(4), target)
        want = quantile_loop(*args, kappa)
        np.testing.assert_allclose(loss(*args), want, rtol=1e-5)
        np.testing.assert_allclose(traced_kappa(kappa, *args), want, rtol=1e-5)
        # The derivative rule beside finite differences.
        for i, g in enumerate(grad(*args)):
            for j in range(len(g)):
                moved = [[x.copy() for x in args] for _ in range(2)]
                moved[0][i][j] += 1e-5
                moved[1][i][j] -= 1e-5
                up, down = (quantile_loop(*m, kappa) for m in moved)
                np.testing.assert_allclose(
                    g[j], (up - down) / 2e-5, rtol=1e-3, atol=1e-3
                )


def test_expected_sarsa_is_a_mixture_of_losses():
    random = np.random.default_rng(0)
    d0, d1 = random.standard_normal((2, 4, 3)).astype(np.float32)
    tau, probs = np.linspace(0.1, 0.9, 4), np.array([0.2, 0.5, 0.3])
    have = rlax.quantile_expected_sarsa(d0, tau, 1, 0.5, 0.9, d1, probs, 0.5)
    want = sum(
        p * quantile_loop(d0[:, 1], tau, 0.5 + 0.9 * d1[:, a], 0.5)
        for a, p in enumerate(probs)
    )
    np.testing.assert_allclose(have, want, rtol=1e-5)
