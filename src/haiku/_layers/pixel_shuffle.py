"""Pixels as channels, and back."""

import jax

from haiku._layers.inputs import as_array

__all__ = ["pixel_shuffle", "pixel_unshuffle"]


def pixel_shuffle(x: jax.Array, r: int) -> jax.Array:
    """Turns channels into pixels: each pixel becomes a square of ``r x r``.

        y[r h + i, r w + j, c] = x[h, w, c r² + i r + j]

    Args:
      x: ``[..., H, W, C r²]``.
      r: Width of the square, at least 1.

    Returns:
      ``[..., H r, W r, C]``.

    Raises:
      ValueError: `x` has fewer than three axes, `r` isn't a positive integer, or its
        square doesn't divide the channels.

    Source:
      Shi et al., 2016, Real-Time Single Image and Video Super-Resolution Using an
      Efficient Sub-Pixel Convolutional Neural Network, arXiv:1609.05158, equation 4;
      channels in PyTorch's order.

    Example:
      >>> hk.pixel_shuffle(jnp.arange(4).reshape(1, 1, 4), 2)[..., 0]
      Array([[0, 1],
             [2, 3]], dtype=int32)
    """
    x = as_array(x)
    _check("hk.pixel_shuffle", x, r)
    *batch, height, width, channels = x.shape
    if channels % r**2:
        raise ValueError(
            f"hk.pixel_shuffle with r={r} needs a multiple of {r**2} channels, got "
            f"{channels} in {x.shape}."
        )
    n = len(batch)
    y = x.reshape(*batch, height, width, channels // r**2, r, r)
    y = y.transpose(*range(n), n, n + 3, n + 1, n + 4, n + 2)
    return y.reshape(*batch, height * r, width * r, channels // r**2)


def pixel_unshuffle(x: jax.Array, r: int) -> jax.Array:
    """Turns pixels into channels: undoes :func:`pixel_shuffle`.

        y[h, w, c r² + i r + j] = x[r h + i, r w + j, c]

    Args:
      x: ``[..., H r, W r, C]``.
      r: Width of the squares, at least 1.

    Returns:
      ``[..., H, W, C r²]``.

    Raises:
      ValueError: `x` has fewer than three axes, `r` isn't a positive integer, or it
        doesn't divide height and width.

    Example:
      >>> hk.pixel_unshuffle(jnp.arange(4).reshape(2, 2, 1), 2)
      Array([[[0, 1, 2, 3]]], dtype=int32)
    """
    x = as_array(x)
    _check("hk.pixel_unshuffle", x, r)
    *batch, height, width, channels = x.shape
    if height % r or width % r:
        raise ValueError(
            f"hk.pixel_unshuffle with r={r} needs a height and width that {r} divides, "
            f"got {(height, width)} in {x.shape}."
        )
    n = len(batch)
    y = x.reshape(*batch, height // r, r, width // r, r, channels)
    y = y.transpose(*range(n), n, n + 2, n + 4, n + 1, n + 3)
    return y.reshape(*batch, height // r, width // r, channels * r**2)


def _check(what, x, r):
    if len(x.shape) < 3:
        raise ValueError(f"{what} needs images [..., H, W, C], got {x.shape}.")
    if r != int(r) or r < 1:
        raise ValueError(f"r of {what} must be a positive integer, got {r}.")
