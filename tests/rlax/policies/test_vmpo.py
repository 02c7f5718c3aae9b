"""V-MPO: weights of the best samples, on one device and on several."""

import jax
import jax.numpy as jnp
import numpy as np

import rlax


def test_weights_are_a_softmax_over_the_best_samples():
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


def test_samples_of_all_devices_are_one_batch():
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

    # The gradient too: `pmax` has none, so the largest must be stopped.
    def by_temperature(axis_name):
        def temperature_loss(alpha, *x):
            given = rlax.LagrangePenalty(alpha, 0.1)
            return rlax.vmpo_loss(*x, given, kl, axis_name=axis_name)[0].mean()

        return jax.grad(temperature_loss)

    spread = jax.vmap(by_temperature("i"), (None, 0, 0), axis_name="i")(0.7, log_p, adv)
    whole = by_temperature(None)(0.7, log_p.reshape(6, 2), adv.reshape(6, 2))
    np.testing.assert_allclose(spread.mean(), whole, rtol=1e-4)
