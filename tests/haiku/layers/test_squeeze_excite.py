"""`hk.SqueezeExcite` beside its equation in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import haiku as hk

RANDOM = np.random.RandomState(0)


@pytest.mark.parametrize("space", [(5,), (4, 3), (2, 3, 4)])
def test_the_layer_is_its_equation(space):
    x = RANDOM.randn(2, *space, 8).astype(np.float32)
    model = hk.bind(hk.SqueezeExcite).init(0, x)
    params = jax.tree.map(lambda p: RANDOM.randn(*p.shape), model.params)
    model = model.replace(params=jax.tree.map(jnp.float32, params))
    squeeze, excite = (params[f"squeeze_excite/{n}"] for n in ("squeeze", "excite"))
    assert squeeze["w"].shape == (8, 2) and excite["w"].shape == (2, 8)
    for image, have in zip(x, model(x)):
        mean = image.reshape(-1, 8).mean(0)
        hidden = np.maximum(mean @ squeeze["w"] + squeeze["b"], 0)
        gate = 1 / (1 + np.exp(-(hidden @ excite["w"] + excite["b"])))
        np.testing.assert_allclose(have, image * gate, rtol=1e-4, atol=1e-5)


def test_options():
    x = jnp.asarray(RANDOM.randn(2, 5, 3), jnp.float32)
    layer = hk.bind(hk.SqueezeExcite, 0.1, jnp.negative, jnp.square, w_init=jnp.ones)
    model = layer.init(0, x)  # one hidden unit at least: the sum of the means
    assert model.params["squeeze_excite/squeeze"]["w"].shape == (3, 1)
    gate = jnp.sum(jnp.mean(x, 1), -1) ** 2
    np.testing.assert_allclose(model(x), x * gate[:, None, None], rtol=1e-4)


def test_bad_input_raises():
    with pytest.raises(ValueError, match=r"\[B, \*space, C\], got \(2, 3\)"):
        hk.bind(hk.SqueezeExcite).init(0, jnp.ones([2, 3]))
    with pytest.raises(ValueError, match="ratio of 'squeeze_excite' .* got 0"):
        hk.bind(hk.SqueezeExcite, 0).init(0, jnp.ones([2, 3, 4]))
