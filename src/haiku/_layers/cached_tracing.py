"""Arithmetic that JAX traces once per shape instead of at each use."""

import functools
from collections.abc import Callable
from typing import Any

import jax

__all__ = ["compiled", "elementwise", "gated", "jit_activation", "recomputed", "relu"]


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


def elementwise(name: str, *static: str) -> Callable[..., Any]:
    """Like `compiled`, for cheap arithmetic that the backward pass repeats.

    The forward pass keeps only the inputs. In a loop, intermediate values would take
    most of the memory, and storing them at each step is slower than computing them.
    """

    def decorate(f: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(f)
        def repeated(*args, **options):
            return recomputed(functools.partial(f, **options))(*args)

        function = compiled(name, *static)(repeated)
        _ELEMENTWISE.append(function)
        return function

    return decorate


_ELEMENTWISE: list[Callable[..., Any]] = []  # what `elementwise` made


# What `f` computes is computed again in the backward pass, if that is in a loop.
recomputed = functools.partial(jax.checkpoint, prevent_cse=False)


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


def gated(activation: Callable[..., Any], gate: jax.Array, up: jax.Array) -> jax.Array:
    """``activation(gate) * up``.

    The backward pass repeats it if the activation is one of ``jax.nn``, or made by
    `elementwise`: a user's may read parameters.
    """
    f = jit_activation(activation)
    if any(f is known for known in (*_JITTED.values(), *_ELEMENTWISE)):
        return _product_by(f)(gate, up)
    return activation(gate) * up


@functools.cache
def _product_by(activation: Callable[..., Any]) -> Callable[..., Any]:
    return elementwise("gates")(lambda gate, up: activation(gate) * up)
