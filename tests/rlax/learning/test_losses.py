"""Elementwise losses beside their formulas."""

import jax
import jax.numpy as jnp
import numpy as np

import rlax


def test_losses_equal_their_formulas():
    x, y = np.array([1.0, -2.0, 0.25]), np.array([0.0, 1.0, 1.0])
    np.testing.assert_allclose(rlax.l2_loss(x, y), 0.5 * (x - y) ** 2)
    np.testing.assert_allclose(rlax.l2_loss(x), 0.5 * x**2)
    np.testing.assert_allclose(rlax.huber_loss(x, 0.5), [0.375, 0.875, 0.03125])
    np.testing.assert_allclose(
        rlax.expectile_loss(x, y, 0.75), [0.25, 0.75 * 9, 0.75 * 0.5625]
    )
    p = np.array([0.25, 0.25, 1.0])
    np.testing.assert_allclose(rlax.likelihood(p, y), [0.75, 0.25, 1.0])
    np.testing.assert_allclose(
        rlax.log_loss(p, y), -np.log([0.75, 0.25, 1.0]), atol=1e-7
    )
    grad = jax.grad(lambda x: rlax.huber_loss(x, 0.5).sum())(jnp.asarray(x))
    np.testing.assert_allclose(grad, np.clip(x, -0.5, 0.5))
