"""Conjugate gradients and Fisher products beside dense matrices."""

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rlax

SETTINGS = hypothesis.settings(max_examples=25, deadline=None, derandomize=True)
SEEDS = st.integers(0, 2**32 - 1)


def system(seed, n=6):
    random = np.random.default_rng(seed)
    x = random.standard_normal((n, n))
    return (x @ x.T / n + np.eye(n)).astype(np.float32), random.standard_normal(n)


@SETTINGS
@hypothesis.given(seed=SEEDS)
def test_solution_solves_the_system(seed):
    a, b = system(seed)

    def matvec(tree):
        y = a @ jnp.concatenate([tree["x"], tree["y"]])
        return {"x": y[:2], "y": y[2:]}

    tree = {"x": b[:2].astype(np.float32), "y": b[2:].astype(np.float32)}
    x = jax.jit(lambda b: rlax.conjugate_gradient(matvec, b))(tree)
    want = np.linalg.solve(a.astype(float), b)
    have = np.concatenate([x["x"], x["y"]])
    np.testing.assert_allclose(have, want, rtol=2e-4, atol=2e-5)


def test_few_steps_equal_the_textbook():
    a, b = system(0)
    x, r = np.zeros(6), b.copy()
    p = r
    for _ in range(3):
        alpha = (r @ r) / (p @ a @ p)
        x, old, r = x + alpha * p, r, r - alpha * a @ p
        p = r + (r @ r) / (old @ old) * p
    have = rlax.conjugate_gradient(lambda y: a @ y, b.astype(np.float32), iterations=3)
    np.testing.assert_allclose(have, x, rtol=1e-4, atol=1e-5)


def test_solved_systems_stay_and_zero_gives_zero():
    def twice(x):
        return 2 * x

    b = jnp.array([2.0, 4.0])
    for iterations in (1, 2, 100):
        x = rlax.conjugate_gradient(twice, b, iterations=iterations)
        np.testing.assert_allclose(x, b / 2, rtol=1e-6)
    np.testing.assert_array_equal(rlax.conjugate_gradient(twice, 0 * b), 0)
    np.testing.assert_array_equal(rlax.conjugate_gradient(lambda x: 0 * x, b), 0)
    gradient = jax.grad(lambda b: rlax.conjugate_gradient(twice, b).sum())
    np.testing.assert_allclose(gradient(b), 0.5, rtol=1e-5)
    assert np.isfinite(gradient(0 * b)).all()


INPUTS = np.random.default_rng(11).standard_normal((8, 3)).astype(np.float32)


def logits(params):
    return jnp.tanh(INPUTS @ params["w"]) + params["b"]


def mean_kl(old):
    def of(params):
        p = jax.lax.stop_gradient(logits(old))
        return jnp.mean(rlax.categorical_kl_divergence(p, logits(params)))

    return of


def dense_fisher(params):
    """Σ p ∇log p ∇log pᵀ over actions, averaged over inputs, in NumPy."""
    w, b = (np.asarray(params[k], float) for k in "wb")
    total = np.zeros((w.size + b.size,) * 2)
    for x in INPUTS.astype(float):
        h = np.tanh(x @ w)
        p = np.exp(h + b) / np.exp(h + b).sum()
        for a in range(len(b)):
            d_logits = (np.arange(len(b)) == a) - p
            d_w = np.outer(x, d_logits * (1 - h**2))
            score = np.concatenate([d_logits, d_w.ravel()])  # b, then w
            total += p[a] * np.outer(score, score) / len(INPUTS)
    return total


@SETTINGS
@hypothesis.given(seed=SEEDS)
def test_fisher_product_equals_the_dense_matrix(seed):
    random = np.random.default_rng(seed)
    params, vector = (
        {
            "w": random.standard_normal((3, 2)).astype(np.float32),
            "b": random.standard_normal(2).astype(np.float32),
        }
        for _ in range(2)
    )
    have = jax.jit(
        lambda p, v: rlax.fisher_vector_product(mean_kl(p), p, v, damping=0.3)
    )(params, vector)
    flat = np.concatenate([vector["b"], vector["w"].ravel()]).astype(float)
    want = dense_fisher(params) @ flat + 0.3 * flat
    np.testing.assert_allclose(
        np.concatenate([have["b"], have["w"].ravel()]), want, rtol=1e-4, atol=1e-5
    )


def test_natural_gradient_solves_with_the_fisher_matrix():
    params = {"w": 0.3 * np.ones((3, 2), np.float32), "b": np.zeros(2, np.float32)}
    gradient = jax.tree.map(np.ones_like, params)
    kl = mean_kl(params)
    step = rlax.conjugate_gradient(
        lambda v: rlax.fisher_vector_product(kl, params, v), gradient, iterations=8
    )
    matrix = dense_fisher(params) + 0.1 * np.eye(8)
    want = np.linalg.solve(matrix, np.ones(8))
    have = np.concatenate([step["b"], step["w"].ravel()])
    np.testing.assert_allclose(have, want, rtol=1e-3)


def test_bad_input_raises():
    x = jnp.ones(2)
    for iterations in (0, 1.5):
        with pytest.raises(rlax.ContractError, match="iterations must be"):
            rlax.conjugate_gradient(lambda x: x, x, iterations=iterations)
    with pytest.raises(rlax.ContractError, match="tolerance must be at least 0"):
        rlax.conjugate_gradient(lambda x: x, x, tolerance=-1.0)
    with pytest.raises(rlax.ContractError, match="damping must be at least 0"):
        rlax.fisher_vector_product(jnp.sum, x, x, damping=-1.0)
    with pytest.raises(rlax.ContractError, match="vector must have structure"):
        rlax.fisher_vector_product(jnp.sum, x, jnp.ones(3))
