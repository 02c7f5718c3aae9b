"""Activations that JAX traces once."""

import jax
import jax.numpy as jnp
import numpy as np

from haiku._layers import cached_tracing


def test_jax_activations_are_traced_once_and_keep_their_values():
    jit_activation = cached_tracing.jit_activation
    assert jit_activation(jax.nn.relu) is jit_activation(jax.nn.relu) is not jax.nn.relu
    assert jax.grad(jit_activation(jax.nn.relu))(0.0) == 0.0
    x = jnp.linspace(-3, 3, 50)
    for name in cached_tracing._ACTIVATIONS:
        activation = getattr(jax.nn, name)
        np.testing.assert_allclose(
            jit_activation(activation)(x), activation(x), rtol=1e-6, atol=1e-6
        )
