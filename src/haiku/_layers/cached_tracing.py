"""What JAX traces once per shape, and not at every use."""

from collections.abc import Callable
from typing import Any

import jax

__all__ = ["compiled", "elementwise", "relu", "traced_once"]


def compiled(name: str, *static: str) -> Callable[..., Any]:
    """Decorates pure arithmetic, to be traced once for all layers of a shape.

    In programs and profiles it is called ``haiku_`` and its name. Views know it by that
    and show what is inside.

    Args:
      name: What it computes.
      *static: Names of the arguments that are no arrays.
    """

    def decorate(f: Callable[..., Any]) -> Callable[..., Any]:
        f.__name__ = f"haiku_{name}"
        return jax.jit(f, static_argnames=static)

    return decorate


def elementwise(name: str) -> Callable[..., Any]:
    """As `compiled`, for cheap arithmetic that a gradient rather does again.

    Only its inputs are kept for the backward pass: in a loop, what lies between would
    be most of the memory, and is slower to write at each step than to compute.
    """

    def decorate(f: Callable[..., Any]) -> Callable[..., Any]:
        return compiled(name)(jax.checkpoint(f, prevent_cse=False))

    return decorate


# Elementwise, and the same number compiled or not. A function of the user's is never
# compiled: it may read parameters, keys or state.
_ACTIVATIONS = (
    "celu",
    "elu",
    "hard_sigmoid",
    "hard_silu",
    "hard_swish",
    "hard_tanh",
    "leaky_relu",
    "log_sigmoid",
    "relu",
    "relu6",
    "selu",
    "sigmoid",
    "silu",
    "soft_sign",
    "softplus",
    "swish",
)

_traced_once = {
    activation: jax.jit(activation)
    for activation in (getattr(jax.nn, name, None) for name in _ACTIVATIONS)
    if activation is not None
}


def traced_once(f: Callable[..., Any]) -> Callable[..., Any]:
    """A compiled `f` if it is an activation of ``jax.nn``, else `f` itself."""
    try:
        return _traced_once.get(f, f)
    except TypeError:  # a callable that cannot be hashed is none of JAX's
        return f


relu = traced_once(jax.nn.relu)
