"""Programs that use parameters, state and keys, and how tests run them."""

import jax
import jax.numpy as jnp
import numpy as np

import haiku as hk

KEY = jax.random.PRNGKey(0)


X = jnp.arange(8.0).reshape(2, 4) / 8


def count(name="n"):
    n = hk.get_state(name, (), jnp.int32, init=jnp.zeros)
    hk.set_state(name, n + 1)
    return n


def noise(x):
    return x + jax.random.normal(hk.next_rng_key(), x.shape)


def layer(x):
    """Parameters, state and keys in one."""
    n = count()
    return noise(jnp.tanh(hk.Linear(x.shape[-1])(x))) * (n + 1)


def run(f, *args, key=KEY, jit=True):
    """`(params, initial state, output, state)` of a program."""
    net = hk.transform_with_state(f)
    params, state = net.init(key, *args)
    out, after = (jax.jit(net.apply) if jit else net.apply)(params, state, key, *args)
    return params, state, out, after


def assert_close(a, b):
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, 1e-5, 1e-5), a, b)
