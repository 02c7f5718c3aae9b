"""Axis names: names for the axes of parameters, which stay plain arrays."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import jax

from haiku._core.runs.stack import Stack
from haiku._core.variables import hooks
from haiku._core.variables.hooks import GetterContext

Names = tuple[str | None, ...]


class _Record(NamedTuple):
    """Names by module path and parameter.

    Attributes:
      given: Those that blocks gave; the innermost block counts.
      own: Those that layers give themselves; they count where no block did.
    """

    given: dict[tuple[str, str], Names]
    own: dict[tuple[str, str], Names]


_records: Stack[_Record] = Stack("axis_records")


@contextlib.contextmanager
def naming_axes(by_name: Mapping[str, Names], *, own: bool = False) -> Iterator[None]:
    """Names the axes of the parameters that are made in a `with` block.

    Args:
      by_name: The names of a parameter's axes by the parameter's name, None for an axis
        without one: `{"w": ("embed", "mlp"), "b": ("mlp",)}`. Axes that `layer_stack`,
        `vmap` or `ensemble` put in front have no place here.
      own: Whether a layer names its own axes, which blocks around it may name anew.

    Yields:
      None.

    Raises:
      ValueError: A parameter has another number of axes than names.
    """

    def creator(next_creator, shape, dtype, init, context: GetterContext):
        value = next_creator(shape, dtype, init)
        names = by_name.get(context.name)
        if names is None:
            return value
        if len(names) != len(shape):
            raise ValueError(
                f"{context.full_name} has {len(shape)} axes, {list(shape)}, and was "
                f"given names for {len(names)}: {tuple(names)}. Write one name for "
                "each axis, None for an axis without a name."
            )
        path = (context.lifted_prefix_name or "") + context.module_name, context.name
        for record in _records.get():
            # Inner blocks are here first.
            (record.own if own else record.given).setdefault(path, tuple(names))
        return value

    with hooks.param_creators.push(creator):
        yield


def axis_names(
    init: Callable[..., Any], *args: Any, **kwargs: Any
) -> dict[str, dict[str, Names]]:
    """The names of the parameters' axes, found by an abstract run of `init`.

    Args:
      init: The `init` of `hk.transform` or its kin. Not under `jax.jit`, whose cache
        may skip the function that names axes.
      *args: Its arguments: arrays, or anything with a shape and a dtype.
      **kwargs: Its keyword arguments.

    Returns:
      `{module path: {parameter: names}}` of the parameters that have names, one name
      for each of a parameter's last axes.
    """
    record = _Record({}, {})

    def run(*args: Any, **kwargs: Any) -> Any:  # A new function: JAX caches by it.
        return init(*args, **kwargs)

    with _records.push(record):
        jax.eval_shape(run, *args, **kwargs)
    out: dict[str, dict[str, Names]] = {}
    for (path, name), names in {**record.own, **record.given}.items():
        out.setdefault(path, {})[name] = names
    return out
