"""PPO's losses beside their formulas in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy_formulas import equal

import rlax

RANDOM = np.random.default_rng(0)
T = 7
RATIO = np.array([0.5, 0.9, 1.05, 1.5, 6.0, 0.7, 4.0])
ADV = np.array([1.0, -2.0, 0.5, 2.0, -1.5, -0.3, 0.7])
MASK = np.array([1, 1, 0, 1, 1, 0, 1], bool)
LOG = -np.abs(RANDOM.standard_normal((3, T)))


def clipped(ratio, adv, low, high=None, dual=None):
    high = low if high is None else high
    s = np.minimum(ratio * adv, np.clip(ratio, 1 - low, 1 + high) * adv)
    return -(s if dual is None else np.where(adv < 0, np.maximum(s, dual * adv), s))


# ------------------------------ the clipped surrogate ------------------------------


@pytest.mark.parametrize("options", [(0.2,), (0.2, 0.28), (0.2, 0.3, 3.0), (0.0, 0.4)])
@pytest.mark.parametrize("stop", [True, False])
def test_surrogate_equals_its_formula(options, stop):
    low, high, dual = (*options, *(None,) * (3 - len(options)))

    def op(ratio, adv):
        return rlax.clipped_surrogate_pg_loss(
            *(ratio, adv, low, stop), epsilon_high=high, dual_clip=dual, mask_t=MASK
        )

    def formula(ratio, adv):
        return np.mean(clipped(ratio, adv, low, high, dual)[MASK])

    equal(op, formula, RATIO, ADV, grads=(0,) if stop else (0, 1))


def test_decoupled_surrogate_equals_its_formula():
    def op(pi, prox, mu, adv):
        return rlax.decoupled_surrogate_pg_loss(
            *(pi, prox, mu, adv, 0.2, False),
            **{"epsilon_high": 0.3, "max_weight": 1.2, "mask_t": MASK},
        )

    weight = np.minimum(np.exp(np.float32(LOG[1]) - np.float32(LOG[2])), 1.2)

    def formula(pi, prox, mu, adv):
        return np.mean((weight * clipped(np.exp(pi - prox), adv, 0.2, 0.3))[MASK])

    equal(op, formula, *LOG, ADV, grads=(0, 3))


def test_decoupled_surrogate_around_the_acting_policy_is_ppo():
    pi, mu = jnp.asarray(LOG[0]), jnp.asarray(LOG[1])
    have = rlax.decoupled_surrogate_pg_loss(pi, mu, mu, ADV, 0.2)
    want = rlax.clipped_surrogate_pg_loss(jnp.exp(pi - mu), ADV, 0.2)
    np.testing.assert_allclose(have, want, rtol=1e-6)


@pytest.mark.parametrize("distance", [-200.0, 200.0])
def test_decoupled_surrogate_of_distant_policies_is_finite(distance):
    far = jnp.full(3, distance)

    def loss(pi, prox, mu):
        adv = jnp.array([1.0, 0.0, 0.5])
        return rlax.decoupled_surrogate_pg_loss(pi, prox, mu, adv, 0.2, max_weight=10.0)

    zero = jnp.zeros(3)
    for arguments in ((far, zero, zero), (zero, far, zero), (zero, zero, far)):
        value, gradient = jax.value_and_grad(loss)(*arguments)
        assert np.isfinite(value)
        assert np.isfinite(gradient).all()


# -------------------------------------- values --------------------------------------


V, OLD, TARGET = RANDOM.standard_normal((3, T))
COMBINE = {"max": np.maximum, "min": np.minimum, "clipped": lambda _, y: y}


@pytest.mark.parametrize("combine", COMBINE)
@pytest.mark.parametrize("epsilon", [0.3, 2.0])
def test_value_loss_equals_its_formula(combine, epsilon):
    def op(v, old, target):
        return rlax.clipped_value_loss(
            v, old, target, epsilon, combine=combine, mask_t=MASK
        )

    def formula(v, old, target):
        clip = old + np.clip(v - old, -epsilon, epsilon)
        error = COMBINE[combine]((v - target) ** 2 / 2, (clip - target) ** 2 / 2)
        return np.mean(error[MASK])

    equal(op, formula, V, OLD, TARGET, grads=(0,))


def test_value_loss_far_from_old_values_has_no_gradient_where_clipped():
    def loss(v, combine):
        return rlax.clipped_value_loss(v, [0.0], [2.0], 0.5, combine=combine)

    v = jnp.array([1.0])
    assert jax.grad(loss)(v, "clipped") == 0
    assert jax.grad(loss)(v, "max") == 0  # the clipped square is the larger one
    assert jax.grad(loss)(v, "min") == -1


# ------------------------------------- advantages -------------------------------------


@pytest.mark.parametrize("center", [True, False])
@pytest.mark.parametrize("ddof", [0, 1])
@pytest.mark.parametrize("mask", [None, MASK])
def test_normalized_advantages_equal_their_formula(center, ddof, mask):
    kept = np.ones(T, bool) if mask is None else mask

    def op(adv):
        return rlax.normalize_advantages(adv, mask_t=mask, center=center, ddof=ddof)

    def formula(adv):
        x = adv[kept]
        scaled = (adv - center * x.mean()) / (x.std(ddof=ddof) + 1e-8)
        return np.where(kept, scaled, 0)

    equal(op, formula, ADV, grads=(0,))


def test_normalized_advantages_pool_all_axes_and_devices():
    adv = RANDOM.standard_normal((2, 3, 4)).astype(np.float32)
    want = (adv - adv.mean()) / adv.std()
    np.testing.assert_allclose(rlax.normalize_advantages(adv), want, atol=1e-6)
    pooled = jax.vmap(
        lambda x: rlax.normalize_advantages(x, axis_name="i"), axis_name="i"
    )
    np.testing.assert_allclose(pooled(adv), want, atol=1e-6)


@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16, jnp.float16])
def test_equal_advantages_become_zero(n, dtype):
    adv = jnp.full(n, 0.1, dtype)

    def loss(adv):
        return rlax.normalize_advantages(adv, ddof=1).sum()

    np.testing.assert_array_equal(rlax.normalize_advantages(adv), 0)
    assert np.isfinite(np.asarray(jax.grad(loss)(adv), np.float32)).all()
    np.testing.assert_array_equal(rlax.normalize_advantages(adv, epsilon=0.0), 0)


# ------------------------------------ divergences ------------------------------------


ESTIMATORS = {
    "k1": lambda d: d,
    "k2": lambda d: d**2 / 2,
    "k3": lambda d: np.expm1(-d) + d,
    "abs": np.abs,
}


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_sampled_kl_equals_its_formula(estimator):
    def formula(p, q):
        return ESTIMATORS[estimator](p - q)

    def op(p, q):
        return rlax.sampled_kl_divergence(p, q, estimator)

    equal(op, formula, *LOG[:2], grads=(0, 1))
    for other, f in ESTIMATORS.items():

        def with_other(p, q, other=other):
            return rlax.sampled_kl_divergence(p, q, estimator, gradient_estimator=other)

        equal(
            with_other,
            formula,
            *LOG[:2],
            grads=(0, 1),
            slope_of=lambda p, q, f=f: f(p - q),
        )


@settings(deadline=None, max_examples=50)
@given(st.floats(-80, 80, width=32))
def test_k3_is_never_negative_and_keeps_its_digits(d):
    have = rlax.sampled_kl_divergence(np.float32(d), np.float32(0), "k3")
    assert have >= 0
    # The exact difference of two nearby numbers needs the series.
    d = float(d)
    want = np.expm1(-d) + d if abs(d) > 1e-2 else d**2 / 2 - d**3 / 6 + d**4 / 24
    np.testing.assert_allclose(have, want, rtol=1e-5, atol=1e-37)


def test_k3_has_derivatives_of_every_order():
    def k3(d):
        return rlax.sampled_kl_divergence(d, 0.0)

    for d in (-3.0, 0.0, 1e-3, 2.0):
        np.testing.assert_allclose(jax.grad(k3)(d), -np.expm1(-d), rtol=1e-6)
        np.testing.assert_allclose(jax.grad(jax.grad(k3))(d), np.exp(-d), rtol=1e-6)


def test_mean_of_k1_and_k3_is_the_divergence():
    p, q = np.array([0.2, 0.5, 0.3]), np.array([0.4, 0.4, 0.2])
    want = np.sum(p * np.log(p / q))
    for estimator in ("k1", "k3"):
        have = rlax.sampled_kl_divergence(np.log(p), np.log(q), estimator)
        np.testing.assert_allclose(np.sum(p * have), want, rtol=1e-5)


def test_distant_samples_keep_the_value_and_a_finite_gradient():
    def kl(d, estimator, other):
        return rlax.sampled_kl_divergence(d, 0.0, estimator, gradient_estimator=other)

    for d in (-200.0, 200.0):
        value, slope = jax.value_and_grad(kl)(d, "k1", "k3")
        assert value == d
        assert np.isfinite(slope)
    value, slope = jax.value_and_grad(kl)(-200.0, "k3", "k2")
    assert 1e38 < value < np.inf  # e^200 is beyond the dtype
    assert slope == -200


# ---------------------------------- the coefficient ----------------------------------


def test_coefficient_follows_the_rules():
    adapt = rlax.adaptive_kl_coefficient
    kls = np.array([0.005, 0.0066, 0.0067, 0.01, 0.0149, 0.0151, 1.0], np.float32)
    have = jax.vmap(lambda kl: adapt(2.0, kl, 0.01))(kls)
    np.testing.assert_allclose(have, [1, 1, 2, 2, 2, 4, 4])
    have = jax.vmap(
        lambda kl: adapt(2.0, kl, 0.01, rule="proportional", gain=0.5, error_clip=0.3)
    )(kls)
    want = 2 * (1 + 0.5 * np.clip(kls / 0.01 - 1, -0.3, 0.3))
    np.testing.assert_allclose(have, want, rtol=1e-5)
    assert jax.grad(lambda c: adapt(c, 0.5, 0.01))(2.0) == 0


# ----------------------------------- bad input ------------------------------------


X = np.ones(3, np.float32)
NONE = np.ones(0, np.float32)
BAD = {
    "epsilon_high must be at least 0": lambda: rlax.clipped_surrogate_pg_loss(
        X, X, 0.2, epsilon_high=-0.1
    ),
    "dual_clip must be above 1, got 1": lambda: rlax.clipped_surrogate_pg_loss(
        X, X, 0.2, dual_clip=1.0
    ),
    "decoupled_surrogate_pg_loss: epsilon must": lambda: (
        rlax.decoupled_surrogate_pg_loss(X, X, X, X, -0.2)
    ),
    "max_weight must be at least 0": lambda: rlax.decoupled_surrogate_pg_loss(
        X, X, X, X, 0.2, max_weight=-1.0
    ),
    "decoupled_surrogate_pg_loss: log_pi_t.*T would be 0": lambda: (
        rlax.decoupled_surrogate_pg_loss(NONE, NONE, NONE, NONE, 0.2)
    ),
    "clipped_value_loss: epsilon": lambda: rlax.clipped_value_loss(X, X, X, -0.1),
    "combine must be 'max', 'min' or 'clipped', got 'mean'": lambda: (
        rlax.clipped_value_loss(X, X, X, 0.1, combine="mean")
    ),
    "clipped_value_loss: v_tm1.*T would be 0": lambda: rlax.clipped_value_loss(
        NONE, NONE, NONE, 0.1
    ),
    "normalize_advantages: epsilon": lambda: rlax.normalize_advantages(X, epsilon=-1),
    "normalize_advantages: ddof": lambda: rlax.normalize_advantages(X, ddof=-1),
    "normalize_advantages: adv_t.*T would be 0": lambda: rlax.normalize_advantages(
        NONE
    ),
    "estimator must be 'k1', 'k2', 'k3' or 'abs', got 'k4'": lambda: (
        rlax.sampled_kl_divergence(X, X, "k4")
    ),
    "gradient_estimator must be": lambda: rlax.sampled_kl_divergence(
        X, X, gradient_estimator="k4"
    ),
    "log_q has shape": lambda: rlax.sampled_kl_divergence(X, X[:2]),
    "target_kl must be above 0": lambda: rlax.adaptive_kl_coefficient(1.0, 1.0, 0.0),
    "tolerance must be above 0": lambda: rlax.adaptive_kl_coefficient(
        1.0, 1.0, 1.0, tolerance=0.0
    ),
    "error_clip must be": lambda: rlax.adaptive_kl_coefficient(
        1.0, 1.0, 1.0, error_clip=-1.0
    ),
    "rule must be 'ppo' or 'proportional'": lambda: rlax.adaptive_kl_coefficient(
        1.0, 1.0, 1.0, rule="trpo"
    ),
}


@pytest.mark.parametrize("message", BAD)
def test_bad_argument_raises_an_error_that_names_it(message):
    with pytest.raises(rlax.ContractError, match=message):
        BAD[message]()
