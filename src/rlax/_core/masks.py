"""Replacing masked elements, and reductions over the others.

A mask is true where an element counts; only that of `replace_masked`, as in the
reference, is true where one is replaced. Inputs are replaced by 0 at masked places
before any arithmetic, so that NaN there reaches neither the value nor the gradient.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from rlax._core import broadcasting, errors
from rlax._core.all_sum import AllSum
from rlax._core.arrays import align, at_least_single, lhs_broadcast
from rlax._core.gradients import safe_sqrt
from rlax._core.types import known_arrays

Array = jax.Array


def replace_masked(
    data: ArrayLike, replacement: ArrayLike | None, mask: ArrayLike
) -> Array:
    """Puts replacement where mask is set, along the leading axes.

    Args:
      data: `[..., *rest]`.
      replacement: Of data's shape, or one that broadcasts; None stands for zeros.
      mask: `[...]`, numbers or booleans; set where not 0.

    Returns:
      Of data's shape, or what data and replacement broadcast to.

    Raises:
      ContractError: If the shapes don't fit.

    Example:
      >>> print(rlax.replace_masked([[1.0], [2.0]], None, [True, False]))
      [[0.]
       [2.]]
    """
    data, mask = jnp.asarray(data), jnp.asarray(mask)
    zeros = jnp.zeros((), data.dtype)
    if replacement is not None:
        replacement = jnp.asarray(replacement)
        errors.check(
            broadcasting.broadcast_shape(replacement.shape, data.shape) is not None,
            f"replace_masked: replacement {list(replacement.shape)} must have data's "
            f"shape {list(data.shape)}; pass it through jnp.broadcast_to.",
        )
    chosen = lhs_broadcast(mask, data).astype(bool)
    return jnp.where(chosen, zeros if replacement is None else replacement, data)


def zero_masked(x: ArrayLike, mask: ArrayLike | None) -> Array:
    """x, and 0 where the mask is false.

    Args:
      x: `[..., *rest]`.
      mask: `[...]`, the leading axes of x. None keeps everything.

    Returns:
      Of x's shape.
    """
    (x,) = known_arrays(x)
    if mask is None or x.ndim == 0:
        return x
    return jnp.where(align(mask, x), x, 0)


def kept_of(x: ArrayLike, mask: ArrayLike | None) -> Array:
    """Whether each element of x is kept, in x's shape. Arguments: `zero_masked`."""
    (x,) = known_arrays(x)
    mask = jnp.ones((), bool) if mask is None else align(mask, x)
    return jnp.broadcast_to(mask, x.shape)


def masked_sum(
    x: ArrayLike, mask: ArrayLike | None = None, axis: int | None = None
) -> Array:
    """The sum of the elements that the mask keeps; 0 where it keeps none."""
    return jnp.sum(zero_masked(x, mask), axis)


def masked_mean(
    x: ArrayLike, mask: ArrayLike | None = None, axis: int | None = None
) -> Array:
    """The mean of the elements that the mask keeps; 0 where it keeps none.

    Args:
      x: `[..., *rest]`.
      mask: `[...]`, the leading axes of x. None keeps everything.
      axis: The axis to average over. Default: all.

    Returns:
      x without the axis, in its dtype.

    Gradient:
      Reaches the kept elements of x.
    """
    if mask is None:
        return jnp.mean(x, axis)
    (x,) = known_arrays(x)
    wide = at_least_single(x.dtype)  # half precision could not hold the count
    kept = kept_of(x, mask)
    count = jnp.maximum(kept.sum(axis), 1).astype(wide)
    return (jnp.where(kept, x, 0).sum(axis, wide) / count).astype(x.dtype)


def over_deviation(x: Array, deviation: Array, epsilon: float) -> Array:
    """Divides x by deviation + ε, or by 1 where that is 0."""
    divisor = deviation + epsilon
    return x / jnp.where(divisor == 0, 1, divisor)


def masked_moments(
    x: ArrayLike,
    mask: ArrayLike | None = None,
    *,
    ddof: int = 0,
    axis_name: str | Sequence[str] | None = None,
) -> tuple[Array, Array]:
    """Mean and standard deviation of all elements that the mask keeps.

    Equal elements have exactly themselves as mean and 0 as deviation.

    Args:
      x: `[..., *rest]`.
      mask: `[...]`, the leading axes of x. None keeps everything.
      ddof: Subtracted from the number of elements to divide the variance by; the
        divisor stays at least 1.
      axis_name: Mapped axis whose elements belong to the sample. Default: none.

    Returns:
      (mean `[]`, standard deviation `[]`), in x's dtype; 0 where nothing is kept.

    Gradient:
      Reaches the kept elements of x; 0 through a deviation of 0.
    """
    dtype = known_arrays(x)[0].dtype
    largest, offset, _, deviation = _moments(x, mask, ddof, axis_name)
    return (largest + offset).astype(dtype), deviation.astype(dtype)


def masked_differences(
    x: ArrayLike,
    mask: ArrayLike | None = None,
    *,
    ddof: int = 0,
    axis_name: str | Sequence[str] | None = None,
) -> tuple[Array, Array]:
    """Differences to the mean, and the standard deviation; see `masked_moments`.

    Returns:
      (differences, of x's shape, 0 where the mask is false; deviation `[]`), in at
      least single precision.
    """
    _, _, differences, deviation = _moments(x, mask, ddof, axis_name)
    return differences, deviation


def _moments(x, mask, ddof, axis_name):
    """The largest element, the mean's offset from it, differences, the deviation."""
    (x,) = known_arrays(x)
    all_sum = AllSum(axis_name)
    kept = kept_of(x, mask)
    x = jnp.where(kept, x, 0).astype(at_least_single(x.dtype))
    count = all_sum(kept)
    # Measured from the largest element: equal ones are then at exactly 0.
    largest = jnp.max(
        jax.lax.stop_gradient(jnp.where(kept, x, -math.inf)), initial=-math.inf
    )
    if axis_name is not None:
        largest = jax.lax.pmax(largest, axis_name)
    largest = jnp.where(count == 0, 0, largest)
    offsets = jnp.where(kept, x - largest, 0)
    offset = all_sum(offsets) / jnp.maximum(count, 1).astype(x.dtype)
    differences = jnp.where(kept, offsets - offset, 0)
    squares = all_sum(jnp.square(differences))
    variance = squares / jnp.maximum(count - ddof, 1).astype(x.dtype)
    return largest, offset, differences, safe_sqrt(variance)
