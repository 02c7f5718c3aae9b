"""The layers that run a sequence at once or step by step, small, for their tests."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

import haiku as hk

B, T, D = 2, 7, 6
RANDOM = np.random.default_rng(0)
X = jnp.asarray(RANDOM.standard_normal((B, T, D)), jnp.float32)
LAYERS = {
    "MinGRU": lambda: hk.MinGRU(5),
    "MinGRU, no bias": lambda: hk.MinGRU(5, with_bias=False),
    "RGLRU": lambda: hk.RGLRU(D, 2),
    "Mamba1": lambda: hk.Mamba1(3, 8, time_step_rank=2, output_size=5),
    "Mamba2": lambda: hk.Mamba2(3, 4, 2, 2, chunk_size=3, with_bias=True),
    "Mamba2, limits": lambda: hk.Mamba2(
        3, 2, 4, output_size=5, conv_size=1, conv_bias=False, time_step_limit=(0.1, 0.5)
    ),
    "S5": lambda: hk.S5(8, 2),
    "GatedDeltaNet": lambda: hk.GatedDeltaNet(2, 3, 4, output_size=5, chunk_size=3),
}


def parallel(name):
    return hk.bind(lambda *args, **options: LAYERS[name]()(*args, **options))


def one_by_one(name):
    """Unrolls `step` over the sequence, from a state or from the initial one."""

    def run(x, state=None):
        layer = LAYERS[name]()
        state = layer.initial_state(x.shape[0]) if state is None else state
        return hk.dynamic_unroll(layer.step, x, state, time_major=False)

    return hk.bind(run)


def noisy(params, scale=0.3):
    noise = np.random.default_rng(1)
    return jax.tree.map(
        lambda x: x + scale * noise.standard_normal(x.shape).astype(x.dtype), params
    )


@functools.cache
def made(name):
    model = jax.jit(lambda x: parallel(name).init(0, x))(X)
    return model.replace(params=noisy(model.params))


def close(a, b, tolerance=1e-5):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b)):
        x, y = np.asarray(x, np.float32), np.asarray(y, np.float32)
        np.testing.assert_allclose(x, y, rtol=tolerance, atol=tolerance)
