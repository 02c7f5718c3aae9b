"""`remat` and `unroll` change how blocks are run, not what they compute."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import haiku as hk

SIZES = {"model_size": 8, "num_layers": 3, "num_heads": 2, "hidden_size": 8}
NETS = {
    "Decoder": (hk.nets.Decoder, hk.nets.DecoderConfig, {"vocab_size": 5}),
    "Encoder": (hk.nets.Encoder, hk.nets.EncoderConfig, {"vocab_size": 5}),
    "VisionTransformer": (
        hk.nets.VisionTransformer,
        hk.nets.VisionTransformerConfig,
        {"patch_size": 2, "image_size": 4},
    ),
}
TOKENS, IMAGES = np.arange(8).reshape(2, 4) % 5, np.ones([2, 4, 4, 3], np.float32)


def net_of(name, **how):
    net, config, fields = NETS[name]
    config = config(**SIZES, **fields, **how)
    x = IMAGES if name == "VisionTransformer" else TOKENS

    def f():
        return sum(jnp.sin(y).sum() for y in jax.tree.leaves(net(config)(x)))

    return hk.transform(f)


@functools.cache
def plain(name):
    net = net_of(name)
    params = jax.jit(net.init)(jax.random.key(0))
    return params, jax.jit(jax.value_and_grad(net.apply))(params, None)


@pytest.mark.parametrize(
    "how", [{"remat": True}, {"unroll": 2}, {"unroll": 7, "remat": True}], ids=str
)
@pytest.mark.parametrize("name", NETS)
def test_same_values_and_gradients(name, how):
    params, (value, gradient) = plain(name)
    net = net_of(name, **how)
    init = jax.eval_shape(net.init, jax.random.key(0))
    assert jax.tree.map(jnp.shape, init) == jax.tree.map(jnp.shape, params)
    found, slope = jax.jit(jax.value_and_grad(net.apply))(params, None)
    np.testing.assert_allclose(found, value, rtol=1e-5)
    jax.tree.map(
        functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5),
        *(slope, gradient),
    )


def test_unroll_leaves_no_loop():
    def program(unroll):
        net = net_of("Decoder", unroll=unroll)
        return jax.jit(net.apply).lower(plain("Decoder")[0], None).as_text()

    assert "stablehlo.while" in program(1)
    assert "stablehlo.while" not in program(3)


@pytest.mark.parametrize("unroll", [0, -1, 1.5, True, None])
@pytest.mark.parametrize("name", NETS)
def test_bad_unroll(name, unroll):
    with pytest.raises(ValueError, match="unroll.*integer of at least 1.*got"):
        net_of(name, unroll=unroll).init(jax.random.key(0))
