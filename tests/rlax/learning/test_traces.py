"""Eligibility traces beside their formulas."""

import jax
import numpy as np
import pytest
from numpy_formulas import close

import rlax

RANDOM = np.random.default_rng(6)
Z, G = ({"w": RANDOM.standard_normal((2, 3)), "b": np.array([0.3, 0.0])} for _ in "ab")
G["w"][0] = 0
D, L, STEP = 0.9, 0.7, 0.1


@pytest.mark.parametrize("kind", ["accumulating", "replacing", "dutch"])
def test_trace_equals_the_formula(kind):
    dot = sum(np.sum(D * L * Z[k] * G[k]) for k in Z)
    want = {
        k: {
            "accumulating": D * L * Z[k] + G[k],
            "replacing": np.where(G[k] != 0, G[k], D * L * Z[k]),
            "dutch": D * L * Z[k] + (1 - STEP * dot) * G[k],
        }[kind]
        for k in Z
    }

    def trace(z, g):
        return rlax.eligibility_trace(z, g, D, L, kind=kind, step_size=STEP)

    close(jax.jit(trace)(Z, G), want)


def test_dutch_trace_gives_the_offline_returns():
    """True online TD(λ), whose last weights are those of the λ-return algorithm."""
    features, rewards = RANDOM.standard_normal((6, 4)), RANDOM.standard_normal(5)
    alpha, gamma, lambda_ = 0.1, 0.9, 0.8
    w, z, v_old = np.zeros(4), np.zeros(4), 0.0
    for x, x_next, r in zip(features, features[1:], rewards):
        z = rlax.eligibility_trace(z, x, gamma, lambda_, kind="dutch", step_size=alpha)
        z = np.asarray(z, float)
        v, v_next = w @ x, w @ x_next
        delta = r + gamma * v_next - v
        w = w + alpha * (delta + v - v_old) * z - alpha * (v - v_old) * x
        v_old = v_next
    # The online λ-return algorithm: for each horizon, from the start anew.
    old = [np.zeros(4)]
    for horizon in range(1, 6):
        new = np.zeros(4)
        for t in range(horizon):
            g = old[horizon - 1] @ features[horizon]
            for k in reversed(range(t, horizon)):
                v = old[k] @ features[k + 1]
                mix = g if k == horizon - 1 else (1 - lambda_) * v + lambda_ * g
                g = rewards[k] + gamma * mix
            new = new + alpha * (g - new @ features[t]) * features[t]
        old.append(new)
    np.testing.assert_allclose(w, old[-1], rtol=1e-4)


def test_bad_input_raises():
    with pytest.raises(rlax.ContractError, match="kind must be 'accumulating', "):
        rlax.eligibility_trace(Z, G, D, L, kind="other")
    with pytest.raises(rlax.ContractError, match="needs step_size"):
        rlax.eligibility_trace(Z, G, D, L, kind="dutch")
    with pytest.raises(rlax.ContractError, match="gradient must have structure"):
        rlax.eligibility_trace(Z, Z["w"], D, L)
    with pytest.raises(rlax.ContractError, match="gradient must have structure"):
        rlax.eligibility_trace(Z["w"], Z["w"][0], D, L)
    with pytest.raises(rlax.ContractError, match=r"lambda_ must be in \[0, 1\]"):
        rlax.eligibility_trace(Z, G, D, 1.5)
