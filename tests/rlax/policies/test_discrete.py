"""Distributions over actions from logits and preferences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rlax

LOGITS = np.array([[1.0, 1.0, 0.0], [1.0, 3.0, 0.0]])


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def test_draws_have_the_frequencies_of_the_probabilities():
    probs = np.array([0.1, 0.2, 0.7])
    keys = jax.random.split(jax.random.key(0), 4000)
    draws = jax.jit(jax.vmap(lambda k: rlax.categorical_sample(k, probs)))(keys)
    np.testing.assert_allclose(np.bincount(draws) / 4000, probs, atol=0.03)


def test_draw_from_invalid_probabilities_is_minus_one():
    bad = [[0, 0], [-1, 2], [np.inf, 1], [np.nan, 1], [0.5, 0.5]]
    draws = rlax.categorical_sample(jax.random.PRNGKey(0), np.array(bad))
    assert (draws[:4] == -1).all()
    assert draws[4] >= 0


def test_greedy_and_epsilon_greedy_share_ties():
    greedy, d = rlax.greedy(), rlax.epsilon_greedy(0.3)
    np.testing.assert_allclose(greedy.probs(LOGITS), [[0.5, 0.5, 0], [0, 1, 0]])
    want = [[0.45, 0.45, 0.1], [0.1, 0.8, 0.1]]
    np.testing.assert_allclose(d.probs(LOGITS), want, rtol=1e-6)
    np.testing.assert_allclose(
        rlax.epsilon_greedy().probs(LOGITS, 0.3), want, rtol=1e-6
    )
    np.testing.assert_allclose(greedy.entropy(LOGITS), [np.log(2), 0], atol=1e-6)
    np.testing.assert_allclose(greedy.logprob([0, 0], LOGITS), [np.log(0.5), -np.inf])
    keys = jax.random.split(jax.random.PRNGKey(0), 20)
    draws = jax.vmap(lambda k: greedy.sample(k, LOGITS))(keys)
    assert set(np.asarray(draws[:, 0])) == {0, 1}
    assert (draws[:, 1] == 1).all()
    p, q = (softmax(np.log(np.array(x))) for x in (want[:1], want[1:]))
    kl = (p * np.log(p / q)).sum(-1)
    np.testing.assert_allclose(d.kl(LOGITS[:1], LOGITS[1:]), kl, rtol=1e-5)
    assert jnp.isinf(greedy.kl(LOGITS[:1], LOGITS[1:])).all()


def test_softmax_and_its_capped_entropy_equal_the_formulas():
    p, q = softmax(LOGITS / 0.5), softmax(LOGITS[::-1] / 0.5)
    entropy = -(p * np.log(p)).sum(-1)
    d = rlax.softmax(0.5)
    np.testing.assert_allclose(d.entropy(LOGITS), entropy, rtol=1e-5)
    kl = (p * np.log(p / q)).sum(-1)
    np.testing.assert_allclose(d.kl(LOGITS, LOGITS[::-1]), kl, rtol=1e-4)
    clipped = rlax.clipped_entropy_softmax(0.5, 0.5)
    limit = 0.5 * np.log(3)
    np.testing.assert_allclose(clipped.entropy(LOGITS), np.minimum(entropy, limit))
    # An impossible action adds nothing, and leaves the gradient finite.
    logits = jnp.array([1.0, -jnp.inf, 0.0])
    np.testing.assert_allclose(d.entropy(logits), d.entropy(logits[::2]), rtol=1e-6)
    assert rlax.categorical_kl_divergence(logits, logits) == 0
    assert jnp.isfinite(jax.grad(d.entropy)(logits)).all()
    assert rlax.categorical_cross_entropy(jnp.array([1.0, 0.0, 0.0]), logits) < 1


DRAWS = {
    "epsilon_greedy": lambda key, x: rlax.epsilon_greedy(0.5).sample(key, x),
    "greedy": lambda key, x: rlax.greedy().sample(key, x),
}


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
@pytest.mark.parametrize("name", DRAWS)
def test_key_draws_the_same_in_half_precision(name, dtype):
    x = jax.random.normal(jax.random.key(1), (64, 5)).astype(dtype)
    half, single = (DRAWS[name](jax.random.key(7), y) for y in (x, x.astype(float)))
    np.testing.assert_array_equal(half, single)
