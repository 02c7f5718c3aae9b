"""`BatchApply` and `expand_apply`: calling a function with other leading axes."""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

__all__ = ["BatchApply", "expand_apply"]


class BatchApply:
    """Merges the leading axes of the inputs, calls `f`, and splits them again.

    Use it to run a layer made for ``[B, ...]`` on ``[T, B, ...]``.

    Args:
      f: The function or module to call.
      num_dims: Number of leading axes to merge, at least 1.

    Raises:
      ValueError: `num_dims` is less than 1.

    Example:
      >>> def f(x):  # [T, B, H, W, C]
      ...     return hk.BatchApply(hk.Conv2D(8, kernel_shape=3))(x)
    """

    def __init__(self, f: Callable[..., Any], num_dims: int = 2):
        if num_dims < 1:
            raise ValueError(
                f"BatchApply merges at least one axis, got num_dims={num_dims}."
            )
        self._f = f
        self.num_dims = num_dims

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Calls `f` on the merged inputs.

        Args:
          *args: Trees of arrays. Leaves with fewer than `num_dims` axes, numbers and
            None are passed on unchanged.
          **kwargs: The same.

        Returns:
          The output of `f`, with the first axis of every array split.

        Raises:
          ValueError: No input has `num_dims` axes, or `f` returns arrays without the
            merged axis.
        """
        shapes = [np.shape(leaf) for leaf in jax.tree.leaves((args, kwargs))]
        merged = [shape for shape in shapes if len(shape) >= self.num_dims]
        if not merged:
            raise ValueError(
                "BatchApply requires at least one input with ndim >= num_dims, which "
                f"is {self.num_dims}, got shapes {shapes}. If there are no axes to "
                "merge, call the function directly."
            )
        leading = merged[0][: self.num_dims]
        args, kwargs = jax.tree.map(self._merge, (args, kwargs))
        out = self._f(*args, **kwargs)
        return jax.tree.map(lambda leaf: _split(leaf, leading), out)

    def _merge(self, leaf: Any) -> Any:
        if np.ndim(leaf) < self.num_dims:
            return leaf
        return merge_leading_dims(leaf, self.num_dims)


def merge_leading_dims(x: Any, num_dims: int) -> Any:
    """`x` with its first `num_dims` axes merged into one."""
    shape = np.shape(x)
    return x.reshape((math.prod(shape[:num_dims]), *shape[num_dims:]))


def _split(leaf: Any, leading: tuple[int, ...]) -> Any:
    shape = np.shape(leaf)
    if not shape or shape[0] != math.prod(leading):
        raise ValueError(
            f"BatchApply merged {leading} into one axis of {math.prod(leading)}, but "
            f"the function returned shape {shape}, which does not start with it."
        )
    return leaf.reshape((*leading, *shape[1:]))


def expand_apply(f: Callable[..., Any], axis: int = 0) -> Callable[..., Any]:
    """Wraps a function of batches to take a single example.

    Adds a batch axis of size 1 to the inputs and removes it from the outputs.

    Args:
      f: A function of batched arrays.
      axis: Position of the batch axis of `f`, 0 or -1.

    Returns:
      A function of trees of arrays without that axis.

    Raises:
      ValueError: `axis` is neither 0 nor -1.

    Example:
      >>> hk.expand_apply(lambda x: x.reshape(x.shape[0], -1))(jnp.ones([2, 3])).shape
      (6,)
    """
    if axis not in (0, -1):
        raise ValueError(
            f"expand_apply only supports axis=0 or axis=-1, got {axis}: for another "
            "axis call jnp.moveaxis on inputs and outputs inside the function."
        )

    def apply(*args: Any, **kwargs: Any) -> Any:
        args, kwargs = jax.tree.map(
            lambda leaf: jnp.expand_dims(leaf, axis), (args, kwargs)
        )
        return jax.tree.map(lambda leaf: jnp.squeeze(leaf, axis), f(*args, **kwargs))

    return apply
