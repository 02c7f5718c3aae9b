"""DiCE: the value and its derivatives of first and second order."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy_formulas import close

import rlax

RANDOM = np.random.default_rng(10)
LOG_PI, R, B = RANDOM.standard_normal((3, 4)).astype(np.float32)
D = np.array([0.9, 0.8, 0.7, 0.6], np.float32)


def weights(discount):
    return np.append(1, np.cumprod(discount[:-1]))


def test_magic_box_is_one_with_all_derivatives():
    box, x = rlax.magic_box, 1.5
    assert box(x) == box(-1e4) == 1
    for f in (
        jax.grad(box),
        jax.grad(jax.grad(box)),
        jax.grad(jax.grad(jax.grad(box))),
    ):
        assert f(x) == 1


@pytest.mark.parametrize("baseline", [None, B])
def test_loss_has_the_derivatives_of_the_definition(baseline):
    """Of u[t] = Σ_(k<=t) log π: e^(u - u₀) in NumPy, twice differentiated by hand."""
    w = weights(D).astype(float)

    def loss(log_pi):
        return rlax.dice_loss(log_pi, R, D, baseline_t=baseline)

    close(loss(LOG_PI), -np.sum(w * R))
    lower = np.tril(np.ones((4, 4)))  # row t: the actions up to t
    b = np.zeros(4) if baseline is None else baseline.astype(float)
    gradient = -(w * R) @ lower + w * b
    close(jax.grad(loss)(LOG_PI), gradient)
    hessian = -np.einsum("t,ti,tj->ij", w * R, lower, lower) + np.diag(w * b)
    close(jax.hessian(loss)(LOG_PI), hessian)


def test_expected_derivatives_are_those_of_the_expected_return():
    """All paths of two binary actions, whose probabilities depend on θ."""
    theta = 0.3

    def log_pi(theta, actions):
        return jnp.where(actions, jax.nn.log_sigmoid(theta), jax.nn.log_sigmoid(-theta))

    def reward(actions):
        return jnp.array([1.0, 2.0]) * actions + jnp.array([0.0, 3.0]) * actions[0]

    paths = [np.array(p) for p in itertools.product([0, 1], repeat=2)]

    def expected_return(theta):
        return sum(
            jnp.exp(log_pi(theta, p).sum()) * (reward(p) * jnp.array([1, 0.5])).sum()
            for p in paths
        )

    def surrogate(theta):
        total = 0.0
        for p in paths:
            chance = jax.lax.stop_gradient(jnp.exp(log_pi(theta, p).sum()))
            logs = log_pi(theta, p)
            baseline = jnp.array([0.7, -0.2])
            total -= chance * rlax.dice_loss(
                logs, reward(p), jnp.array([0.5, 0.5]), baseline_t=baseline
            )
        return total

    for order in range(3):
        f, g = expected_return, surrogate
        for _ in range(order):
            f, g = jax.grad(f), jax.grad(g)
        np.testing.assert_allclose(g(theta), f(theta), rtol=1e-5)


def test_masked_steps_are_as_if_removed():
    mask = np.array([True, False, True, True])

    def with_mask(x):
        return rlax.dice_loss(
            np.where(mask, x, np.nan) if isinstance(x, np.ndarray) else x,
            np.where(mask, R, np.inf),
            np.where(mask, D, 0.3),
            baseline_t=np.where(mask, B, np.nan),
            mask_t=mask,
        )

    def without(x):
        return rlax.dice_loss(x, R[mask], D[mask], baseline_t=B[mask])

    close(with_mask(LOG_PI), without(LOG_PI[mask]))
    garbage = jnp.where(mask, LOG_PI, jnp.nan)
    for order in (jax.grad, jax.hessian):
        full = order(lambda x: with_mask(x))(garbage)
        assert np.isfinite(full).all()
        kept = np.asarray(full)[np.ix_(*[mask] * full.ndim)]
        close(kept, order(without)(LOG_PI[mask]))
        assert not np.asarray(full)[~mask].any()
    assert rlax.dice_loss(LOG_PI, R, D, mask_t=mask & False) == 0


def test_no_gradient_reaches_rewards():
    grads = jax.grad(lambda *x: rlax.dice_loss(*x[:3], baseline_t=x[3]), (1, 2, 3))(
        LOG_PI, R, D, B
    )
    assert not any(np.any(g) for g in grads)


def test_bad_input_raises():
    with pytest.raises(rlax.ContractError, match="at least one element"):
        rlax.dice_loss(LOG_PI[:0], R[:0], D[:0])
    with pytest.raises(rlax.ContractError, match=r"discount_t must be in \[0, 1\]"):
        rlax.dice_loss(LOG_PI, R, D * 2)
    with pytest.raises(rlax.ContractError, match="baseline_t has shape"):
        rlax.dice_loss(LOG_PI, R, D, baseline_t=B[:2])
