"""Pooling to given sizes: windows as even as the sizes allow."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from haiku._layers.inputs import as_array, at_least_single, known_size

__all__ = ["adaptive_avg_pool", "adaptive_max_pool"]


def adaptive_avg_pool(x: jax.Array, sizes: int | Sequence[int | None]) -> jax.Array:
    """Averages windows so that the result has given sizes.

        y[i] = mean of x[floor(i n / m)], ..., x[ceil((i + 1) n / m) - 1]

    for an axis of length ``n`` and the wanted size ``m``, with PyTorch's windows. They
    overlap where ``m`` doesn't divide ``n``.

    Args:
      x: ``[B, *space, C]``.
      sizes: The wanted size of all spatial axes, or one per axis; None keeps an axis.

    Returns:
      ``[B, *sizes, C]``; floats.

    Raises:
      ValueError: `x` has no spatial axis or one of length 0, there is another number of
        sizes, or one isn't a positive integer.

    Source:
      He et al., 2014, Spatial Pyramid Pooling in Deep Convolutional Networks for Visual
      Recognition, arXiv:1406.4729, section 2.3.

    Example:
      >>> hk.adaptive_avg_pool(jnp.arange(5.0).reshape(1, 5, 1), 2).ravel()
      Array([1., 3.], dtype=float32)
    """
    x, sizes = _checked("hk.adaptive_avg_pool", x, sizes)
    dtype = x.dtype if jnp.issubdtype(x.dtype, jnp.inexact) else jnp.float32
    wide = x.astype(at_least_single(dtype))
    return _pooled(wide, sizes, _mean).astype(dtype)


def adaptive_max_pool(x: jax.Array, sizes: int | Sequence[int | None]) -> jax.Array:
    """Takes the maximum of windows so that the result has given sizes.

        y[i] = max of x[floor(i n / m)], ..., x[ceil((i + 1) n / m) - 1]

    Args:
      x: See :func:`adaptive_avg_pool`.
      sizes: See :func:`adaptive_avg_pool`.

    Returns:
      ``[B, *sizes, C]``.

    Raises:
      ValueError: See :func:`adaptive_avg_pool`.

    Gradient:
      Reaches the largest element of each window; equal ones share it.

    Example:
      >>> hk.adaptive_max_pool(jnp.arange(5.0).reshape(1, 5, 1), 2).ravel()
      Array([2., 4.], dtype=float32)
    """
    x, sizes = _checked("hk.adaptive_max_pool", x, sizes)
    return _pooled(x, sizes, _max)


def _checked(what: str, x: Any, sizes: Any) -> tuple[jax.Array, list[int]]:
    x = as_array(x)
    space = x.shape[1:-1]
    if not space or 0 in space:
        raise ValueError(
            f"{what} needs an array of shape [B, *space, C] with at least one element "
            f"along each spatial axis, got {x.shape}."
        )
    each = sizes if isinstance(sizes, Sequence) else [sizes] * len(space)
    wanted = [n if size is None else size for n, size in zip(space, each)]
    if len(each) != len(space) or not all(
        isinstance(size, (int, np.integer)) and size > 0 for size in wanted
    ):
        raise ValueError(
            f"sizes of {what} must be a positive integer for all {len(space)} spatial "
            f"axes of {x.shape}, or one or None for each, got {sizes!r}."
        )
    return x, wanted


Reduce = Callable[[jax.Array, int, np.ndarray | None], jax.Array]


def _pooled(x: jax.Array, sizes: list[int], reduce: Reduce) -> jax.Array:
    """Reduces the windows along one axis after the other."""
    for axis, size in enumerate(sizes, 1):
        n = x.shape[axis]
        if n == size:
            continue
        if n % size == 0:
            shape = (*x.shape[:axis], size, n // size, *x.shape[axis + 1 :])
            x = reduce(x.reshape(shape), axis + 1, None)
            continue
        known_size(n, "Adaptive pooling computes a window for each output")
        starts = np.arange(size) * n // size
        ends = -(-np.arange(1, size + 1) * n // size)
        places = starts[:, None] + np.arange((ends - starts).max())
        windows = jnp.take(x, np.minimum(places, n - 1), axis=axis)
        inside = places < ends[:, None]
        ones = (1,) * (x.ndim - axis - 1)
        inside = inside.reshape((1,) * axis + (*inside.shape, *ones))
        x = reduce(windows, axis + 1, inside)
    return x


def _mean(windows, axis, inside):
    if inside is None:
        return jnp.mean(windows, axis)
    kept = jnp.where(jnp.broadcast_to(inside, windows.shape), windows, 0)
    total = jnp.sum(kept, axis)
    counts = jnp.asarray(np.sum(inside, axis), windows.dtype)
    return total / jnp.broadcast_to(counts, total.shape)


def _max(windows, axis, inside):
    if inside is None:
        return jnp.max(windows, axis)
    if jnp.issubdtype(windows.dtype, jnp.integer):
        lowest = jnp.iinfo(windows.dtype).min
    else:
        lowest = -jnp.inf
    kept = jnp.where(jnp.broadcast_to(inside, windows.shape), windows, lowest)
    return jnp.max(kept, axis)
