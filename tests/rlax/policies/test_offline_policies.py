"""Policies from a fixed data set, and flows, beside their formulas in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy_formulas import equal

import rlax

B, D = 4, 3
RANDOM = np.random.default_rng(5)
LOG_PI = -np.abs(RANDOM.standard_normal(B))
ADV = np.array([-1.0, 0.5, 2.0, 0.0])
ACTION, OTHER, NOISE = RANDOM.standard_normal((3, B, D))


@pytest.mark.parametrize("weight", ["exp", "binary"])
def test_advantage_weighted_loss_equals_its_formula(weight):
    def formula(log_pi, adv):
        if weight == "binary":
            return -1.0 * (adv > 0) * log_pi
        return -np.minimum(np.exp(adv / 0.5), 20) * log_pi

    def op(log_pi, adv):
        return rlax.advantage_weighted_policy_loss(
            log_pi, adv, 0.5, weight=weight, max_weight=20.0
        )

    equal(op, formula, LOG_PI, ADV, grads=(0,))


def test_extreme_advantages_reach_the_largest_weight():
    def loss(log_pi, adv):
        return rlax.advantage_weighted_policy_loss(log_pi, adv)

    for adv, want in ((1e4, 100.0), (-1e4, 0.0)):
        value, gradient = jax.value_and_grad(loss)(-1.0, adv)
        assert (value, gradient) == (want, -want)
    for weight in ("exp", "binary"):
        nan = rlax.advantage_weighted_policy_loss([-1.0], [np.nan], weight=weight)
        assert np.isnan(nan).all()
    never = rlax.advantage_weighted_policy_loss([-np.inf], [-1.0], weight="binary")
    assert never == 0


def mean_size(q):
    return max(np.mean(np.abs(q)), 1e-8)


@pytest.mark.parametrize("alpha", [0.0, 2.5])
def test_td3_bc_equals_its_formula(alpha):
    q = np.array([1.0, -2.0, 0.5, 3.0])
    size = mean_size(q)

    def formula(q, a_pi, a):
        return -alpha / size * np.mean(q) + np.mean((a_pi - a) ** 2)

    def op(q, a_pi, a):
        return rlax.td3_bc_policy_loss(q, a_pi, a, alpha)

    equal(op, formula, q, ACTION, OTHER, grads=(0, 1))


@pytest.mark.parametrize("normalize", [False, True])
def test_fql_policy_loss_equals_its_formula(normalize):
    q = np.array([1.0, -2.0, 0.5, 3.0])
    scale = 1 / mean_size(q) if normalize else 1

    def formula(q, a_pi, a_flow):
        return 3 * np.mean((a_pi - a_flow) ** 2) - scale * np.mean(q)

    def op(q, a_pi, a_flow):
        return rlax.fql_policy_loss(q, a_pi, a_flow, 3.0, normalize_q=normalize)

    equal(op, formula, q, ACTION, OTHER, grads=(0, 1))


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float16])
def test_values_of_zero_divide_by_nothing(dtype):
    q, a = jnp.zeros(B, dtype), jnp.zeros((B, D), dtype)
    assert rlax.td3_bc_policy_loss(q, a, a) == 0
    assert rlax.fql_policy_loss(q, a, a, normalize_q=True) == 0
    gradient = jax.grad(rlax.td3_bc_policy_loss)(q.astype(jnp.float32), a, a)
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_flow_matching_equals_its_formula(reduction):
    def formula(v, x_0, x_1):
        return getattr(np, reduction)((v - (x_1 - x_0)) ** 2)

    def op(v, x_0, x_1):
        return rlax.flow_matching_loss(v, x_0, x_1, reduction=reduction)

    equal(op, formula, ACTION[0], OTHER[0], NOISE[0], grads=(0,))


@pytest.mark.parametrize("num_steps", [1, 7])
def test_flow_actions_are_eulers_steps(num_steps):
    def velocity(x, time, w, sin):
        return w * sin(x) + time

    def formula(x, w):
        for i in range(num_steps):
            x = x + velocity(x, i / num_steps, w, np.sin) / num_steps
        return x

    def op(x, w):
        return rlax.flow_actions(
            lambda x, time: velocity(x, time, w, jnp.sin), x, num_steps
        )

    equal(op, formula, NOISE[0], ACTION[0], grads=(0, 1))


def test_a_straight_flow_ends_at_the_data():
    have = rlax.flow_actions(lambda x, time: OTHER[0] - NOISE[0], NOISE[0], 3)
    np.testing.assert_allclose(have, OTHER[0], rtol=1e-5)


X, Y = np.ones(3, np.float32), np.ones((3, 2), np.float32)
BAD = {
    "advantage_weighted_policy_loss: temperature must be above 0": lambda: (
        rlax.advantage_weighted_policy_loss(X, X, 0.0)
    ),
    "weight must be 'exp' or 'binary', got 'softmax'": lambda: (
        rlax.advantage_weighted_policy_loss(X, X, weight="softmax")
    ),
    "max_weight must be at least 0": lambda: rlax.advantage_weighted_policy_loss(
        X, X, max_weight=-1.0
    ),
    "advantage_weighted_policy_loss: adv_t": lambda: (
        rlax.advantage_weighted_policy_loss(X, X[:2])
    ),
    "td3_bc_policy_loss: alpha": lambda: rlax.td3_bc_policy_loss(X, Y, Y, -1.0),
    "td3_bc_policy_loss: a_t has shape": lambda: rlax.td3_bc_policy_loss(X, Y, Y[:2]),
    "td3_bc_policy_loss: q_t.*B would be 0": lambda: rlax.td3_bc_policy_loss(
        X[:0], Y[:0], Y[:0]
    ),
    "flow_matching_loss: reduction must be 'mean' or 'sum'": lambda: (
        rlax.flow_matching_loss(X, X, X, reduction="max")
    ),
    "flow_matching_loss: x_1": lambda: rlax.flow_matching_loss(X, X, X[:2]),
    "num_steps must be at least 1, got 0": lambda: rlax.flow_actions(min, X, 0),
    "num_steps must be a whole number": lambda: rlax.flow_actions(min, X, 2.5),
    r"velocity_fn must return the shape of x, \[3\], got \[\]": lambda: (
        rlax.flow_actions(lambda x, time: time, X)
    ),
    "flow_actions: x_0": lambda: rlax.flow_actions(lambda x, time: x, Y),
    "fql_policy_loss: alpha": lambda: rlax.fql_policy_loss(X, Y, Y, -1.0),
    "fql_policy_loss: a_flow_t": lambda: rlax.fql_policy_loss(X, Y, Y[:2]),
}


@pytest.mark.parametrize("message", BAD)
def test_bad_argument_raises_an_error_that_names_it(message):
    with pytest.raises(rlax.ContractError, match=message):
        BAD[message]()
