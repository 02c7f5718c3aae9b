"""Policy gradient losses beside their formulas; masks and gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rlax

LOGITS = np.array([[1.0, 1.0, 0.0], [1.0, 3.0, 0.0]])


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def test_losses_equal_their_formulas():
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


def test_deterministic_policy_gradient_is_clipped_and_finite_at_zero():
    a, g = jnp.array([1.0, 2.0]), jnp.array([3.0, 4.0])
    np.testing.assert_allclose(rlax.dpg_loss(a, g), [4.5, 8.0])
    grad = jax.grad(lambda a: rlax.dpg_loss(a, g, 1.0).sum())(a)
    np.testing.assert_allclose(grad, [-0.6, -0.8], rtol=1e-6)
    flat = jax.grad(lambda g: rlax.dpg_loss(a, g, 1.0, False).sum())(0 * g)
    assert jnp.isfinite(flat).all()


@pytest.mark.parametrize("stopped", [True, False])
@pytest.mark.parametrize("loss", [rlax.qpg_loss, rlax.rm_loss])
def test_losses_over_all_actions_leave_the_critic_alone(loss, stopped):
    gradient = jax.grad(lambda q: loss(LOGITS, q, stopped).sum())(LOGITS + 1)
    np.testing.assert_array_equal(gradient, 0)
