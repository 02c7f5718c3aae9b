"""`hk.PatchEmbed` beside PyTorch's convolution and beside patches cut by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from layer_values import VALUES, numbers

import haiku as hk


def test_numbers_are_pytorchs():
    (case,) = VALUES["patches"]
    params = {"patch_embed/conv": {"w": numbers(2, 3, 3, 5), "b": numbers(5)}}
    y = hk.bind(hk.PatchEmbed, 5, (2, 3)).to(params)(numbers(2, 4, 6, 3))
    np.testing.assert_allclose(y, case["y"], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("with_bias", [True, False])
def test_patches_row_by_row(with_bias):
    x = numbers(2, 6, 8, 3)
    model = hk.bind(hk.PatchEmbed, 7, 2, with_bias, b_init=jnp.ones).init(0, x)
    conv = model.params["patch_embed/conv"]
    assert set(conv) == ({"w", "b"} if with_bias else {"w"})
    w = np.asarray(conv["w"]).reshape(-1, 7)
    want = [
        [
            image[i : i + 2, j : j + 2].ravel() @ w + with_bias
            for i in range(0, 6, 2)
            for j in range(0, 8, 2)
        ]
        for image in x
    ]
    np.testing.assert_allclose(model(x), want, rtol=1e-5, atol=1e-5)


def test_no_examples():
    x = jnp.ones([0, 4, 4, 3])
    assert hk.bind(hk.PatchEmbed, 7, 2).init(0, x)(x).shape == (0, 4, 7)


@pytest.mark.parametrize(
    ("message", "make", "shape"),
    [
        (r"\(4, 2\) pixels, .* \(6, 8\): crop", lambda: hk.PatchEmbed(3, (4, 2)), 4),
        (
            r"images of shape \[B, H, W, C\], got \(8, 3\)",
            lambda: hk.PatchEmbed(3, 2),
            2,
        ),
        ("patch of 'patch_embed' must be a positive", lambda: hk.PatchEmbed(3, 0), 4),
        ("positive integer, .* got 2.5", lambda: hk.PatchEmbed(3, 2.5), 4),
    ],
)
def test_bad_input_raises(message, make, shape):
    x = jnp.ones([2, 6, 8, 3][4 - shape :])
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(hk.transform(lambda x: make()(x)).init, jax.random.key(0), x)
