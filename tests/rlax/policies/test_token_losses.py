"""Losses of token sequences, each one formula over the shared pieces.

The pieces are ratios, the clipped surrogate, sampled divergences and masked means. The
formulas are compared with loops over plain NumPy numbers.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlax._core import masks, ratios
from rlax._policies.divergences import sampled_kl
from rlax._policies.surrogate import clip_ratio, clipped_surrogate

G, T = 4, 6
BETA, LOW, HIGH = 0.04, 0.2, 0.28


def tokens(seed=0):
    """Log probabilities [G, T], advantages [G], and a mask; garbage where masked."""
    random = np.random.default_rng(seed)
    log_pi, log_mu, log_ref = -np.abs(random.standard_normal((3, G, T)))
    adv = random.standard_normal(G)
    length = np.array([6, 3, 0, 4])
    mask = np.arange(T) < length[:, None]
    mask[0, 2] = False  # what a tool wrote
    for x, garbage in zip((log_pi, log_mu, log_ref), (np.nan, -np.inf, np.inf)):
        x[~mask] = garbage
    floats = [x.astype(np.float32) for x in (log_pi, log_mu, log_ref, adv)]
    return *floats, mask


# ------------------------------------ formulas ------------------------------------


def token_losses(log_pi, log_mu, log_ref, adv, mask):
    d = ratios.log_ratio(log_pi, jax.lax.stop_gradient(log_ref), mask)
    rho = ratios.ratio(log_pi, log_mu, mask)
    surrogate = clipped_surrogate(rho, adv[:, None], LOW, HIGH)
    return surrogate + BETA * sampled_kl("grpo_loss", d, "k3")


def grpo(log_pi, log_mu, log_ref, adv, mask):
    loss = token_losses(log_pi, log_mu, log_ref, adv, mask)
    return masks.masked_mean(masks.masked_mean(loss, mask, axis=1), mask.any(1))


def dapo(log_pi, log_mu, log_ref, adv, mask):
    return masks.masked_mean(token_losses(log_pi, log_mu, log_ref, adv, mask), mask)


def gspo(log_pi, log_mu, log_ref, adv, mask):
    mean = jax.vmap(masks.masked_mean)(ratios.log_ratio(log_pi, log_mu, mask), mask)
    loss = clipped_surrogate(ratios.finite_exp(mean), adv, LOW, HIGH)
    return masks.masked_mean(loss, mask.any(1))


def cispo(log_pi, log_mu, log_ref, adv, mask):
    rho = clip_ratio(ratios.ratio(log_pi, log_mu, mask), LOW, HIGH)
    log_pi = masks.zero_masked(log_pi, mask)
    loss = -jax.lax.stop_gradient(rho) * adv[:, None] * log_pi
    return masks.masked_mean(loss, mask)


def normalized(log_pi, log_mu, log_ref, adv, mask):
    """Not a loss: log probabilities scaled by their mean and deviation."""
    mean, deviation = masks.masked_moments(log_pi, mask)
    scaled = (masks.zero_masked(log_pi, mask) - mean) / (deviation + 1e-8)
    return masks.masked_sum(scaled * jnp.arange(T), mask)


# -------------------------------------- loops -------------------------------------


def surrogate(rho, adv):
    return -min(rho * adv, min(max(rho, 1 - LOW), 1 + HIGH) * adv)


def rows(loss_of, log_pi, log_mu, log_ref, adv, mask):
    """For each sequence, the losses of its kept tokens."""
    return [
        [
            loss_of(p, np.exp(p - m), np.exp(r - p) - 1 - (r - p), a)
            for p, m, r, keep in zip(*row, strict=True)
            if keep
        ]
        for *row, a in zip(log_pi, log_mu, log_ref, mask, adv)
    ]


def with_kl(_, rho, kl, adv):
    return surrogate(rho, adv) + BETA * kl


def grpo_loop(*x):
    return np.mean([np.mean(row) for row in rows(with_kl, *x) if row])


def dapo_loop(*x):
    return np.mean(sum(rows(with_kl, *x), []))


def gspo_loop(log_pi, log_mu, log_ref, adv, mask):
    kept = [(p[m] - q[m], a) for p, q, m, a in zip(log_pi, log_mu, mask, adv)]
    return np.mean([surrogate(np.exp(np.mean(x)), a) for x, a in kept if len(x)])


def cispo_loop(*x):
    def loss(log_pi, rho, kl, adv):
        return -np.clip(rho, 1 - LOW, 1 + HIGH) * adv * log_pi

    return np.mean(sum(rows(loss, *x), []))


def normalized_loop(log_pi, log_mu, log_ref, adv, mask):
    x, at = log_pi[mask], np.broadcast_to(np.arange(T), mask.shape)[mask]
    return np.sum((x - x.mean()) / (x.std() + 1e-8) * at)


LOSSES = {
    "grpo": (grpo, grpo_loop),
    "dapo": (dapo, dapo_loop),
    "gspo": (gspo, gspo_loop),
    "cispo": (cispo, cispo_loop),
    "normalized": (normalized, normalized_loop),
}


@pytest.mark.parametrize("name", LOSSES)
def test_formula_equals_the_loop_under_jit_and_vmap(name):
    formula, loop = LOSSES[name]
    groups = [tokens(seed) for seed in range(3)]
    have = jax.jit(jax.vmap(formula))(*map(np.stack, zip(*groups)))
    np.testing.assert_allclose(have, [loop(*x) for x in groups], rtol=1e-5)


@pytest.mark.parametrize("name", LOSSES)
def test_masked_garbage_reaches_no_gradient(name):
    formula, loop = LOSSES[name]
    log_pi, *rest, mask = tokens()
    rest = [*rest, mask]
    gradient = jax.jit(jax.grad(formula))(log_pi, *rest)
    assert np.isfinite(gradient).all()
    assert not gradient[~mask].any()
    if name == "cispo":  # its ratio is stopped: no derivative of the value
        return
    for i, j in ((0, 0), (0, 3), (1, 2), (3, 1)):
        moved = [log_pi.astype(float), log_pi.astype(float)]
        moved[0][i, j] += 1e-4
        moved[1][i, j] -= 1e-4
        slope = (loop(moved[0], *rest) - loop(moved[1], *rest)) / 2e-4
        np.testing.assert_allclose(gradient[i, j], slope, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("name", LOSSES)
def test_no_token_kept_gives_zero(name):
    formula, _ = LOSSES[name]
    log_pi, *rest, mask = tokens()
    value, gradient = jax.value_and_grad(formula)(log_pi, *rest, mask & False)
    assert value == 0
    np.testing.assert_array_equal(gradient, 0)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("distance", [-200.0, 200.0])
def test_distant_policies_give_finite_gradients(name, distance):
    formula, _ = LOSSES[name]
    log_pi, log_mu, log_ref, adv, mask = tokens()
    # The divergence from a policy far above would exceed the dtype.
    log_ref = log_mu if distance > 0 else log_mu + distance
    args = log_mu + distance, log_mu, log_ref, np.abs(adv), mask
    value, gradient = jax.value_and_grad(formula)(*args)
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()
