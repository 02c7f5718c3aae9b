"""Policies: distributions, policy gradients, MPO and V-MPO, targets."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rlax

LOGITS = np.array([[1.0, 1.0, 0.0], [1.0, 3.0, 0.0]])


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def test_categorical_sample_frequencies():
    probs = np.array([0.1, 0.2, 0.7])
    keys = jax.random.split(jax.random.key(0), 4000)
    draws = jax.jit(jax.vmap(lambda k: rlax.categorical_sample(k, probs)))(keys)
    np.testing.assert_allclose(np.bincount(draws) / 4000, probs, atol=0.03)


def test_categorical_sample_of_no_distribution_is_minus_one():
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


def test_softmax_family():
    p, q = softmax(LOGITS / 0.5), softmax(LOGITS[::-1] / 0.5)
    entropy = -(p * np.log(p)).sum(-1)
    d = rlax.softmax(0.5)
    np.testing.assert_allclose(d.entropy(LOGITS), entropy, rtol=1e-5)
    kl = (p * np.log(p / q)).sum(-1)
    np.testing.assert_allclose(d.kl(LOGITS, LOGITS[::-1]), kl, rtol=1e-4)
    clipped = rlax.clipped_entropy_softmax(0.5, 0.5)
    limit = 0.5 * np.log(3)
    np.testing.assert_allclose(clipped.entropy(LOGITS), np.minimum(entropy, limit))
    # An impossible action counts nothing, and leaves the gradient finite.
    logits = jnp.array([1.0, -jnp.inf, 0.0])
    np.testing.assert_allclose(d.entropy(logits), d.entropy(logits[::2]), rtol=1e-6)
    assert rlax.categorical_kl_divergence(logits, logits) == 0
    assert jnp.isfinite(jax.grad(d.entropy)(logits)).all()
    assert rlax.categorical_cross_entropy(jnp.array([1.0, 0.0, 0.0]), logits) < 1


def test_gaussians():
    mu, sigma = np.array([[0.5, -1.0]]), np.array([[0.3, 2.0]])
    x = np.array([[0.1, 0.7]])
    z = (x - mu) / sigma
    log_p = (-0.5 * z**2 - np.log(sigma * np.sqrt(2 * np.pi))).sum(-1)
    d = rlax.gaussian_diagonal()
    np.testing.assert_allclose(d.logprob(x, mu, sigma), log_p, rtol=1e-5)
    np.testing.assert_allclose(d.prob(x, mu, sigma), np.exp(log_p), rtol=1e-5)
    entropy = np.log(sigma * np.sqrt(2 * np.pi * np.e)).sum(-1)
    np.testing.assert_allclose(d.entropy(mu, sigma), entropy, rtol=1e-5)
    kl = (-np.log(sigma) + (sigma**2 + mu**2) / 2 - 0.5).sum(-1)
    np.testing.assert_allclose(d.kl_to_standard_normal(mu, sigma), kl, rtol=1e-5)
    np.testing.assert_allclose(d.kl(mu, sigma, 0 * mu, 1.0), kl, rtol=1e-5)
    # One sigma for all, fixed beforehand; the one given to a function comes first.
    fixed = rlax.gaussian_diagonal(0.5)
    np.testing.assert_allclose(fixed.entropy(mu), d.entropy(mu, 0.5))
    np.testing.assert_allclose(fixed.entropy(mu, 0.7), d.entropy(mu, 0.7))
    many = fixed.logprob(np.zeros((4, 2)), mu[0])
    assert many.shape == (4,)
    samples = d.sample(jax.random.key(1), np.zeros((5000, 2)), np.ones((5000, 2)) * 2)
    np.testing.assert_allclose(samples.std(0), [2, 2], rtol=0.05)


class Spec:
    minimum = np.array([-1.0, 0.0])
    maximum = np.array([3.0, 1.0])


@pytest.mark.parametrize("spec", [None, Spec])
def test_squashed_gaussian_density_integrates_to_one(spec):
    d = rlax.squashed_gaussian(-3, 0.5)
    low, high = (-1.0, 1.0) if spec is None else (Spec.minimum[:1], Spec.maximum[:1])
    x = np.linspace(low, high, 20001).reshape(-1, 1)[1:-1]
    one = None
    if spec is not None:
        one = type(
            "One", (), {"minimum": Spec.minimum[:1], "maximum": Spec.maximum[:1]}
        )
    mu, sigma = np.array([0.3]), np.array([0.2])
    density = d.prob(
        x, np.broadcast_to(mu, x.shape), np.broadcast_to(sigma, x.shape), one
    )
    width = (x[1] - x[0]).item()
    np.testing.assert_allclose(np.asarray(density).sum() * width, 1, rtol=1e-3)
    wide = np.zeros((200, 2))
    samples = d.sample(jax.random.PRNGKey(0), wide, wide + 2, spec)
    lows, highs = (-1, 1) if spec is None else (Spec.minimum, Spec.maximum)
    assert (samples >= lows).all()
    assert (samples <= highs).all()
    assert samples.std() > 0.1


def test_importance_ratios():
    a = np.array([0, 1])
    have = rlax.categorical_importance_sampling_ratios(LOGITS, -LOGITS, a)
    want = softmax(LOGITS)[[0, 1], a] / softmax(-LOGITS)[[0, 1], a]
    np.testing.assert_allclose(have, want, rtol=1e-5)


def test_policy_gradient_losses():
    p, q = softmax(LOGITS), np.array([[1.0, 2.0, 4.0], [0.0, -1.0, 3.0]])
    a, adv, w = np.array([2, 0]), np.array([1.5, -0.5]), np.array([1.0, 0.25])
    log_p = np.log(p[[0, 1], a])
    have = rlax.policy_gradient_loss(LOGITS, a, adv, w)
    np.testing.assert_allclose(have, -(w * adv * log_p).mean(), rtol=1e-5)
    entropy = -(p * np.log(p)).sum(-1)
    np.testing.assert_allclose(
        rlax.entropy_loss(LOGITS, w), -(w * entropy).mean(), rtol=1e-5
    )
    regret = np.maximum(q - (p * q).sum(-1, keepdims=True), 0)
    np.testing.assert_allclose(rlax.qpg_loss(LOGITS, q), 0, atol=1e-6)
    np.testing.assert_allclose(
        rlax.rm_loss(LOGITS, q), -(p * regret).sum(-1).mean(), rtol=1e-5
    )
    np.testing.assert_allclose(
        rlax.rpg_loss(LOGITS, q), regret.sum(-1).mean(), rtol=1e-5
    )
    ratio = np.array([0.5, 1.4])
    surrogate = np.minimum(ratio * adv, np.clip(ratio, 0.8, 1.2) * adv)
    have = rlax.clipped_surrogate_pg_loss(ratio, adv, 0.2)
    np.testing.assert_allclose(have, -surrogate.mean(), rtol=1e-5)


def test_masked_losses_average_over_the_steps_that_count():
    mask = np.array([1, 0])
    a, one, two = np.array([2, 0]), np.ones(2), LOGITS**2

    def pg(n, **k):
        return rlax.policy_gradient_loss(LOGITS[:n], a[:n], one[:n], one[:n], **k)

    losses = {
        "pg": pg,
        "entropy": lambda n, **k: rlax.entropy_loss(LOGITS[:n], one[:n], **k),
        "rm": lambda n, **k: rlax.rm_loss(LOGITS[:n], two[:n], **k),
        "ppo": lambda n, **k: rlax.clipped_surrogate_pg_loss(
            one[:n], one[:n], 0.2, **k
        ),
    }
    for name, loss in losses.items():
        np.testing.assert_allclose(loss(2, mask_t=mask), loss(1), err_msg=name)
        assert loss(2, mask_t=0 * mask) == 0


LOSSES_OF_STEPS = {  # of logits, action values, and two numbers for every step
    "policy_gradient_loss": lambda x, q, y, z, **k: rlax.policy_gradient_loss(
        x, np.array([2, 0, 1])[: len(x)], y, z, False, **k
    ),
    "entropy_loss": lambda x, q, y, z, **k: rlax.entropy_loss(x, y, **k),
    "qpg_loss": lambda x, q, y, z, **k: rlax.qpg_loss(x, q, False, **k),
    "rm_loss": lambda x, q, y, z, **k: rlax.rm_loss(x, q, False, **k),
    "rpg_loss": lambda x, q, y, z, **k: rlax.rpg_loss(x, q, False, **k),
    "clipped_surrogate_pg_loss": lambda x, q, y, z, **k: rlax.clipped_surrogate_pg_loss(
        y, z, 0.2, False, **k
    ),
}


@pytest.mark.parametrize("name", LOSSES_OF_STEPS)
def test_masked_nan_reaches_neither_loss_nor_gradient(name):
    of_all = jax.value_and_grad(LOSSES_OF_STEPS[name], (0, 1, 2, 3))
    x = np.array([[1.0, 1.0, 0.0], [1.0, 3.0, 0.0], [np.nan] * 3], np.float32)
    y, z = np.array([0.5, 1.4, np.nan]), np.array([1.5, -0.5, np.inf])
    steps = x, x**2, y, z
    loss, gradients = of_all(*steps, mask_t=np.array([True, True, False]))
    loss_of_kept, gradients_of_kept = of_all(*(x[:2] for x in steps))
    np.testing.assert_allclose(loss, loss_of_kept, rtol=1e-6)
    for have, want in zip(gradients, gradients_of_kept, strict=True):
        np.testing.assert_allclose(have[:2], want, rtol=1e-6, atol=1e-7)
        np.testing.assert_array_equal(have[2], 0)


def test_dpg_loss():
    a, g = jnp.array([1.0, 2.0]), jnp.array([3.0, 4.0])
    np.testing.assert_allclose(rlax.dpg_loss(a, g), [4.5, 8.0])
    grad = jax.grad(lambda a: rlax.dpg_loss(a, g, 1.0).sum())(a)
    np.testing.assert_allclose(grad, [-0.6, -0.8], rtol=1e-6)
    flat = jax.grad(lambda g: rlax.dpg_loss(a, g, 1.0, False).sum())(0 * g)
    assert jnp.isfinite(flat).all()


def test_mpo_weights():
    q = np.array([[1.0, 0.0], [2.0, 0.0]])
    eta = rlax.LagrangePenalty(0.5, 0.1)
    for axis in (0, 1, -1):
        loss, weights, n = rlax.mpo_compute_weights_and_temperature_loss(
            q, eta, lambda x: x, axis
        )
        e = np.exp(2 * q)
        np.testing.assert_allclose(weights, e / e.sum(axis, keepdims=True), rtol=1e-5)
        want = 0.5 * (0.1 + np.log(np.exp(2 * q).mean(axis)))
        np.testing.assert_allclose(loss, want, rtol=1e-5)
        assert n == 2
    loss, parts = rlax.mpo_loss(q, q, eta, [])
    np.testing.assert_allclose(loss, parts.policy_loss + parts.temperature_loss)


def test_mpo_temperature_gradient():
    q = jnp.array([[1.0, 0.0, -2.0], [2.0, 0.5, 3.0]])

    def loss(q, temperature):
        eta = rlax.LagrangePenalty(temperature, 0.1)
        return rlax.mpo_compute_weights_and_temperature_loss(q, eta, lambda x: x)[0]

    def formula(q, temperature):
        return temperature * (0.1 + jnp.log(jnp.mean(jnp.exp(q / temperature), 0)))

    for argnum in (0, 1):
        have = jax.jacrev(loss, argnum)(q, 0.5)
        want = jax.jacrev(formula, argnum)(q, 0.5)
        np.testing.assert_allclose(have, want, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("stopped", [True, False])
@pytest.mark.parametrize("loss", [rlax.qpg_loss, rlax.rm_loss])
def test_losses_over_all_actions_leave_the_critic_alone(loss, stopped):
    gradient = jax.grad(lambda q: loss(LOGITS, q, stopped).sum())(LOGITS + 1)
    np.testing.assert_array_equal(gradient, 0)


def test_vmpo_weights():
    advantages = np.array([3.0, 1.0, 2.0, -1.0])
    restart = np.array([1.0, 1.0, 0.0, 1.0])
    importance = np.array([1.0, 0.5, 1.0, 2.0])
    eta = rlax.LagrangePenalty(2.0, 0.1)
    loss, weights, n = rlax.vmpo_compute_weights_and_temperature_loss(
        advantages, restart, importance, eta, lambda x: x, 0.5
    )
    u = np.array([np.exp(1.5), 0.5 * np.exp(0.5), 0, 0])
    np.testing.assert_allclose(weights, u / u.sum(), rtol=1e-5)
    assert n == 2
    np.testing.assert_allclose(loss, 2 * (0.1 + np.log(u.sum() / 2)), rtol=1e-5)
    # Far below 0 the exponentials must not vanish, as they would beside a masked 0.
    low, low_weights, _ = rlax.vmpo_compute_weights_and_temperature_loss(
        advantages - 1e4, restart, importance, eta, lambda x: x, 1.0
    )
    assert np.isfinite(low)
    np.testing.assert_allclose(low_weights.sum(), 1, rtol=1e-5)
    nothing = rlax.vmpo_compute_weights_and_temperature_loss(
        advantages, 0 * restart, importance, eta, lambda x: x, 1.0
    )
    np.testing.assert_allclose(nothing[0], 0.2, rtol=1e-5)
    assert not nothing[1].any()


def test_vmpo_over_devices_is_vmpo_over_all():
    random = np.random.default_rng(0)
    log_p, adv = random.standard_normal((2, 2, 3, 2)).astype(np.float32)
    eta = rlax.LagrangePenalty(0.7, 0.1)
    kl = [(jnp.float32(0.3), rlax.LagrangePenalty(0.2, 0.1))]

    def loss(axis_name):
        return lambda *x: rlax.vmpo_loss(*x, eta, kl, axis_name=axis_name)

    spread = jax.vmap(loss("i"), axis_name="i")(log_p, adv)
    whole = loss(None)(log_p.reshape(6, 2), adv.reshape(6, 2))
    for x, y in zip(jax.tree.leaves(spread), jax.tree.leaves(whole)):
        if y.ndim:
            np.testing.assert_allclose(x.reshape(y.shape), y, rtol=1e-5, atol=1e-6)
        else:
            np.testing.assert_allclose(x, np.full(2, y), rtol=1e-5)

    # Its gradient too: `pmax` has none, so the largest must not ask for one.
    def by_temperature(axis_name):
        def temperature_loss(alpha, *x):
            given = rlax.LagrangePenalty(alpha, 0.1)
            return rlax.vmpo_loss(*x, given, kl, axis_name=axis_name)[0].mean()

        return jax.grad(temperature_loss)

    spread = jax.vmap(by_temperature("i"), (None, 0, 0), axis_name="i")(0.7, log_p, adv)
    whole = by_temperature(None)(0.7, log_p.reshape(6, 2), adv.reshape(6, 2))
    np.testing.assert_allclose(spread.mean(), whole, rtol=1e-4)


class Standard:
    """A distribution with distrax's interface."""

    batch_shape, event_shape = (4,), (3,)

    def sample(self, *, seed, sample_shape):
        return jax.random.normal(seed, (*sample_shape, 4, 3))

    def log_prob(self, value):
        return -0.5 * jnp.square(value).sum(-1)


def test_policy_targets():
    d, key = Standard(), jax.random.PRNGKey(0)
    targets = rlax.constant_policy_targets(d, key, 5, 0.5)
    assert targets.actions.shape == (5, 4, 3)
    np.testing.assert_array_equal(targets.weights, np.full((5, 4), 0.5))
    loss = rlax.sampled_policy_distillation_loss(d, targets)
    want = 0.25 * jnp.square(targets.actions).sum(-1).mean()
    np.testing.assert_allclose(loss, want, rtol=1e-5)
    # The reference fails where weights_scale comes by position.
    assert not rlax.zero_policy_targets(d, key, 5, 0.0).weights.any()
    wrong = targets.replace(weights=targets.weights[0])
    with pytest.raises(ValueError, match="log_prob of actions"):
        rlax.sampled_policy_distillation_loss(d, wrong)
