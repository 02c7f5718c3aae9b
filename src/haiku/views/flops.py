"""How many floating point operations an equation takes."""

from __future__ import annotations

import math
from typing import Any

import jax


def flops(eqn: Any, expression: Any = None) -> int:
    """Counts an equation's floating point operations, for `compute_flops`.

    Products of matrices and convolutions count a multiplication and an addition for
    each pair of numbers; a reduction counts its inputs; any other operation counts one
    for each floating point number it returns; moving data counts nothing.

    Args:
      eqn: A `jax.extend.core.JaxprEqn`.
      expression: Its `Expression`; not used.

    Returns:
      How many floating point operations one run of it takes.

    Example:
      >>> info = hk.experimental.jaxpr_info
      >>> count = info.make_model_info(jnp.dot, compute_flops=hk.views.flops)
      >>> count(jnp.ones([2, 4]), jnp.ones([4, 3])).flops
      48
    """
    del expression
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
    if is_move(eqn):
        return 0
    if name.startswith(("reduce_", "cum", "arg")):
        return math.prod(shapes[0]) if _is_float(eqn.invars[0].aval) else 0
    return size


# fmt: off
_MOVES = frozenset((
    "bitcast_convert_type", "broadcast", "broadcast_in_dim", "concatenate",
    "convert_element_type", "copy", "copy_p", "device_put", "dynamic_slice",
    "dynamic_update_slice", "expand_dims", "gather", "iota", "optimization_barrier",
    "pad", "reshape", "rev", "scatter", "select_n", "slice", "split", "squeeze",
    "stop_gradient", "transpose",
))
# fmt: on


def is_move(eqn: Any) -> bool:
    """Whether an equation only moves numbers, or changes their dtype."""
    return eqn.primitive.name in _MOVES


def _is_float(aval: Any) -> bool:
    dtype = getattr(aval, "dtype", None)
    return dtype is not None and jax.numpy.issubdtype(dtype, jax.numpy.inexact)
