"""Stopping gradients, limiting them, and keeping them finite."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from rlax._core import arrays
from rlax._core.types import ArrayTree


def stop_gradient_if(stop: bool, tree: ArrayTree) -> ArrayTree:
    """Returns the tree, with its gradient stopped if `stop`."""
    return jax.lax.stop_gradient(tree) if stop else tree


def safe_sqrt(x: jax.Array) -> jax.Array:
    """√x, whose derivative at 0 is 0."""
    positive = x > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, x, 1)), 0)


@jax.custom_vjp
def _clipped(
    x: ArrayTree, gradient_min: ArrayLike, gradient_max: ArrayLike
) -> ArrayTree:
    return x


def _clipped_forward(x, gradient_min, gradient_max):
    return x, (gradient_min, gradient_max)


def _clipped_backward(limits, cotangent):
    def clip(g):
        return jnp.minimum(jnp.maximum(g, limits[0]), limits[1]).astype(g.dtype)

    return jax.tree.map(clip, cotangent), None, None


_clipped.defvjp(_clipped_forward, _clipped_backward)


def clip_gradient(
    x: ArrayTree, gradient_min: ArrayLike, gradient_max: ArrayLike
) -> ArrayTree:
    """Returns its input unchanged, and clips the gradient that flows back to it.

    Args:
      x: An array or a tree of arrays.
      gradient_min: Lower limit of every component of the gradient.
      gradient_max: Upper limit.

    Returns:
      x.

    Gradient:
      Reaches x, clipped to [gradient_min, gradient_max]; a NaN stays NaN.

    Example:
      >>> print(jax.grad(lambda x: 5 * rlax.clip_gradient(x, -1.0, 1.0))(2.0))
      1.0
    """
    return _clipped(jax.tree.map(arrays.fresh, x), gradient_min, gradient_max)
