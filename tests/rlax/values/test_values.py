"""Values: TD errors, categorical and quantile losses, transforms, control rewards."""

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rlax

SETTINGS = hypothesis.settings(max_examples=20, deadline=None, derandomize=True)
SEEDS = st.integers(0, 2**32 - 1)
R, G = 0.5, 0.9
Q0, Q1 = np.array([1.0, 2.0, 3.0]), np.array([4.0, 6.0, 5.0])


def test_one_step_targets():
    """Each op's next value, written out."""

    def at(v):
        return R + G * v - Q0[1]

    errors = {
        "sarsa": (rlax.sarsa(Q0, 1, R, G, Q1, 2), at(5)),
        "expected_sarsa": (
            rlax.expected_sarsa(Q0, 1, R, G, Q1, np.array([0.5, 0.25, 0.25])),
            at(4.75),
        ),
        "q_learning": (rlax.q_learning(Q0, 1, R, G, Q1), at(6)),
        "double_q": (rlax.double_q_learning(Q0, 1, R, G, Q1, -Q1), at(4)),
        "persistent": (
            rlax.persistent_q_learning(Q0, 2, R, G, Q1, 0.25),
            R + G * (0.75 * 6 + 0.25 * 5) - 3,
        ),
        "qv": (rlax.qv_learning(Q0, 1, R, G, 7.0), at(7)),
        "qv_max": (rlax.qv_max(2.0, R, G, Q1), at(6)),
        "td": (rlax.td_learning(2.0, R, G, 7.0), at(7)),
    }
    for name, (have, want) in errors.items():
        np.testing.assert_allclose(have, want, rtol=1e-6, err_msg=name)


@pytest.mark.parametrize("stop", [True, False])
def test_target_gradient(stop):
    grads = jax.grad(rlax.td_learning, (0, 1, 2, 3))(2.0, R, G, 7.0, stop)
    np.testing.assert_allclose(grads, [-1, 0, 0, 0] if stop else [-1, 1, 7, G])


def project_loop(z_p, probs, z_q):
    out = np.zeros(len(z_q))
    for z, p in zip(np.clip(z_p, z_q[0], z_q[-1]), probs):
        for i, atom in enumerate(z_q):
            if i and z_q[i - 1] <= z <= atom:
                share = (z - z_q[i - 1]) / (atom - z_q[i - 1])
                out[i - 1] += p * (1 - share)
                out[i] += p * share
                break
    return out


project = jax.jit(rlax.categorical_l2_project)


@SETTINGS
@hypothesis.given(seed=SEEDS)
def test_projection(seed):
    random = np.random.default_rng(seed)
    z_p, probs = 3 * random.standard_normal(6), random.standard_normal(6)
    z_q = np.cumsum(0.1 + random.random(5)) - 2
    f32 = [x.astype(np.float32) for x in (z_p, probs, z_q)]
    have = project(*f32)
    np.testing.assert_allclose(have, project_loop(*f32), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(have.sum(), f32[1].sum(), rtol=1e-4, atol=1e-4)


def test_projection_onto_itself_and_onto_one_atom():
    z, p = np.linspace(-1, 1, 5), np.array([0.1, 0.2, 0.3, 0.4, 0.0])
    np.testing.assert_allclose(rlax.categorical_l2_project(z, p, z), p, atol=1e-7)
    np.testing.assert_allclose(rlax.categorical_l2_project(z, p, z[:1]), [1.0])
    unsorted = jnp.array([1.0, 0.0])
    assert jnp.isnan(rlax.categorical_l2_project(z, p, unsorted)).all()


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
def test_quantile_regression(kappa):
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
        # The own derivative rule beside finite differences.
        for i, g in enumerate(grad(*args)):
            for j in range(len(g)):
                moved = [[x.copy() for x in args] for _ in range(2)]
                moved[0][i][j] += 1e-5
                moved[1][i][j] -= 1e-5
                up, down = (quantile_loop(*m, kappa) for m in moved)
                np.testing.assert_allclose(
                    g[j], (up - down) / 2e-5, rtol=1e-3, atol=1e-3
                )


def test_quantile_sums_are_the_same_on_any_backend(monkeypatch):
    random = np.random.default_rng(0)
    args = random.random((3, 6)).astype(np.float32)

    def all_of(*x):
        value, grads = jax.value_and_grad(rlax.quantile_regression_loss, (0, 1, 2))(*x)
        forward = jax.jvp(rlax.quantile_regression_loss, x, x)[1]
        return value, *grads, forward

    here = all_of(*args)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    for x, y in zip(here, all_of(*args)):
        np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-6)


def test_quantile_expected_sarsa_is_a_mixture():
    random = np.random.default_rng(0)
    d0, d1 = random.standard_normal((2, 4, 3)).astype(np.float32)
    tau, probs = np.linspace(0.1, 0.9, 4), np.array([0.2, 0.5, 0.3])
    have = rlax.quantile_expected_sarsa(d0, tau, 1, R, G, d1, probs, 0.5)
    want = sum(
        p * quantile_loop(d0[:, 1], tau, R + G * d1[:, a], 0.5)
        for a, p in enumerate(probs)
    )
    np.testing.assert_allclose(have, want, rtol=1e-5)


def test_pairs_are_inverse():
    x = jnp.linspace(-3, 3, 13)
    for pair in (
        *(rlax.IDENTITY_PAIR, rlax.SIGNED_LOGP1_PAIR, rlax.SIGNED_HYPERBOLIC_PAIR),
        rlax.HYPERBOLIC_SIN_PAIR,
        rlax.TxPair(lambda x: rlax.power(x, 2.0), lambda x: rlax.power(x, 0.5)),
        rlax.compose_tx(rlax.SIGNED_LOGP1_PAIR, rlax.HYPERBOLIC_SIN_PAIR),
        rlax.compose_tx(),
    ):
        np.testing.assert_allclose(
            pair.apply_inv(pair.apply(x)), x, rtol=2e-3, atol=1e-3
        )
    p = jnp.linspace(0.1, 0.9, 5)
    pair = rlax.DISCOUNT_TRANSFORM_PAIR
    np.testing.assert_allclose(pair.apply_inv(pair.apply(p)), p, rtol=1e-5)
    np.testing.assert_allclose(rlax.sigmoid(rlax.logit(p)), p, rtol=1e-5)


def test_hyperbolic_transform_in_half_precision():
    """Its inverse would lose every digit if it were computed in bfloat16."""
    x = jnp.linspace(-2, 2, 9, dtype=jnp.bfloat16)
    exact = rlax.signed_parabolic(x.astype(jnp.float32))
    np.testing.assert_allclose(
        rlax.signed_parabolic(x).astype(jnp.float32), exact, rtol=0.01, atol=0.01
    )


def test_two_hot_pairs():
    x = jnp.array([-7.0, -1.3, 0.0, 0.25, 9.0])
    pair = rlax.twohot_pair(-2.0, 2.0, 9)
    probs = pair.apply(x)
    assert probs.shape == (5, 9)
    np.testing.assert_allclose(probs.sum(-1), 1, rtol=1e-5)
    assert ((probs > 0).sum(-1) <= 2).all()
    np.testing.assert_allclose(pair.apply_inv(probs), jnp.clip(x, -2, 2), atol=1e-4)
    # The mean of an unbiased encoding is the mean of the scalars.
    unbiased = rlax.unbiased_transform_pair(-3.0, 3.0, 7, rlax.SIGNED_LOGP1_PAIR)
    mixed = unbiased.apply(jnp.array([1.0, 12.0])).mean(0)
    np.testing.assert_allclose(unbiased.apply_inv(mixed), [6.5], rtol=1e-4)
    muzero = rlax.muzero_pair(-3.0, 3.0, 7, rlax.SIGNED_LOGP1_PAIR)
    np.testing.assert_allclose(
        muzero.apply_inv(muzero.apply(jnp.float32(12.0))), [12.0], rtol=1e-3
    )


def test_transformed_returns_undo_the_transform_of_bootstrap_values():
    r, d, v, boot = np.random.default_rng(0).random((4, 5)).astype(np.float32)
    cut = np.array([0, 1, 0, 0, 0])
    pair = rlax.SIGNED_LOGP1_PAIR
    have = rlax.transformed_lambda_returns(
        pair, r, d, pair.apply(v), truncation_t=cut, bootstrap_t=pair.apply(boot)
    )
    want = rlax.lambda_returns(r, d, v, truncation_t=cut, bootstrap_t=boot)
    np.testing.assert_allclose(have, pair.apply(want), rtol=1e-5)
    by_name = rlax.transformed_n_step_returns(pair, r_t=r, discount_t=d, v_t=v, n=2)
    want = rlax.n_step_bootstrapped_returns(r, d, pair.apply_inv(v), 2)
    np.testing.assert_allclose(by_name, pair.apply(want), rtol=1e-5)


def test_pixel_control():
    random = np.random.default_rng(0)
    frames = random.integers(0, 255, (4, 4, 6, 2), np.uint8)
    rewards = rlax.pixel_control_rewards(frames, 2)
    assert rewards.shape == (3, 2, 3)
    change = np.abs(np.diff(frames.astype(float), axis=0))
    np.testing.assert_allclose(rewards[1, 0, 2], change[1, :2, 4:].mean(), rtol=1e-5)
    values = random.standard_normal((4, 2, 3, 3)).astype(np.float32)
    actions = np.array([0, 2, 1])
    mask = np.array([1, 1, 0])
    loss = rlax.pixel_control_loss(
        frames, actions, values, np.array([0.9, 0.5, 0.9]), 2, mask_t=mask
    )
    g1 = rewards[1] + 0.5 * values[2].max(-1)
    g0 = rewards[0] + 0.9 * g1
    np.testing.assert_allclose(loss[1], 0.5 * (g1 - values[1, ..., 2]) ** 2, rtol=1e-4)
    np.testing.assert_allclose(loss[0], 0.5 * (g0 - values[0, ..., 0]) ** 2, rtol=1e-4)
    assert not loss[2].any()


def test_feature_control():
    f = np.array([[1.0, 2.0], [3.0, 1.0]])
    wanted = {
        "feature": [3, 1],
        "absolute_change": [2, 1],
        "increase": [2, -1],
        "decrease": [-2, 1],
        "potential": [0.5, -1.5],
    }
    for kind, want in wanted.items():
        have = rlax.feature_control_rewards(f, kind, 0.5)
        np.testing.assert_allclose(have, [want])


@pytest.mark.parametrize("log_rho", [-200.0, 200.0])
def test_distant_policies_give_retrace_a_finite_gradient(log_rho):
    def errors(log_rho):
        step = [1.0, 2.0], [2.0], [1.0, 2.0], [1.0, 1.0], [0.5, 0.5]
        return rlax.retrace_continuous(*step, log_rho[None], 1.0, False).sum()

    assert jax.grad(errors)(jnp.float32(log_rho)) == 0
