"""Transposed convolutions."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from definitions import apply_layer, normal

import haiku as hk

run = hk.testing.transform_and_run
X = jnp.ones([2, 6, 7, 4])


@pytest.mark.parametrize(
    ("padding", "stride", "kernel"),
    list(itertools.product(["SAME", "VALID"], [1, 2, 3], [2, 3])),
)
def test_the_transpose_is_the_gradient_of_a_convolution(padding, stride, kernel):
    """Up to a flip of the kernel, if the convolution gives the input's size."""
    x = normal(1, 4, 2)
    params, out = apply_layer(
        lambda x: hk.ConvNDTranspose(1, 3, kernel, stride, padding=padding)(x), x
    )
    size = 4 * stride if padding == "SAME" else 3 * stride + max(kernel, stride)
    assert out.shape == (1, size, 3)
    forward = lambda y: jax.lax.conv_general_dilated(  # noqa: E731
        y,
        jnp.flip(jnp.asarray(params["w"]), 0),
        (stride,),
        padding,
        dimension_numbers=("NWC", "WIO", "NWC"),
    )
    like = jnp.zeros([1, size, 3])
    if forward(like).shape != x.shape or (padding == "SAME" and kernel < stride):
        return  # such sizes have several transposes
    _, pull = jax.vjp(forward, like)
    got, want = out - params["b"], pull(jnp.asarray(x))[0]
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("padding", "sizes"), [("SAME", (7, 8)), ("VALID", (9, 10)), ("SAME", 8)]
)
def test_output_shape_sets_the_size(padding, sizes):
    x = normal(2, 4, 4, 3)
    layer = lambda x: hk.Conv2DTranspose(  # noqa: E731
        5, 3, stride=2, output_shape=sizes, padding=padding
    )(x)
    wanted = (sizes, sizes) if isinstance(sizes, int) else sizes
    _, out = apply_layer(layer, x)
    assert out.shape == (2, *wanted, 5)


def test_output_shape_allows_channels_first():
    x = normal(2, 3, 4, 5)
    layer = lambda x: hk.Conv2DTranspose(  # noqa: E731
        5, 3, stride=2, output_shape=(7, 10), data_format="NCHW"
    )(x)
    assert apply_layer(layer, x)[1].shape == (2, 5, 7, 10)


@pytest.mark.parametrize("padding", [hk.pad.full, (2, 2), [(2, 2), (2, 2)]])
def test_paddings_apply_to_all_axes(padding):
    x = normal(2, 4, 5, 3)
    _, out = apply_layer(lambda x: hk.Conv2DTranspose(2, 3, padding=padding)(x), x)
    assert out.shape == (2, 6, 7, 2)  # the input, and a zero more on each side


def test_a_mask_multiplies_the_kernel():
    mask = np.zeros([3, 2, 3], np.float32)
    x = normal(2, 5, 3)
    params, out = apply_layer(lambda x: hk.Conv1DTranspose(2, 3, mask=mask)(x), x)
    np.testing.assert_array_equal(out, np.broadcast_to(params["b"], out.shape))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: hk.Conv2DTranspose(3, 3, padding="FOO"), ValueError, "'FOO'.*SAME"),
        (
            lambda: hk.Conv2DTranspose(3, 3, output_shape=9, padding=(1, 1)),
            ValueError,
            "`padding` must be 'SAME' or 'VALID'",
        ),
        (
            lambda: hk.Conv2DTranspose(3, 3, output_shape=9, padding="SAME_LOWER")(X),
            ValueError,
            "must be 'VALID' or 'SAME'.*Passed: 'SAME_LOWER'",
        ),
        (
            lambda: hk.Conv2DTranspose(3, 3, stride=2, output_shape=9)(X),
            ValueError,
            "size 6 into output_shape 9.*maps 9 to 5",
        ),
    ],
)
def test_wrong_options_raise(call, error, message):
    with pytest.raises(error, match=message):
        run(call)()
