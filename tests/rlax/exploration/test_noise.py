"""Noise on actions and priors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rlax

KEYS = jax.random.split(jax.random.key(0), 4000)
ACTION = jnp.array([1.0, -1.0])


def test_gaussian_noise_has_its_mean_and_deviation():
    noisy = jax.vmap(lambda k: rlax.add_gaussian_noise(k, ACTION, 0.5))(KEYS)
    np.testing.assert_allclose(noisy.mean(0), ACTION, atol=0.05)
    np.testing.assert_allclose(noisy.std(0), [0.5, 0.5], atol=0.05)


def test_ornstein_uhlenbeck_noise_keeps_a_share_of_the_last():
    noisy = jax.vmap(
        lambda k: rlax.add_ornstein_uhlenbeck_noise(k, ACTION, jnp.ones(2), 0.2, 0.1)
    )(KEYS)
    np.testing.assert_allclose(noisy.mean(0), ACTION + 0.8, atol=0.02)


def test_dirichlet_noise_mixes_into_a_distribution():
    prior = jnp.full((2, 4), 0.25)
    mixed = rlax.add_dirichlet_noise(KEYS[0], prior, 0.3, 0.25)
    np.testing.assert_allclose(mixed.sum(-1), 1, rtol=1e-5)
    assert (mixed >= 0.75 * 0.25).all()
    assert mixed.std() > 0


DRAWS = {
    "add_gaussian_noise": lambda key, x: rlax.add_gaussian_noise(key, x, 0.5),
    "add_ornstein_uhlenbeck_noise": lambda key, x: rlax.add_ornstein_uhlenbeck_noise(
        key, x[0], x[1], 0.2, 0.5
    ),
    "add_dirichlet_noise": lambda key, x: rlax.add_dirichlet_noise(
        key, jax.nn.softmax(x), 0.5, 0.5
    ),
}


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
@pytest.mark.parametrize("name", DRAWS)
def test_key_draws_the_same_in_half_precision(name, dtype):
    x, key = jax.random.normal(jax.random.key(1), (64, 5)), jax.random.key(7)
    x = x.astype(dtype)
    half, single = DRAWS[name](key, x), DRAWS[name](key, x.astype(jnp.float32))
    assert half.dtype == dtype
    np.testing.assert_allclose(half.astype(jnp.float32), single, atol=0.04, rtol=0)
