"""Arithmetic that JAX traces once per shape instead of at each use."""

from collections.abc import Callable
from typing import Any

import jax

__all__ = ["compiled", "elementwise", "jit_activation", "relu"]


def compiled(name: str, *static: str) -> Callable[..., Any]:
    """Decorates pure arithmetic so that all layers of a shape share one trace.

    Programs and profiles show it as ``haiku_<name>``; views recognise the prefix and
    show what is inside.

    Args:
      name: Name of the computation.
      *static: Names of the arguments that aren't arrays.
    """

    def decorate(f: Callable[..., Any]) -> Callable[..., Any]:
        f.__name__ = f"haiku_{name}"
        return jax.jit(f, static_argnames=static)

    return decorate


def elementwise(name: str) -> Callable[..., Any]:
    """Like `compiled`, for cheap arithmetic that the backward pass repeats.

    The forward pass keeps only the inputs. In a loop, intermediate values would take
    most of the memory, and storing them at each step is slower than computing them.
    """

    def decorate(f: Callable[..., Any]) -> Callable[..., Any]:
        return compiled(name)(jax.checkpoint(f, prevent_cse=False))

    return decorate


# Elementwise functions that compute the same number compiled or not. Users' functions
# are never compiled: they may read parameters, keys or state.
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

_JITTED = {
    activation: jax.jit(activation)
    for activation in (getattr(jax.nn, name, None) for name in _ACTIVATIONS)
    if activation is not None
}


def jit_activation(f: Callable[..., Any]) -> Callable[..., Any]:
    """A compiled `f` if it is an activation of ``jax.nn``, else `f` itself."""
    try:
        return _JITTED.get(f, f)
    except TypeError:  # JAX's functions are hashable
        return f


relu = jit_activation(jax.nn.relu)
