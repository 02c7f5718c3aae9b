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


MASKED = rlax.masked_softmax(0.7)
P, Q = np.random.default_rng(14).standard_normal((2, 4, 3)).astype(np.float32)
LEGAL = np.array([[1, 0, 1], [1, 1, 1], [0, 1, 0], [0, 0, 0]], bool)


def legal_alone(f, *logits):
    """f of each row's legal logits, over the temperature; 0 where there is none."""
    rows = zip(LEGAL, *(np.asarray(x, float) / 0.7 for x in logits))
    return [f(*(x[m] for x in xs)) if m.any() else 0.0 for m, *xs in rows]


def log_softmax(x):
    return x - x.max() - np.log(np.exp(x - x.max()).sum())


@pytest.mark.parametrize("garbage", [0.0, np.nan, np.inf, -np.inf, 1e4])
def test_illegal_actions_do_not_count(garbage):
    p, q = (np.where(LEGAL, x, garbage).astype(np.float32) for x in (P, Q))
    for have, f, logits in (
        (
            MASKED.entropy(p, LEGAL),
            lambda x: -np.exp(log_softmax(x)) @ log_softmax(x),
            [P],
        ),
        (
            MASKED.kl(p, q, LEGAL),
            lambda x, y: np.exp(log_softmax(x)) @ (log_softmax(x) - log_softmax(y)),
            [P, Q],
        ),
    ):
        np.testing.assert_allclose(have, legal_alone(f, *logits), rtol=1e-5, atol=1e-6)
    probs = MASKED.probs(p, LEGAL)
    assert not np.any(np.asarray(probs)[~LEGAL])
    np.testing.assert_allclose(probs.sum(-1), [1, 1, 1, 0], rtol=1e-6)
    log_p = MASKED.logprob(np.array([2, 1, 0, 1]), p, LEGAL)
    np.testing.assert_allclose(np.exp(log_p), [probs[0, 2], probs[1, 1], 0, 0])
    samples = MASKED.sample(jax.random.key(0), np.tile(p, (50, 1, 1)), LEGAL)
    assert np.all(samples[:, 3] == -1)
    assert all(
        LEGAL[i, a] for row in np.asarray(samples)[:, :3] for i, a in enumerate(row)
    )

    def total(p, q):
        picked = MASKED.logprob(np.array([2, 1, 1, 1]), p, LEGAL)
        out = picked[:3].sum() + MASKED.entropy(p, LEGAL).sum()
        return out + MASKED.kl(p, q, LEGAL).sum() + MASKED.probs(p, LEGAL)[0, 0]

    for g in jax.grad(total, (0, 1))(p, q):
        assert np.isfinite(g).all()
        assert not g[~LEGAL].any()


def test_masked_gradient_is_that_of_the_legal_logits():
    def alone(x):
        return rlax.softmax(0.7).entropy(x)

    gradient = jax.grad(lambda x: MASKED.entropy(x, LEGAL[0]))(P[0])
    np.testing.assert_allclose(
        gradient[LEGAL[0]], jax.grad(alone)(P[0][LEGAL[0]]), 1e-5
    )


def test_several_actions_are_those_of_each():
    d, sizes = rlax.multi_discrete([2, 4, 1]), (2, 4, 1)
    p, q = np.random.default_rng(15).standard_normal((2, 5, 7)).astype(np.float32)
    parts = [np.split(x, [2, 6], axis=-1) for x in (p, q)]
    one, action = rlax.softmax(), np.array([[1, 3, 0], [0, 2, 0], [1, 0, 0], [0, 0, 0]])
    action = np.concatenate([action, action[:1]])
    for have, want in (
        (d.entropy(p), sum(map(one.entropy, parts[0]))),
        (d.kl(p, q), sum(map(one.kl, *parts))),
        (
            d.logprob(action, p),
            sum(one.logprob(action[:, i], x) for i, x in enumerate(parts[0])),
        ),
    ):
        np.testing.assert_allclose(have, want, rtol=1e-5)
    assert [x.shape for x in d.probs(p)] == [(5, n) for n in sizes]
    samples = d.sample(jax.random.key(0), np.tile(p, (2000, 1, 1)))
    assert samples.shape == (2000, 5, 3)
    share = (np.asarray(samples)[:, 0, 1, None] == np.arange(4)).mean(0)
    np.testing.assert_allclose(share, d.probs(p)[1][0], atol=0.05)


def test_bad_masks_and_sizes_raise():
    with pytest.raises(rlax.ContractError, match="temperature must be above 0"):
        rlax.masked_softmax(0.0)
    with pytest.raises(rlax.ContractError, match="mask has shape"):
        MASKED.probs(P, LEGAL[:, :2])
    with pytest.raises(rlax.ContractError, match="sample must be in 0 .. 2"):
        MASKED.logprob(np.array([0, 0, 0, 3]), P, LEGAL)
    for sizes in ([], [2, 0], [1.5]):
        with pytest.raises(rlax.ContractError, match="multi_discrete: sizes must"):
            rlax.multi_discrete(sizes)
    d = rlax.multi_discrete([2, 4])
    with pytest.raises(rlax.ContractError, match="logits must end in an axis of 6"):
        d.entropy(np.ones(5, np.float32))
    with pytest.raises(rlax.ContractError, match="sample must end in an axis of 2"):
        d.logprob([0], np.ones(6, np.float32))
    with pytest.raises(
        rlax.ContractError, match="multi_discrete.*logprob: sample must"
    ):
        d.logprob([0, 4], np.ones(6, np.float32))
