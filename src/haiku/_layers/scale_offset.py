"""What all normalisations have in common: axes, and a learned scale and offset."""

from collections.abc import Iterable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from haiku._core import get_parameter
from haiku.initializers import Initializer

__all__ = [
    "AxisOrAxes",
    "Axes",
    "check_axes",
    "check_given",
    "check_inits",
    "positive_axes",
    "scale_and_offset",
]

Axes = tuple[int, ...] | slice
AxisOrAxes = int | Sequence[int] | slice


def check_axes(axis: Any) -> Axes:
    """`axis` as a tuple, or the slice that it is.

    Raises:
      ValueError: It is neither an integer, nor integers, nor a slice.
    """
    if isinstance(axis, slice):
        return axis
    if isinstance(axis, int):
        return (axis,)
    if isinstance(axis, Iterable) and not isinstance(axis, str):
        axes = tuple(axis)
        if all(isinstance(a, int) for a in axes):
            return axes
    raise ValueError(
        f"`axis` should be an int, slice or iterable of ints. Got: {axis!r}"
    )


def positive_axes(axes: Axes, rank: int, where: str) -> tuple[int, ...]:
    """`axes` of an array of `rank`, counted from the front, in order.

    Raises:
      ValueError: There is no such axis. `where` says in which module.
    """
    if isinstance(axes, slice):
        return tuple(sorted(range(rank)[axes]))
    for axis in axes:
        if not -rank <= axis < rank:
            raise ValueError(
                f"axis {axis} is out of range for the input of {where}, which has rank "
                f"{rank}."
            )
    return tuple(sorted({axis % rank for axis in axes}))


def check_inits(
    create_scale: bool,
    create_offset: bool,
    scale_init: Initializer | None,
    offset_init: Initializer | None,
) -> None:
    """Raises if there is an initializer for a parameter that is not made."""
    if not create_scale and scale_init is not None:
        raise ValueError("Cannot set `scale_init` if `create_scale=False`.")
    if not create_offset and offset_init is not None:
        raise ValueError("Cannot set `offset_init` if `create_offset=False`.")


def check_given(layer: Any, scale: Any, offset: Any) -> None:
    """Raises if a call brings a parameter that the module makes itself."""
    if layer.create_scale and scale is not None:
        raise ValueError(
            "Cannot pass `scale` at call time if `create_scale=True`. "
            f"({layer.module_name!r})"
        )
    if layer.create_offset and offset is not None:
        raise ValueError(
            "Cannot pass `offset` at call time if `create_offset=True`. "
            f"({layer.module_name!r})"
        )


def scale_and_offset(
    layer: Any,
    inputs: jax.Array,
    shape: Sequence[int],
    dtype: Any,
    scale: Any,
    offset: Any,
) -> tuple[Any, Any]:
    """The factor and the summand of a normalised `inputs`, or None for either.

    They are the module's parameters, or what the call brought, with axes of size 1 in
    front until they have the rank of `inputs`.

    Args:
      layer: The module.
      inputs: What is normalised.
      shape: Shape of the parameters.
      dtype: Dtype of the parameters.
      scale: What the call brought, or None.
      offset: What the call brought, or None.

    Raises:
      ValueError: What the call brought does not broadcast to `inputs`.
    """
    if layer.create_scale:
        scale = get_parameter("scale", shape, dtype, init=layer.scale_init)
    if layer.create_offset:
        offset = get_parameter("offset", shape, dtype, init=layer.offset_init)
    return (
        _with_rank_of(inputs, scale, "scale", layer),
        _with_rank_of(inputs, offset, "offset", layer),
    )


def _with_rank_of(inputs: jax.Array, x: Any, name: str, layer: Any) -> Any:
    if x is None:
        return None
    shape = jnp.shape(x)
    missing = len(inputs.shape) - len(shape)
    if missing < 0 or any(
        n not in (1, m) for n, m in zip(shape, inputs.shape[missing:])
    ):
        raise ValueError(
            f"`{name}` of shape {shape} does not broadcast to the input of shape "
            f"{inputs.shape} in {layer.module_name!r}."
        )
    if missing == 0 or not shape:
        return x
    return jnp.reshape(x, (1,) * missing + shape)
