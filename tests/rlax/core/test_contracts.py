"""Dtypes that a contract accepts, and their common one."""

import jax.numpy as jnp
import numpy as np

import rlax


def test_integers_become_the_floats_beside_them():
    mu = jnp.ones((2, 3), jnp.bfloat16)
    logprob = rlax.gaussian_diagonal().logprob(np.ones((2, 3), int), mu, True)
    assert logprob.dtype == jnp.bfloat16
