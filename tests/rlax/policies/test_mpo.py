"""MPO: weights of samples and the temperature."""

import jax
import jax.numpy as jnp
import numpy as np

import rlax


def test_weights_are_a_softmax_along_any_axis():
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


def test_temperature_loss_has_the_gradient_of_its_formula():
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
