"""The parts that all convolutions share: batch axis, mask, kernel and rank."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from definitions import KEY, apply_layer, convolve, normal

import haiku as hk

run = hk.testing.transform_and_run
X = jnp.ones([2, 6, 7, 4])


def test_a_mask_multiplies_the_kernel():
    x = normal(2, 9, 4)
    mask = np.zeros([3, 4, 6], np.float32)
    mask[0] = 1
    params, out = apply_layer(lambda x: hk.Conv1D(6, 3, mask=mask)(x), x)
    want = convolve(x, params["w"] * mask, 1, 1, (1, 1)) + params["b"]
    np.testing.assert_allclose(out, want, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("cls", [hk.ConvND, hk.ConvNDTranspose])
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_the_batch_axis_may_be_missing(n, cls, data_format):
    space = (5, 4, 3)[:n]
    last = data_format == "channels_last"
    x = normal(*(1, *space, 2) if last else (1, 2, *space))
    layer = lambda x: cls(n, 3, 2, data_format=data_format)(x)  # noqa: E731
    net = hk.transform(layer)
    params = net.init(KEY, x)
    without = jax.jit(net.apply)(params, None, x[0])
    np.testing.assert_allclose(
        jax.jit(net.apply)(params, None, x)[0], without, rtol=1e-5, atol=1e-5
    )
    assert without.shape == ((*space, 3) if last else (3, *space))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: hk.ConvND(0, 1, 3), ValueError, "num_spatial_dims=0"),
        (lambda: hk.ConvNDTranspose(-2, 1, 3), ValueError, "num_spatial_dims=-2"),
        (
            lambda: hk.Conv2D(3, 3)(X[0, 0]),
            ValueError,
            r"rank in \[3, 4\].*\(7, 4\).*'conv2_d'",
        ),
        (lambda: hk.Conv2DTranspose(3, 3)(X[None]), ValueError, r"rank in \[3, 4\]"),
        (
            lambda: hk.DepthwiseConv2D(3, 3)(X[None]),
            ValueError,
            r"DepthwiseConv2D.*rank",
        ),
        (
            lambda: hk.Conv2D(3, 3, mask=jnp.ones([3, 3, 4, 1]))(X),
            ValueError,
            r"same shape as weights.*\(3, 3, 4, 1\).*\(3, 3, 4, 3\)",
        ),
    ],
)
def test_wrong_shapes_raise(call, error, message):
    with pytest.raises(error, match=message):
        run(call)()
