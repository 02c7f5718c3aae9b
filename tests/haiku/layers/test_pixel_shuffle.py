"""`hk.pixel_shuffle` and its inverse."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from layer_values import VALUES, numbers

import haiku as hk


@pytest.mark.parametrize("case", VALUES["shuffles"], ids=lambda c: str(c["r"]))
def test_numbers_are_pytorchs(case):
    r = case["r"]
    x, y = numbers(1, 1, 2, 2 * r * r), numbers(1, 2 * r, r, 1)
    np.testing.assert_allclose(hk.pixel_shuffle(x, r), case["shuffled"], rtol=1e-6)
    np.testing.assert_allclose(hk.pixel_unshuffle(y, r), case["unshuffled"], rtol=1e-6)


@pytest.mark.parametrize("batch", [(), (2,), (2, 5)])
def test_elements_go_where_the_equation_says(batch):
    x = np.arange(np.prod(batch, initial=1, dtype=int) * 2 * 3 * 18)
    x = x.reshape(*batch, 2, 3, 18)
    y = np.asarray(hk.pixel_shuffle(jnp.asarray(x), 3))
    assert y.shape == (*batch, 6, 9, 2)
    for h, w, c, i, j in np.ndindex(2, 3, 2, 3, 3):
        have = y[..., 3 * h + i, 3 * w + j, c]
        np.testing.assert_array_equal(have, x[..., h, w, 9 * c + 3 * i + j])
    np.testing.assert_array_equal(hk.pixel_unshuffle(jnp.asarray(y), 3), x)
    one = jax.vmap(hk.pixel_shuffle, (0, None))(jnp.asarray(x)[None], 3)
    np.testing.assert_array_equal(one[0], y)


def test_bad_input_raises():
    x = jnp.ones([4, 6, 6])
    with pytest.raises(ValueError, match="multiple of 4 channels, got 6"):
        hk.pixel_shuffle(x, 2)
    with pytest.raises(ValueError, match=r"that 4 divides, got \(4, 6\)"):
        hk.pixel_unshuffle(x, 4)
    for f in hk.pixel_shuffle, hk.pixel_unshuffle:
        with pytest.raises(ValueError, match=r"\[..., H, W, C\], got \(6, 6\)"):
            f(x[0], 1)
        with pytest.raises(ValueError, match="r of .* must be a positive integer"):
            f(x, 0)
