"""Actors of soft actor-critic and TD3, beside formulas in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy_formulas import equal

import rlax

RANDOM = np.random.default_rng(1)
Q, QA, LOGITS = (RANDOM.standard_normal(shape) for shape in (3, (2, 4), 4))
LOG_PI, ALPHA, TARGET = -1.3, 0.2, -2.0


@pytest.mark.parametrize("reduce", ["min", "mean"])
def test_policy_loss_equals_the_formula(reduce):
    equal(
        lambda *x: rlax.sac_policy_loss(*x, reduce=reduce),
        lambda log_pi, q, alpha: alpha * log_pi - getattr(q, reduce)(),
        *(LOG_PI, Q, ALPHA),
        grads=(0, 1),
    )


@pytest.mark.parametrize("form", ["exp", "log"])
def test_temperature_loss_equals_the_formula(form):
    equal(
        lambda *x: rlax.sac_temperature_loss(*x, form=form),
        lambda x, log_pi, target: (
            -(np.exp(x) if form == "exp" else x) * (log_pi + target)
        ),
        *(-0.7, LOG_PI, TARGET),
        grads=(0,),
    )


def discrete(logits, q, alpha):
    log_pi = logits - logits.max()
    log_pi = log_pi - np.log(np.exp(log_pi).sum())
    return np.sum(np.exp(log_pi) * (alpha * log_pi - q.min(0)))


def test_discrete_policy_loss_equals_the_formula():
    equal(rlax.discrete_sac_policy_loss, discrete, LOGITS, QA, ALPHA, grads=(0,))


@pytest.mark.parametrize("garbage", [1.0, np.nan, np.inf])
def test_actions_of_probability_zero_do_not_count(garbage):
    logits, q = LOGITS.copy(), QA.copy()
    logits[3], q[:, 3] = -np.inf, garbage
    value, gradient = jax.value_and_grad(rlax.discrete_sac_policy_loss)(
        logits, q, ALPHA
    )
    want = discrete(LOGITS[:3], QA[:, :3], ALPHA)
    np.testing.assert_allclose(value, want, rtol=1e-5)
    assert np.isfinite(gradient).all()
    assert gradient[3] == 0
    value, gradient = jax.value_and_grad(rlax.discrete_sac_policy_loss)(
        np.array([1e4, -1e4, 0.0, 1.0]), QA, ALPHA
    )
    np.testing.assert_allclose(value, -QA[:, 0].min(), rtol=1e-5)
    assert np.isfinite(gradient).all()


def test_smoothed_target_action_equals_the_formula():
    key = jax.random.key(3)
    a = np.linspace(-1, 1.25, 7)
    low, high = np.linspace(-1.0, -0.5, 7), 0.9
    noise = np.asarray(jax.random.normal(key, (7,), jnp.float32), float)
    assert np.abs(0.4 * noise).max() > 0.3  # the clip has something to do
    equal(
        lambda a, low: rlax.smoothed_target_action(key, a, 0.4, 0.3, low, high),
        lambda a, low: np.clip(a + np.clip(0.4 * noise, -0.3, 0.3), low, high),
        *(a, low),
        grads=(0,),
    )


def test_bad_options_raise():
    with pytest.raises(rlax.ContractError, match="reduce must be 'min' or 'mean'"):
        rlax.sac_policy_loss(LOG_PI, Q, ALPHA, reduce="max")
    with pytest.raises(rlax.ContractError, match="form must be 'exp' or 'log'"):
        rlax.sac_temperature_loss(0.0, LOG_PI, TARGET, form="square")
    with pytest.raises(rlax.ContractError, match="temperature must be at least 0"):
        rlax.sac_policy_loss(LOG_PI, Q, -0.1)
    for name in ("stddev", "noise_clip"):
        with pytest.raises(rlax.ContractError, match=f"{name} must be at least 0"):
            rlax.smoothed_target_action(jax.random.key(0), Q, **{name: -1.0})
