"""Shared by all normalisations: axes, and a learned scale and offset."""

from collections.abc import Iterable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from haiku._core import get_parameter
from haiku._layers.inputs import shapes_broadcast
from haiku.initializers import Initializer

__all__ = [
    "AxisOrAxes",
    "Axes",
    "check_axes",
    "check_call_arguments",
    "check_inits",
    "param_shape",
    "positive_axes",
    "scale_and_offset",
]

Axes = tuple[int, ...] | slice
AxisOrAxes = int | Sequence[int] | slice


def check_axes(axis: Any) -> Axes:
    """`axis` as a tuple; a slice stays a slice.

    Raises:
      ValueError: `axis` isn't an integer, several integers or a slice.
    """
    if isinstance(axis, slice):
        return axis
    if isinstance(axis, (int, np.integer)):
        return (int(axis),)
    if isinstance(axis, Iterable) and not isinstance(axis, str):
        axes = tuple(axis)
        if all(isinstance(a, (int, np.integer)) for a in axes):
            return tuple(map(int, axes))
    raise ValueError(
        f"`axis` should be an int, slice or iterable of ints. Got: {axis!r}. -1 is the "
        "last axis; (1, 2) and slice(1, 3) are both axes 1 and 2."
    )


def positive_axes(axes: Axes, rank: int, where: str) -> tuple[int, ...]:
    """The axes of an array of `rank`, counted from the front and sorted.

    Raises:
      ValueError: An axis is out of range. `where` names the module.
    """
    if isinstance(axes, slice):
        return tuple(sorted(range(rank)[axes]))
    for axis in axes:
        if not -rank <= axis < rank:
            raise ValueError(
                f"axis {axis} is out of range for the input of {where}, which has rank "
                f"{rank}: its axes are {-rank} to {rank - 1}."
            )
    return tuple(sorted({axis % rank for axis in axes}))


def param_shape(
    param_axis: Axes, shape: tuple[int, ...], where: str
) -> tuple[int, ...]:
    """Shape of parameters that vary along `param_axis` of an input of `shape`."""
    axes = positive_axes(param_axis, len(shape), where)
    if axes == (len(shape) - 1,):
        return shape[-1:]
    return tuple(size if axis in axes else 1 for axis, size in enumerate(shape))


def check_inits(
    create_scale: bool,
    create_offset: bool,
    scale_init: Initializer | None,
    offset_init: Initializer | None,
) -> None:
    """Raises if an initializer is given for a parameter that isn't created."""
    if not create_scale and scale_init is not None:
        raise ValueError(_unused_init_message("scale"))
    if not create_offset and offset_init is not None:
        raise ValueError(_unused_init_message("offset"))


def _unused_init_message(name: str) -> str:
    return (
        f"Cannot set `{name}_init` if `create_{name}=False`: the module then has no "
        f"parameter `{name}`. Leave `{name}_init` out, or set `create_{name}=True`."
    )


def check_call_arguments(layer: Any, scale: Any, offset: Any) -> None:
    """Raises if a call passes a scale or offset that the module learns itself."""
    if layer.create_scale and scale is not None:
        raise ValueError(_duplicate_message("scale", layer))
    if layer.create_offset and offset is not None:
        raise ValueError(_duplicate_message("offset", layer))


def _duplicate_message(name: str, layer: Any) -> str:
    return (
        f"Cannot pass `{name}` at call time if `create_{name}=True`: "
        f"{layer.module_name!r} has a parameter `{name}`. Leave it out of the call, or "
        f"build the module with `create_{name}=False`."
    )


def scale_and_offset(
    layer: Any,
    inputs: jax.Array,
    shape: Sequence[int],
    dtype: Any,
    scale: Any,
    offset: Any,
) -> tuple[Any, Any]:
    """Scale and offset for the normalised `inputs`; either may be None.

    Each is the module's parameter or the argument of the call, with axes of size 1
    prepended up to the rank of `inputs`.

    Args:
      layer: The module.
      inputs: The array to normalise.
      shape: Shape of the parameters.
      dtype: Dtype of the parameters.
      scale: Argument of the call, or None.
      offset: Argument of the call, or None.

    Raises:
      ValueError: An argument of the call doesn't broadcast to `inputs`.
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
    shape = np.shape(x)
    missing = len(inputs.shape) - len(shape)
    if not shapes_broadcast(shape, inputs.shape):
        raise ValueError(
            f"`{name}` of shape {shape} does not broadcast to the input of shape "
            f"{inputs.shape} in {layer.module_name!r}: each of its axes, counted from "
            "the last, must be 1 or as large as the input's."
        )
    if missing <= 0 or not shape:
        return x
    return jnp.reshape(x, (1,) * missing + shape)
