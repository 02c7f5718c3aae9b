"""Weights that are computed, in place of parameters: hypernetworks, weight norm."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from haiku._core.blueprints.blueprint import Blueprint
from haiku._core.modules.module import Module
from haiku._core.sharing.parameter_replacement import Replaced
from haiku._core.variables.hooks import GetterContext
from haiku._core.variables.parameters import DO_NOT_STORE
from haiku._text import array_text


@contextlib.contextmanager
def given(
    weights: Mapping[str, Any], *, inside: Module | None = None
) -> Iterator[None]:
    """Gives modules their weights while a `with` block runs, and stores none for them.

    Args:
      weights: Arrays by path, each of the shape that the module asks for. A path counts
        from the module around the block, `linear/w`, or from the root, `/net/linear/w`;
        in it `*` is any text without a slash, and `**` any number of parts. A function
        in place of an array takes the parameter, which is stored then as it would be
        without it, and returns what the module gets. Of several paths that find a
        parameter the first counts; of several blocks the innermost.
      inside: The module from which paths count instead: `{"w": w}` is its own `w`.

    Yields:
      None.

    Raises:
      ValueError: No transformed function is running; a weight has another shape than
        the module asks for; or the block asked for none of that path, which is no error
        if it ended with another one.
      TypeError: `weights` is no mapping, or one of them is no array.

    Example:
      >>> def f(x, z):  # A layer whose weights another one computes.
      ...     w = hk.Linear(3 * 2, name="hyper")(z).reshape(3, 2)
      ...     with hk.given({"main/w": w}):
      ...         return hk.Linear(2, with_bias=False, name="main")(x)
      >>> params = hk.transform(f).init(jax.random.key(0), jnp.ones([3]), jnp.ones([4]))
      >>> sorted(params)
      ['hyper']
    """
    if not isinstance(weights, Mapping):
        raise TypeError(
            "hk.given takes weights by path, such as {'linear/w': w}, got "
            f"{type(weights).__name__}."
        )
    replaced = Replaced("hk.given", weights, inside)
    values = {path: _checked(path, value) for path, value in weights.items()}

    def weight_of(context: GetterContext) -> Any:
        hit = replaced.match(replaced.note(context))
        return None if hit is None else values[hit[0]]

    def creator(next_creator, shape, dtype, init, context):
        weight = weight_of(context)
        if weight is None or callable(weight):
            return next_creator(shape, dtype, init)
        return DO_NOT_STORE

    def getter(next_getter, value, context):
        weight = weight_of(context)
        if weight is not None:
            value = weight(value) if callable(weight) else weight
            _check_shape(value, context)
        return next_getter(value)

    with replaced.held(creator, getter):
        yield


def with_weights(
    layer: Any, weights: Mapping[str, Any] | None = None, /, **named: Any
) -> Callable[..., Any]:
    """A module that is called with weights given to it instead of its parameters.

    Args:
      layer: A module, one of its methods, or a blueprint.
      weights: As for `hk.given`, by path inside the module: `{"~/linear_0/w": w}`.
      **named: The module's own, by name: `w=w, b=b`.

    Returns:
      A function that takes what `layer` takes and returns what it returns.

    Raises:
      TypeError: `layer` is no module.
      ValueError: As for `hk.given`.

    Example:
      >>> def f(ws, xs):  # [B, 3, 2], [B, 3]: every example has weights of its own.
      ...     layer = hk.Linear(2, with_bias=False)
      ...     one = lambda w, x: hk.with_weights(layer, w=w)(x)
      ...     return hk.vmap(one, split_rng=False)(ws, xs)
      >>> f = hk.transform(f)
      >>> f.apply({}, None, jnp.ones([5, 3, 2]), jnp.ones([5, 3])).shape
      (5, 2)
    """
    if isinstance(layer, Blueprint):
        layer = layer.build()
    module = layer if isinstance(layer, Module) else getattr(layer, "__self__", None)
    if not isinstance(module, Module) or not callable(layer):
        raise TypeError(
            "hk.with_weights takes a module that can be called, or a method of one, "
            f"got {type(layer).__name__}. For a function that uses modules write "
            "`with hk.given({'linear/w': w}): ...`."
        )
    both = {**(weights or {}), **named}

    def called(*args: Any, **kwargs: Any) -> Any:
        with given(both, inside=module):
            return layer(*args, **kwargs)

    return called


def _checked(path: str, value: Any) -> Any:
    if callable(value) or isinstance(value, jax.Array):
        return value
    if not isinstance(value, (np.ndarray, np.generic, bool, int, float, complex)):
        raise TypeError(
            f"hk.given: the weight for {path!r} is {type(value).__name__}, and has to "
            "be an array, or a function from the parameter to one."
        )
    return jnp.asarray(value)


def _check_shape(value: Any, context: GetterContext) -> None:
    wanted = tuple(context.original_shape)
    if getattr(value, "shape", None) != wanted:
        have = array_text(value) if hasattr(value, "shape") else repr(value)
        hint = ""
        if getattr(value, "shape", ())[::-1] == wanted:
            hint = " Transposed it would fit."
        elif getattr(value, "shape", ())[1:] == wanted:
            hint = " For a batch of weights call the module in `hk.vmap`."
        raise ValueError(
            f"hk.given: {context.full_name} is given as {have}, and the module asks "
            f"for the shape {list(wanted)}.{hint}"
        )
