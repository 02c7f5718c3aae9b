"""Resizing images, with PyTorch's numbers.

An output pixel reads its neighbours around ``(i + 1/2) in / out - 1/2``, as
``interpolate(align_corners=False)`` does. Neighbours beyond the edge are the pixels of
the edge. `jax.image.resize` has another cubic kernel and leaves those neighbours out.
With antialiasing PyTorch does both as `jax.image.resize` does.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from haiku._layers.inputs import at_least_single, known_size

__all__ = ["METHODS", "resized"]

METHODS = ("nearest", "linear", "cubic")


def resized(
    x: jax.Array, sizes: Sequence[int], method: str, antialias: bool = False
) -> jax.Array:
    """Resizes ``[B, *space, C]`` to `sizes`, one per spatial axis.

    With `antialias`, which isn't for ``"nearest"``, the kernel is as wide as an output
    pixel where images shrink, and the cubic one another.
    """
    for axis, size in enumerate(sizes, 1):
        if x.shape[axis] == size:
            continue
        for n in (x.shape[axis], size):
            known_size(n, "Resizing computes weights for each size of an axis")
        if method == "nearest":
            places = np.arange(size) * x.shape[axis] // size
            x = jnp.take(x, places, axis=axis)
        else:
            weights = _wide_weights if antialias else _weights
            x = _interpolated(x, axis, weights(x.shape[axis], size, method))
    return x


def _interpolated(x, axis, weights):
    wide = at_least_single(x.dtype)
    y = jnp.tensordot(
        x.astype(wide),
        jnp.asarray(weights, wide),
        axes=([axis], [1]),
        precision=jax.lax.Precision.HIGHEST,
    )
    return jnp.moveaxis(y, -1, axis).astype(x.dtype)


def _weights(old: int, new: int, method: str) -> np.ndarray:
    """How much each output reads of each input, ``[new, old]``."""
    places = (np.arange(new) + 0.5) * old / new - 0.5
    kernel, reach = (_cubic, 2) if method == "cubic" else (_linear, 1)
    first = np.floor(places).astype(int)
    weights = np.zeros((new, old))
    for tap in range(1 - reach, 1 + reach):
        neighbours = np.clip(first + tap, 0, old - 1)
        weight = kernel(np.abs(places - first - tap))
        np.add.at(weights, (np.arange(new), neighbours), weight)
    return weights


def _wide_weights(old: int, new: int, method: str) -> np.ndarray:
    """The same with antialiasing: neighbours beyond the edge don't count."""
    places = (np.arange(new) + 0.5) * old / new - 0.5
    distance = np.abs(places[:, None] - np.arange(old)) / max(old / new, 1)
    if method == "cubic":
        weights = np.where(distance < 2, _cubic(distance, a=-0.5), 0)
    else:
        weights = np.maximum(_linear(distance), 0)
    return weights / weights.sum(axis=1, keepdims=True)


def _linear(distance: np.ndarray) -> np.ndarray:
    return 1 - distance


def _cubic(distance: np.ndarray, a: float = -0.75) -> np.ndarray:
    """Keys' kernel, 1981, equation 4, with PyTorch's coefficient."""
    d = distance
    near = (a + 2) * d**3 - (a + 3) * d**2 + 1
    far = a * d**3 - 5 * a * d**2 + 8 * a * d - 4 * a
    return np.where(d <= 1, near, far)
