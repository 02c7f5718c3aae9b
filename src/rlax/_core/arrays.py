"""Indexing, broadcasting and dtypes."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import ArrayLike, DTypeLike

from rlax._core import broadcasting, errors
from rlax._core.types import known_arrays


def one_hot(
    indices: ArrayLike, num_classes: int, dtype: DTypeLike = jnp.float32
) -> jax.Array:
    """Encodes each index as a vector that is 1 there and 0 elsewhere.

    Args:
      indices: `[...]`, whole numbers of any dtype; one outside 0 .. num_classes - 1
        gives zeros.
      num_classes: Length of the vectors.
      dtype: Of the result.

    Returns:
      `[..., num_classes]`.

    Example:
      >>> print(rlax.one_hot([0, 2, 5], 3))
      [[1. 0. 0.]
       [0. 0. 1.]
       [0. 0. 0.]]
    """
    indices = jnp.asarray(indices)[..., None]
    if indices.dtype == bool:
        indices = indices.astype(jnp.int32)
    classes = jnp.arange(num_classes, dtype=indices.dtype)
    return (indices == classes.reshape((1,) * (indices.ndim - 1) + (-1,))).astype(dtype)


def pick(values: ArrayLike, indices: ArrayLike) -> jax.Array:
    """Picks values[..., indices[...]]; NaN where an index is out of range.

    A clamped or wrapped index would give a plausible number for a wrong action.
    """
    values, indices = known_arrays(values, indices)
    # A negative index would count from the end; past the end the fill is NaN.
    indices = jnp.where(indices < 0, values.shape[-1], indices)
    return jnp.take_along_axis(values, indices[..., None], axis=-1, mode="fill")[..., 0]


def pick_along(values: ArrayLike, index: ArrayLike, axis: int) -> jax.Array:
    """Picks values at one index of an axis; NaN where the index is out of range."""
    values, index = known_arrays(values, index)
    picked = jnp.take(values, index, axis=axis, mode="clip")
    inside = (index >= 0) & (index < values.shape[axis])
    return jnp.where(inside, picked, jnp.nan)


def batched_index(
    values: ArrayLike, indices: ArrayLike, keepdims: bool = False
) -> jax.Array:
    """Picks one element along the last axis for every leading position.

    Args:
      values: `[..., A]`.
      indices: `[...]`, integers in -A .. A - 1; negative ones count from the end.
        Others give NaN (the lowest integer where values are integers). An axis of 1
        broadcasts, here and in values.
      keepdims: Whether the last axis stays, with size 1.

    Returns:
      `[...]`, or `[..., 1]` with keepdims.

    Raises:
      ContractError: If indices don't fit values without its last axis.

    Example:
      >>> print(rlax.batched_index([[1.0, 2.0], [3.0, 4.0]], [0, -1]))
      [1. 4.]
    """
    values, indices = jnp.asarray(values), jnp.asarray(indices)
    if not jnp.issubdtype(indices.dtype, jnp.integer):
        raise errors.DtypeContractError(
            f"batched_index: indices must have an integer dtype, got {indices.dtype}; "
            "pass jnp.asarray(indices, jnp.int32)."
        )
    lead = values.shape[:-1]
    errors.check(
        len(lead) == indices.ndim
        and broadcasting.broadcast_shape(lead, indices.shape) is not None,
        f"batched_index: indices {list(indices.shape)} must have the shape of values "
        f"{list(values.shape)} without its last axis, {list(values.shape[:-1])}.",
    )
    picked = jnp.take_along_axis(values, indices[..., None], axis=-1, mode="fill")
    return picked if keepdims else picked[..., 0]


def lhs_broadcast(source: ArrayLike, target: ArrayLike) -> jax.Array:
    """Adds trailing axes to source until it has target's shape from the left.

    Args:
      source: `[A, B, ...]`; each size equals target's, or is 1.
      target: `[A, B, ..., Z]`, or one number, which leaves source as it is.

    Returns:
      source with an axis of size 1 added for each further axis of target.

    Raises:
      ContractError: If a size of source is neither 1 nor target's.

    Example:
      >>> rlax.lhs_broadcast(jnp.ones(2), jnp.ones((2, 3))).shape
      (2, 1)
    """
    source, target = jnp.asarray(source), jnp.asarray(target)
    if target.ndim == 0:
        return source  # one number: it broadcasts by itself
    leading = target.shape[: source.ndim]
    fits = len(leading) == source.ndim and all(
        s in (1, t) for s, t in zip(source.shape, leading)
    )
    errors.check(
        fits,
        f"lhs_broadcast: source shape {list(source.shape)} must equal the leading "
        f"axes of the target shape {list(target.shape)}, or be 1 there.",
    )
    return source.reshape(source.shape + (1,) * (target.ndim - source.ndim))


def widest(*dtypes: np.dtype) -> np.dtype:
    """The float dtype that holds all of these, under strict promotion too."""
    found = dtypes[0]
    for dtype in dtypes[1:]:
        bits, others = jnp.finfo(found).bits, jnp.finfo(dtype).bits
        if bits == others and found != dtype:
            found = jnp.dtype(jnp.float32)  # bfloat16 and float16
        elif others > bits:
            found = dtype
    return found


def of_widest_float(*arrays: ArrayLike) -> list[jax.Array]:
    """Casts all arrays, integers too, to the widest of their float dtypes.

    Without a float among them they stay as they are.
    """
    arrays = known_arrays(*arrays)
    floats = [x.dtype for x in arrays if jnp.issubdtype(x.dtype, jnp.floating)]
    return [x.astype(widest(*floats)) for x in arrays] if floats else list(arrays)


def at_least_single(dtype: np.dtype) -> np.dtype:
    """float32 instead of half precision; other dtypes as they are."""
    return widest(dtype, jnp.dtype(jnp.float32))


def fresh(x: ArrayLike) -> Any:
    """Copies x if it is traced.

    vmap inside jit turns a NumPy array that is closed over into a tracer which
    functions with custom derivatives reject; they accept its copy.
    """
    return jnp.copy(x) if isinstance(x, Tracer) else x


def align(x: ArrayLike, like: ArrayLike) -> jax.Array:
    """Gives x [T] trailing axes for like [T, B...]; numbers and equals unchanged."""
    x, like = known_arrays(x, like)
    if x.ndim in (0, like.ndim):
        return x
    return x.reshape(x.shape + (1,) * (like.ndim - x.ndim))
