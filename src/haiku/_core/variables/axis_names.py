"""Axis names: names for the axes of parameters, which stay plain arrays."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import jax

from haiku._core.runs.frame import frames
from haiku._core.runs.stack import Stack
from haiku._core.variables import hooks
from haiku._core.variables.hooks import GetterContext
from haiku._trees.rules import Rules

Names = tuple[Any, ...]  # a logical axis, a mesh axis or None for each axis


class _Record(NamedTuple):
    """Names by module path and parameter.

    Attributes:
      given: Those that blocks gave; the innermost block counts.
      own: For every parameter, those that the modules around it give.
    """

    given: dict[tuple[str, str], Names]
    own: dict[tuple[str, str], Names]


_records: Stack[_Record] = Stack("axis_records")


@contextlib.contextmanager
def logical_axes(**names: Names) -> Iterator[None]:
    """Names the axes of the parameters that are made in a `with` block.

    A parameter stays a plain array: :func:`sharded` finds the names by an abstract run
    of `init`. Inner blocks go before outer ones, and both before the names that layers
    give their own parameters.

    Args:
      **names: By a parameter's name, the names of its axes, None for an axis without
        one. Axes that `layer_stack`, `vmap` or `ensemble` put in front have no place
        here.

    Yields:
      None.

    Raises:
      ValueError: A parameter has another number of axes than names.

    Example:
      >>> def mlp(x):
      ...     with hk.parallel.logical_axes(w=("embed", "mlp"), b=("mlp",)):
      ...         h = jax.nn.gelu(hk.Linear(64)(x))
      ...     with hk.parallel.logical_axes(w=("mlp", "embed")):
      ...         return hk.Linear(16)(h)
    """

    def creator(next_creator, shape, dtype, init, context: GetterContext):
        value = next_creator(shape, dtype, init)
        given = names.get(context.name)
        if given is None:
            return value
        _check_number(context, shape, given)
        for record in _records.get():
            # Inner blocks are here first.
            record.given.setdefault(_path(context), tuple(given))
        return value

    with hooks.param_creators.push(creator):
        yield


def axis_names(
    init: Callable[..., Any], *args: Any, **kwargs: Any
) -> tuple[dict[str, dict[str, Names]], Any]:
    """The names of all parameters' axes, found by an abstract run of `init`.

    Names come from blocks of `logical_axes`; else from the outermost module around the
    parameter whose `_own_axes`, a mapping from patterns of paths below it, finds it: a
    net knows more of its layers than they do.

    Args:
      init: The `init` of `hk.transform` or its kin. Not under `jax.jit`, whose cache
        may skip the function that names axes.
      *args: Its arguments: arrays, or anything with a shape and a dtype.
      **kwargs: Its keyword arguments.

    Returns:
      `{module path: {parameter: names}}`, a name or None for each of a parameter's last
      axes, without those that stacks put in front; and the shapes of what `init`
      returns.
    """
    record = _Record({}, {})

    def creator(next_creator, shape, dtype, init, context: GetterContext):
        names = _own_names(context) or (None,) * len(shape)
        _check_number(context, shape, names)
        record.own.setdefault(_path(context), names)
        return next_creator(shape, dtype, init)

    def run(*args: Any, **kwargs: Any) -> Any:  # A new function: JAX caches by it.
        return init(*args, **kwargs)

    with _records.push(record), hooks.param_creators.push(creator):
        shapes = jax.eval_shape(run, *args, **kwargs)
    out: dict[str, dict[str, Names]] = {}
    for (path, name), names in {**record.own, **record.given}.items():
        out.setdefault(path, {})[name] = names
    return out, shapes


def _path(context: GetterContext) -> tuple[str, str]:
    return (context.lifted_prefix_name or "") + context.module_name, context.name


def _own_names(context: GetterContext) -> Names | None:
    """What the outermost module that knows the parameter calls its axes."""
    path = "/".join(_path(context))
    for frame in frames.get():
        for scope in frame.scopes:
            table: Mapping[str, Names] | None = getattr(scope.module, "_own_axes", None)
            if table is None:
                continue
            above = f"{frame.lifting.prefix or ''}{scope.path}/"
            if path.startswith(above):
                match = Rules(table).match(path[len(above) :])
                if match is not None:
                    return match.value
    return None


def _check_number(context: GetterContext, shape: Any, names: Names) -> None:
    if len(names) != len(shape):
        raise ValueError(
            f"{context.full_name} has {len(shape)} axes, {list(shape)}, and was given "
            f"names for {len(names)}: {tuple(names)}. Write one name for each axis, "
            "None for an axis without a name."
        )
