"""How many floating point operations an equation takes."""

from __future__ import annotations

import math
from typing import Any

import jax

__all__ = ["flops_of", "is_move"]


def flops_of(eqn: Any) -> int:
    """How many floating point operations one run of an equation takes.

    Products of matrices and convolutions count a multiplication and an addition for
    each pair of numbers; a reduction counts its inputs; whatever else makes or keeps
    floating point numbers, one for each number it returns; moving data counts nothing.
    """
    name = eqn.primitive.name
    shapes: list[Any] = [getattr(v.aval, "shape", ()) for v in eqn.invars]
    size = sum(math.prod(v.aval.shape) for v in eqn.outvars if _is_float(v.aval))
    if name == "dot_general":
        (contracted, _), _ = eqn.params["dimension_numbers"]
        return 2 * size * math.prod(shapes[0][d] for d in contracted)
    if name == "conv_general_dilated":
        # Each output sums over the kernel's window and input channels.
        out_channels = eqn.params["dimension_numbers"].rhs_spec[0]
        return 2 * size * math.prod(shapes[1]) // max(1, shapes[1][out_channels])
    if name in _MOVES:
        return 0
    if name.startswith(("reduce_", "cum", "arg")):
        return math.prod(shapes[0]) if _is_float(eqn.invars[0].aval) else 0
    return size


_MOVES = frozenset(
    (
        "bitcast_convert_type",
        "broadcast",
        "broadcast_in_dim",
        "concatenate",
        "convert_element_type",
        "copy",
        "copy_p",
        "device_put",
        "dynamic_slice",
        "dynamic_update_slice",
        "expand_dims",
        "gather",
        "iota",
        "optimization_barrier",
        "pad",
        "reshape",
        "rev",
        "scatter",
        "select_n",
        "slice",
        "split",
        "squeeze",
        "stop_gradient",
        "transpose",
    )
)


def is_move(eqn: Any) -> bool:
    """Whether an equation only moves numbers, or changes their dtype."""
    return eqn.primitive.name in _MOVES


def _is_float(aval: Any) -> bool:
    dtype = getattr(aval, "dtype", None)
    return dtype is not None and jax.numpy.issubdtype(dtype, jax.numpy.inexact)
