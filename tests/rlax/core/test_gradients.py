"""Gradients that are clipped, or finite at 0."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rlax
from rlax._core.gradients import safe_sqrt


def test_gradient_is_clipped_and_the_value_is_not():
    def f(x):
        return jnp.sum(3 * rlax.clip_gradient(x, -0.5, gradient_max=0.25))

    x = jnp.array([1.0, 2.0])
    np.testing.assert_array_equal(rlax.clip_gradient(x, -1.0, 1.0), x)
    np.testing.assert_allclose(jax.grad(f)(x), [0.25, 0.25])
    tree = jax.grad(lambda t: -9 * rlax.clip_gradient(t, -0.5, 0.5)["a"])({"a": 2.0})
    assert tree == {"a": -0.5}
    with pytest.raises(TypeError, match="gradient_min"):
        rlax.clip_gradient(x)


def test_square_root_has_gradient_zero_at_zero():
    x = jnp.array([0.0, 4.0])
    np.testing.assert_array_equal(safe_sqrt(x), [0, 2])
    np.testing.assert_array_equal(jax.vmap(jax.grad(safe_sqrt))(x), [0, 0.25])
