"""Derivatives with respect to arguments, for functions that use modules.

Parameters, state and keys are constants here, and changes of them are kept once,
however often JAX runs the function. For derivatives with respect to parameters, use
JAX's own with `apply`.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax

from haiku._core.runs.frame import current_frame
from haiku._lifted.pure import with_changes


def jvp(
    fun: Callable[..., Any], primals: Any, tangents: Any, has_aux: bool = False
) -> Any:
    """`jax.jvp` for a function that uses modules: the directional derivative.

    Args:
      fun: A function of arrays, or of pytrees of them.
      primals: Its arguments.
      tangents: The direction, with the structure of `primals`.
      has_aux: Whether `fun` returns `(out, aux)`; aux isn't differentiated.

    Returns:
      `(out, derivative)`, and aux with `has_aux`.

    Raises:
      ValueError: No transformed function is running: use `jax.jvp`.
      TypeError: Primals and tangents differ in structure, shape or dtype.

    Example:
      >>> def f(x, dx):
      ...     return hk.jvp(hk.Linear(3), (x,), (dx,))  # value, and its change along dx
      >>> params = hk.transform(f).init(jax.random.key(0), jnp.ones([2]), jnp.ones([2]))
    """
    frame = current_frame("hk.jvp")
    out, derivative, (aux, changed) = jax.jvp(
        with_changes(fun, frame, has_aux), primals, tangents, has_aux=True
    )
    frame.absorb(changed)
    return (out, derivative, aux) if has_aux else (out, derivative)


def vjp(fun: Callable[..., Any], *primals: Any, has_aux: bool = False) -> Any:
    """`jax.vjp` for a function that uses modules: the output and its pull-back.

    Args:
      fun: A function of arrays, or of pytrees of them.
      *primals: Its arguments.
      has_aux: Whether `fun` returns `(out, aux)`; aux isn't differentiated.

    Returns:
      `(out, vjp_fun)`, and aux with `has_aux`. `vjp_fun(cotangent)`, for a cotangent
      like `out`, is a tuple like `primals`; it has no side effects.

    Raises:
      ValueError: No transformed function is running: use `jax.vjp`.

    Example:
      >>> def f(x):
      ...     out, pull_back = hk.vjp(hk.Linear(3), x)
      ...     return pull_back(jnp.ones_like(out))
      >>> params = hk.transform(f).init(jax.random.key(0), jnp.ones([1, 2]))
    """
    frame = current_frame("hk.vjp")
    out, back, (aux, changed) = jax.vjp(
        with_changes(fun, frame, has_aux), *primals, has_aux=True
    )
    frame.absorb(changed)
    return (out, back, aux) if has_aux else (out, back)


def linearize(fun: Callable[..., Any], *primals: Any, has_aux: bool = False) -> Any:
    """`jax.linearize` for a function that uses modules.

    Args:
      fun: A function of arrays, or of pytrees of them.
      *primals: Its arguments.
      has_aux: Whether `fun` returns `(out, aux)`; aux isn't differentiated.

    Returns:
      `(out, jvp_fun)`, and aux with `has_aux`. `jvp_fun(*tangents)` is the derivative
      at `primals` in a direction; it has no side effects.

    Raises:
      ValueError: No transformed function is running: use `jax.linearize`.

    Example:
      >>> def f(x):
      ...     out, along = hk.linearize(hk.Linear(2, w_init=jnp.ones), x)
      ...     return along(jnp.array([1.0, 0.0, 5.0]))
      >>> hk.bind(f).init(0, jnp.ones([3]))(jnp.ones([3]))
      Array([6., 6.], dtype=float32)
    """
    frame = current_frame("hk.linearize")
    out, linear, (aux, changed) = jax.linearize(
        with_changes(fun, frame, has_aux), *primals, has_aux=True
    )
    frame.absorb(changed)
    return (out, linear, aux) if has_aux else (out, linear)


def _by_matrix(name: str, derivative: Callable[..., Any], what: str, how: str):
    """Makes one of the derivatives that take a function and return one."""

    def transformed(
        fun: Callable[..., Any],
        argnums: int | Sequence[int] = 0,
        has_aux: bool = False,
        holomorphic: bool = False,
    ) -> Callable[..., Any]:
        current_frame(f"hk.{name}")

        @functools.wraps(fun)
        def derivative_f(*args: Any, **kwargs: Any) -> Any:
            frame = current_frame(f"hk.{name}")
            differentiated = derivative(
                with_changes(fun, frame, has_aux),
                argnums,
                has_aux=True,
                holomorphic=holomorphic,
            )
            out, (aux, changed) = differentiated(*args, **kwargs)
            frame.absorb(changed)
            return (out, aux) if has_aux else out

        return derivative_f

    transformed.__name__ = transformed.__qualname__ = name
    transformed.__doc__ = f"""`jax.{name}` for a function that uses modules: {what}.

    {how}

    Args:
      fun: A function of arrays, or of pytrees of them.
      argnums: Which positional arguments to differentiate by.
      has_aux: Whether `fun` returns `(out, aux)`; aux isn't differentiated.
      holomorphic: Whether `fun` is promised to be holomorphic.

    Returns:
      A function like `fun` that returns the derivative, or `(derivative, aux)`.

    Raises:
      ValueError: No transformed function is running: use `jax.{name}`.

    Example:
      >>> def f(x):
      ...     return hk.{name}(lambda x: jnp.sum(hk.Linear(3)(x) ** 2))(x)
      >>> params = hk.transform(f).init(jax.random.key(0), jnp.ones([2]))
      >>> derivative = hk.transform(f).apply(params, None, jnp.ones([2]))
    """
    return transformed


jacfwd = _by_matrix(
    "jacfwd",
    jax.jacfwd,
    "the Jacobian",
    "Forward mode, column by column: for few inputs and many outputs.",
)
jacrev = _by_matrix(
    "jacrev",
    jax.jacrev,
    "the Jacobian",
    "Reverse mode, row by row: for many inputs and few outputs.",
)
hessian = _by_matrix(
    "hessian",
    jax.hessian,
    "the second derivatives",
    "Forward over reverse mode.",
)
