"""Depthwise and separable convolutions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from definitions import KEY, apply_layer, convolve, normal

import haiku as hk

run = hk.testing.transform_and_run


@pytest.mark.parametrize(
    ("n", "bias"), [(1, (6, 1)), (2, (6, 1, 1)), (3, (6, 1, 1, 1))]
)
def test_the_bias_follows_channels_that_come_first(n, bias):
    cls = (hk.DepthwiseConv1D, hk.DepthwiseConv2D, hk.DepthwiseConv3D)[n - 1]
    x = normal(2, 3, *(6, 5, 4)[:n])
    f = lambda x: cls(2, 3, data_format="channels_first")(x)  # noqa: E731
    params, out = apply_layer(f, x)
    assert params["b"].shape == bias
    assert out.shape == (2, 6, *x.shape[2:])


def test_depthwise_convolves_each_channel_by_itself():
    x = normal(2, 9, 3)
    params, out = apply_layer(lambda x: hk.DepthwiseConv1D(2, 3, rate=2)(x), x)
    want = convolve(x, params["w"], 1, 2, (2, 2), groups=3) + params["b"]
    np.testing.assert_allclose(out, want, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("padding", [hk.pad.causal, (2, 0), [(2, 0)], "SAME", "VALID"])
def test_depthwise_accepts_every_padding(padding):
    x = normal(9, 3)  # no batch axis
    out = run(lambda: hk.DepthwiseConv1D(1, 3, padding=padding)(x))()
    assert out.shape == (7 if padding == "VALID" else 9, 3)


def test_separable_consists_of_two_depthwise_convolutions():
    x = normal(2, 5, 6, 3)
    net = hk.transform(
        lambda x: hk.SeparableDepthwiseConv2D(2, (3, 2), stride=2, b_init=jnp.ones)(x)
    )
    params = net.init(KEY, x)
    first, second = params.values()
    assert {k: v.shape for k, v in first.items()} == {"w": (3, 1, 1, 6)}
    assert {k: v.shape for k, v in second.items()} == {"w": (1, 2, 1, 6), "b": (6,)}
    assert net.apply(params, None, x).shape == (2, 3, 3, 6)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: hk.DepthwiseConv2D(3, 3, padding="FOO"), ValueError, "'FOO'.*SAME"),
    ],
)
def test_an_unknown_padding_raises(call, error, message):
    with pytest.raises(error, match=message):
        run(call)()


@pytest.mark.parametrize(
    ("kernel", "options"),
    [
        (3, {}),
        ((2, 5), {"padding": "VALID"}),
        (3, {"stride": (2, 3)}),
        (3, {"rate": (1, 2), "padding": [(3, 0), (1, 2)]}),
        (3, {"stride": 2, "rate": 2, "padding": "VALID"}),
    ],
)
def test_derivatives_of_images_are_those_of_the_convolution(kernel, options):
    x = normal(2, 9, 8, 3)
    layer = hk.bind(hk.DepthwiseConv2D, 1, kernel, **options).init(KEY, x)
    params = layer.params["depthwise_conv2_d"]
    out = layer(x)
    cotangent, weights = normal(*out.shape), normal(*params["w"].shape)

    def through_layer(x, w):
        return layer.replace(params={"depthwise_conv2_d": params | {"w": w}})(x)

    def through_jax(x, w):
        return jax.lax.conv_general_dilated(
            *(x, w, layer.stride, layer.padding),
            rhs_dilation=layer.rhs_dilation,
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            feature_group_count=3,
        )

    def values(f):
        y, pull = jax.vjp(f, x, params["w"])
        dy = jax.jvp(f, (x, params["w"]), (x**2, weights))[1]
        norm = lambda w: jnp.sum(jnp.sin(f(x, w)) * cotangent)  # noqa: E731
        second = jax.jvp(jax.grad(norm), (params["w"],), (weights,))[1]
        return y, pull(cotangent), dy, second

    got, want = (
        jax.jit(values, static_argnums=0)(f) for f in (through_layer, through_jax)
    )
    near = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)  # noqa: E731
    jax.tree.map(near, got, want)


def test_kernels_in_half_precision_are_summed_in_single():
    x = normal(4, 16, 16, 2).astype(jnp.bfloat16)
    layer = hk.bind(hk.DepthwiseConv2D, 1, 7).init(KEY, x)
    of = jax.jit(jax.grad(lambda layer, x: jnp.mean(layer(x) ** 2)))
    grads, wide = of(layer, x), of(*jax.tree.map(jnp.float32, (layer, x)))
    for name, want in wide.params["depthwise_conv2_d"].items():
        got = grads.params["depthwise_conv2_d"][name]
        assert got.dtype == jnp.bfloat16
        np.testing.assert_allclose(jnp.float32(got), want, rtol=0.05, atol=0.02)
