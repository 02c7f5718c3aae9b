"""`hk.Upsample` and `hk.Downsample`, and the resizing below, beside PyTorch."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from layer_values import VALUES, numbers

import haiku as hk
from haiku._layers.resize import METHODS, resized


@pytest.mark.parametrize("case", VALUES["resizes"], ids=lambda c: c["method"])
def test_resizing_has_pytorchs_numbers(case):
    x = numbers(1, *case["space"], 1)
    y = resized(x, case["sizes"], case["method"])
    np.testing.assert_allclose(y, case["y"], rtol=1e-5, atol=1e-6)
    factors = [m // n for m, n in zip(case["sizes"], case["space"])]
    if [f * n for f, n in zip(factors, case["space"])] != case["sizes"]:
        return
    model = hk.bind(hk.Upsample, factors, case["method"], conv=False).init(None, x)
    np.testing.assert_array_equal(model(x), y)


@pytest.mark.parametrize("case", VALUES["convolutions"], ids=lambda c: str(c["space"]))
def test_layers_have_pytorchs_numbers(case):
    space, factor = case["space"], case["factor"]
    x = numbers(1, *space, 2)

    def params(name, size):
        w = numbers(*[size] * len(space), 2, 2)
        return {f"{name}/conv": {"w": w, "b": numbers(2)}}

    for layer, key, given in (
        (hk.bind(hk.Downsample, factor), "down", params("downsample", 2 * factor - 1)),
        (hk.bind(hk.Downsample, factor, conv=False), "pooled", {}),
        (hk.bind(hk.Upsample, factor), "up", params("upsample", 3)),
    ):
        shapes = jax.tree.map(jnp.shape, layer.init(0, x).params)
        assert shapes == jax.tree.map(jnp.shape, given)
        y = layer.to(given)(x)
        np.testing.assert_allclose(y, case[key], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_resizing_keeps_constants_and_its_size(method):
    x = np.full([1, 3, 4, 1], 2.5, np.float32)
    np.testing.assert_allclose(resized(x, [7, 9], method), 2.5, rtol=1e-6)
    x = numbers(1, 3, 4, 1)
    assert resized(x, [3, 4], method) is x


@pytest.mark.parametrize("method", METHODS)
def test_the_gradient_is_the_transpose(method):
    x, y = numbers(1, 3, 4, 2), numbers(1, 6, 12, 2)
    resize = lambda x: resized(x, [6, 12], method)  # noqa: E731
    (back,) = jax.vjp(resize, x)[1](jnp.asarray(y))
    np.testing.assert_allclose(
        jnp.sum(back * x), jnp.sum(y * resize(x)), rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize("method", METHODS)
def test_half_precision_is_rounded_once(method):
    x = jnp.asarray(numbers(1, 5, 4, 2), jnp.bfloat16)
    y = resized(x, [10, 4], method)
    wide = resized(x.astype(jnp.float32), [10, 4], method)
    assert y.dtype == jnp.bfloat16
    np.testing.assert_array_equal(y, wide.astype(jnp.bfloat16))


def test_a_factor_for_each_axis():
    x = numbers(2, 4, 6, 3)
    assert hk.bind(hk.Upsample, (1, 3)).init(0, x)(x).shape == (2, 4, 18, 3)
    assert hk.bind(hk.Downsample, (2, 1)).init(0, x)(x).shape == (2, 2, 6, 3)
    y = hk.bind(hk.Downsample, (2, 3), conv=False).init(0, x)(x)
    want = x.reshape(2, 2, 2, 2, 3, 3).mean((2, 4))
    np.testing.assert_allclose(y, want, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("layer", [hk.Upsample, hk.Downsample])
def test_bad_input_raises(layer):
    x = jnp.ones([1, 4, 4, 2])
    with pytest.raises(ValueError, match=r"\[B, \*space, C\], got \(4, 2\)"):
        hk.bind(layer, 2).init(0, x[0, 0])
    with pytest.raises(ValueError, match="factor of .* positive integer, .* got 0.5"):
        hk.bind(layer, 0.5).init(0, x)
    with pytest.raises(TypeError, match="factor must be one for all spatial axes"):
        hk.bind(layer, (2, 2, 2)).init(0, x)
    with pytest.raises(ValueError, match="method of 'upsample' must be one of"):
        hk.bind(hk.Upsample, 2, "bilinear").init(0, x)
