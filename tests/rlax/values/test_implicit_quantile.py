"""Drawn and learned quantile levels, and expectiles, beside formulas in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy_formulas import equal

import rlax

RANDOM = np.random.default_rng(5)


@pytest.mark.parametrize("first", [0, 1])
def test_quantile_embedding_equals_the_formula(first):
    tau = RANDOM.random((2, 3)).astype(np.float32)
    i = first + np.arange(64)
    equal(
        lambda t: rlax.quantile_embedding(t, 64, first=first),
        lambda t: np.cos(np.pi * i * t[..., None]),
        tau,
        grads=(0,),
    )
    assert rlax.quantile_embedding(0.5).shape == (64,)


def fractions(logits):
    p = np.exp(logits - logits.max())
    tau = np.append(0, np.cumsum(p / p.sum()))
    return tau, (tau[1:] + tau[:-1]) / 2


@pytest.mark.parametrize("size", [1, 2, 7])
def test_fractions_equal_the_formula(size):
    logits = RANDOM.standard_normal(size)
    equal(rlax.fqf_fractions, fractions, logits, grads=(0,))


def test_extreme_fractions_rise_from_zero_to_one():
    for logits in ([1e4, -1e4, 0.0], [-1e4, 1e4, 0.0], [0.1] * 7):
        tau, tau_hat = rlax.fqf_fractions(np.array(logits, np.float32))
        assert (tau[0], tau[-1]) == (0, 1)
        assert np.all(np.diff(tau) >= 0)
        assert np.all((tau_hat >= tau[:-1]) & (tau_hat <= tau[1:]))


def test_fraction_loss_has_the_gradient_of_the_wasserstein_distance():
    """Of the quantile function x³ + x and its steps, integrated on a grid."""

    def quantile(t):
        return t**3 + t

    tau, tau_hat = fractions(RANDOM.standard_normal(4))
    args = tau, quantile(tau[1:-1]), quantile(tau_hat)
    equal(
        rlax.fqf_fraction_loss,
        lambda tau, q, q_hat: (
            np.sum(tau[1:-1] * (2 * args[1] - args[2][1:] - args[2][:-1]))
            + 0 * (q.sum() + q_hat.sum())
        ),
        *args,
        grads=(0,),
    )

    def distance(tau):
        total, n = 0.0, 20000
        for low, high in zip(tau[:-1], tau[1:]):
            grid = low + (high - low) * (np.arange(n) + 0.5) / n
            step = quantile((low + high) / 2)
            total += np.mean(np.abs(quantile(grid) - step)) * (high - low)
        return total

    gradient = jax.grad(rlax.fqf_fraction_loss)(*map(jnp.asarray, args))
    for i in range(1, 4):
        moved = np.zeros(5)
        moved[i] = 1e-4
        slope = (distance(tau + moved) - distance(tau - moved)) / 2e-4
        np.testing.assert_allclose(gradient[i], slope, rtol=1e-3, atol=1e-5)


TAU = np.array([0.1, 0.5, 0.8])
DIST, SELECTOR, NEXT = (RANDOM.standard_normal((n, 3)) for n in (3, 1, 5))


def expectile_loop(dist, tau, r, g, selector, samples):
    best = selector.mean(0).argmax()
    total = 0.0
    for level, e in zip(tau, dist[:, 1]):
        for z in samples[:, best]:
            delta = r + g * z - e
            total += abs(level - (delta < 0)) * delta**2 / len(samples)
    return total


@pytest.mark.parametrize("stop", [True, False])
def test_expectile_loss_equals_the_loop(stop):
    equal(
        lambda dist, tau, *x: rlax.expectile_q_learning(dist, tau, 1, *x, stop),
        expectile_loop,
        *(DIST, TAU, 0.3, 0.9, SELECTOR, NEXT),
        grads=(0, 1) if stop else (0, 1, 2, 3, 5),
    )


def test_expectile_loss_is_least_at_the_expectiles():
    """Where the weighted distances above and below are equal."""
    samples = RANDOM.standard_normal(50)
    for level in (0.2, 0.5, 0.9):
        grid = np.linspace(-2, 2, 4001)
        above = np.maximum(samples - grid[:, None], 0).mean(1)
        below = np.maximum(grid[:, None] - samples, 0).mean(1)
        expectile = grid[np.abs(level * above - (1 - level) * below).argmin()]
        gradient = jax.grad(rlax.expectile_q_learning)(
            *(np.array([[expectile]]), np.array([level]), 0, 0.0, 1.0),
            *(samples[:, None], samples[:, None]),
        )
        assert abs(gradient).max() < 1e-3


def test_bad_input_raises():
    with pytest.raises(rlax.ContractError, match="num_cosines must be at least 1"):
        rlax.quantile_embedding(0.5, 0)
    with pytest.raises(rlax.ContractError, match="first must be at least 0"):
        rlax.quantile_embedding(0.5, first=-1)
    with pytest.raises(rlax.ContractError, match=r"tau must be in \[0, 1\]"):
        rlax.quantile_embedding(1.5)
    with pytest.raises(rlax.ContractError, match="fqf_fractions: logits"):
        rlax.fqf_fractions(np.ones(0, np.float32))
    with pytest.raises(rlax.ContractError, match="fqf_fraction_loss: q_tau"):
        rlax.fqf_fraction_loss(TAU, TAU, TAU[:2])
    args = 0.3, 0.9, NEXT, NEXT
    with pytest.raises(rlax.ContractError, match=r"tau_q_tm1 must be in \[0, 1\]"):
        rlax.expectile_q_learning(DIST, TAU * 2, 1, *args)
    with pytest.raises(rlax.ContractError, match=r"a_tm1 must be in 0 .. 2"):
        rlax.expectile_q_learning(DIST, TAU, 3, *args)
    assert np.isnan(jax.jit(rlax.expectile_q_learning)(DIST, TAU, 3, *args))
    nan = np.full((1, 3), np.nan)
    assert np.isnan(rlax.expectile_q_learning(DIST, TAU, 1, 0.3, 0.9, nan, NEXT))
