"""Improved policies beside their formulas in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy_formulas import equal

import rlax

RANDOM = np.random.default_rng(6)
A = 5
LOGITS, Q = RANDOM.standard_normal((2, A))
VISITS = {
    "some": np.array([3.0, 0, 1, 0, 7]),
    "all": np.array([3.0, 2, 1, 1, 7]),
    "none": np.zeros(A),
}


def softmax(x):
    e = np.exp(x - x.max())
    return e / e.sum()


def improved(logits, q, v, visits, rescale, mixed, scale=0.1, offset=50.0):
    visited, n, pi = visits > 0, visits.sum(), softmax(logits)
    if mixed:
        total = pi[visited].sum()
        mean = (pi * q)[visited].sum() / total if visited.any() else 0
        v = (v + n * mean) / (1 + n)
    q = np.where(visited, q, v)
    if rescale:
        q = (q - q.min()) / max(q.max() - q.min(), 1e-8)
    return softmax(logits + (offset + visits.max()) * scale * q)


@pytest.mark.parametrize("mixed", [True, False])
@pytest.mark.parametrize("rescale", [True, False])
@pytest.mark.parametrize("name", VISITS)
def test_gumbel_policy_equals_its_formula(name, rescale, mixed):
    visits, options = VISITS[name], {"rescale": rescale, "mixed_value": mixed}

    def op(logits, q, v):
        return rlax.gumbel_improved_policy(logits, q, visits, v, **options)

    def formula(logits, q, v):
        return improved(logits, q, v, visits, rescale, mixed)

    if name == "none":
        have = op(LOGITS, Q, 0.2)
        np.testing.assert_allclose(have, softmax(LOGITS), rtol=1e-5)
        x = map(jnp.asarray, (LOGITS, Q, 0.2))
        gradients = jax.grad(lambda *x: op(*x)[0], (0, 1, 2))(*x)
        assert all(np.isfinite(gradient).all() for gradient in gradients)
    else:
        reached = (0, 1, 2) if name == "some" else (0, 1)
        equal(op, formula, LOGITS, Q, 0.2, grads=reached)


def test_values_without_visits_are_not_read():
    def loss(q):
        return rlax.gumbel_improved_policy(LOGITS, q, VISITS["some"], 0.2)[0]

    q = np.where(VISITS["some"] > 0, Q, np.nan).astype(np.float32)
    value, gradient = jax.value_and_grad(loss)(jnp.asarray(q))
    np.testing.assert_array_equal(value, loss(Q.astype(np.float32)))
    assert np.isfinite(gradient).all()


def test_invalid_actions_stay_at_zero():
    logits = np.array([0.5, -np.inf, 1.0, -np.inf, 0.0], np.float32)
    have = rlax.gumbel_improved_policy(logits, Q, VISITS["some"], 0.2)
    np.testing.assert_array_equal(np.asarray(have)[[1, 3]], 0)
    np.testing.assert_allclose(have.sum(), 1, rtol=1e-6)
    want = improved(logits.astype(float), Q, 0.2, VISITS["some"], True, True)
    np.testing.assert_allclose(have, want, rtol=1e-5)
    have = rlax.cmpo_policy(logits, Q)
    np.testing.assert_array_equal(np.asarray(have)[[1, 3]], 0)


def test_extreme_logits_are_finite():
    logits = jnp.array([1e4, -1e4, 0.0])
    for visits in ([0, 5, 0], [1, 1, 1], [0, 0, 0]):

        def loss(logits, q, visits=visits):
            return rlax.gumbel_improved_policy(logits, q, visits, 0.0)[0]

        value, gradient = jax.value_and_grad(loss, (0, 1))(logits, jnp.ones(3))
        assert np.isfinite(value)
        assert all(np.isfinite(x).all() for x in gradient)


def test_whole_numbers_are_visits_in_every_dtype():
    for dtype in (jnp.float32, jnp.bfloat16, jnp.float16):
        logits, q = jnp.asarray(LOGITS, dtype), jnp.asarray(Q, dtype)
        for visits in VISITS.values():
            whole = visits.astype(np.int32)
            have = rlax.gumbel_improved_policy(logits, q, whole, dtype(0.2))
            assert have.dtype == dtype
            assert np.isfinite(np.asarray(have, np.float32)).all()


@pytest.mark.parametrize("clip", [0.5, 1.0])
def test_cmpo_policy_equals_its_formula(clip):
    def formula(logits, adv):
        return softmax(logits + np.clip(adv, -clip, clip))

    def op(logits, adv):
        return rlax.cmpo_policy(logits, adv, clip=clip)

    equal(op, formula, LOGITS, Q)


X = np.ones(3, np.float32)
BAD = {
    "gumbel_improved_policy: q_t has shape": lambda: rlax.gumbel_improved_policy(
        X, X[:2], X, 0.0
    ),
    "visits must be at least 0, got -1": lambda: rlax.gumbel_improved_policy(
        X, X, np.array([0, -1, 2]), 0.0
    ),
    "A would be 0": lambda: rlax.gumbel_improved_policy(X[:0], X[:0], X[:0], 0.0),
    "value_scale must be at least 0": lambda: rlax.gumbel_improved_policy(
        X, X, X, 0.0, value_scale=-1.0
    ),
    "visit_offset must": lambda: rlax.gumbel_improved_policy(
        X, X, X, 0.0, visit_offset=-1.0
    ),
    "gumbel_improved_policy: epsilon": lambda: rlax.gumbel_improved_policy(
        X, X, X, 0.0, epsilon=-1.0
    ),
    "cmpo_policy: clip must be at least 0": lambda: rlax.cmpo_policy(X, X, clip=-1.0),
    "cmpo_policy: adv_t": lambda: rlax.cmpo_policy(X, X[:2]),
}


@pytest.mark.parametrize("message", BAD)
def test_bad_argument_raises_an_error_that_names_it(message):
    with pytest.raises(rlax.ContractError, match=message):
        BAD[message]()
