"""The rules as functions: beside NumPy, under jit and vmap, and their bad inputs."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import haiku as hk

LOGITS = np.random.default_rng(0).standard_normal((3, 7)).astype(np.float32)
SEEN = np.random.default_rng(1).random((3, 7)) < 0.5
RULES = {
    "temperature": (hk.generation.temperature, 0.7),
    "top_k": (hk.generation.top_k, 3),
    "top_p": (hk.generation.top_p, 0.6),
    "min_p": (hk.generation.min_p, 0.3),
    "repetition_penalty": (
        lambda x, p: hk.generation.repetition_penalty(x, SEEN[: len(x)], p),
        1.5,
    ),
}


def probabilities(x):
    e = np.exp(x - x.max())
    return e / e.sum()


def by_hand(name, x, value, seen):
    """One row, by loops."""
    if name == "temperature":
        return x / value
    if name == "repetition_penalty":
        less = [y / value if y > 0 else y * value for y in x]
        return np.where(seen, less, x)
    order = np.argsort(-x)
    p = probabilities(x)
    if name == "top_k":
        stays = set(order[:value].tolist())
    elif name == "min_p":
        stays = {i for i in range(len(x)) if p[i] >= value * p.max()}
    else:
        stays, total = set(), 0.0
        for i in order.tolist():
            if total >= value and stays:
                break
            stays.add(i)
            total += p[i]
    return np.array([y if i in stays else -np.inf for i, y in enumerate(x)])


@pytest.mark.parametrize("name", RULES)
def test_beside_loops(name):
    rule, value = RULES[name]
    want = [by_hand(name, x, value, seen) for x, seen in zip(LOGITS, SEEN)]
    np.testing.assert_allclose(rule(jnp.asarray(LOGITS), value), want, rtol=1e-6)


@pytest.mark.parametrize("name", RULES)
def test_under_jit_with_a_traced_number(name):
    rule, value = RULES[name]
    want = rule(jnp.asarray(LOGITS), value)
    np.testing.assert_allclose(jax.jit(rule)(LOGITS, value), want, rtol=1e-6)


@pytest.mark.parametrize("name", [x for x in RULES if x != "repetition_penalty"])
def test_under_vmap(name):
    rule, value = RULES[name]
    rows = jax.vmap(functools.partial(rule))(jnp.asarray(LOGITS), jnp.full(3, value))
    np.testing.assert_allclose(rows, rule(jnp.asarray(LOGITS), value), rtol=1e-6)


@pytest.mark.parametrize("name", RULES)
def test_keeps_bfloat16(name):
    rule, value = RULES[name]
    assert rule(jnp.asarray(LOGITS, jnp.bfloat16), value).dtype == jnp.bfloat16


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("temperature", 0, "temperature must be above 0, got 0"),
        ("temperature", -1.0, "above 0, got -1.0"),
        ("top_k", 0, "k must be an integer of at least 1, got 0"),
        ("top_k", 1.5, "k must be an integer"),
        ("top_k", True, "k must be an integer"),
        ("top_p", 0.0, "p must be above 0 and at most 1, got 0.0"),
        ("top_p", 1.1, "p must be above 0 and at most 1, got 1.1"),
        ("top_p", float("nan"), "p must be above 0 and at most 1, got nan"),
        ("min_p", -0.1, "p must be from 0 to 1, got -0.1"),
        ("repetition_penalty", 0.0, "penalty must be above 0, got 0.0"),
        ("top_k", "many", "k must be an integer of at least 1, got 'many'"),
    ],
)
def test_bad_numbers(name, value, message):
    with pytest.raises(ValueError, match=message):
        RULES[name][0](jnp.asarray(LOGITS), value)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.01, 1.0))
def test_top_p_keeps_at_least_that_much(seed, p):
    x = np.random.default_rng(seed).standard_normal(9).astype(np.float32) * 3
    stays = np.isfinite(hk.generation.top_p(jnp.asarray(x), p))
    held = probabilities(x)
    assert held[stays].sum() >= p - 1e-5
    assert stays[np.argmax(x)]
    least = np.where(stays, held, np.inf).min()
    assert held[stays].sum() - least < p + 1e-5  # one fewer would be too few
