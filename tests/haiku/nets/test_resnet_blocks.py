"""Blocks of residual networks."""

import jax
import numpy as np

import haiku as hk

KEY = jax.random.key(0, impl="unsafe_rbg")  # the fastest to compile


def test_a_new_bottleneck_block_is_the_identity_before_the_relu():
    config = {"decay_rate": 0.9, "create_scale": True, "create_offset": True}
    block = hk.transform_with_state(
        lambda x: hk.nets.ResNet.BlockV1(8, 1, False, config, True)(x, True, False)
    )
    x = np.random.RandomState(0).randn(2, 4, 4, 8).astype(np.float32)
    params, state = block.init(KEY, x)
    out, _ = block.apply(params, state, None, x)
    np.testing.assert_allclose(out, np.maximum(x, 0), atol=1e-6)
