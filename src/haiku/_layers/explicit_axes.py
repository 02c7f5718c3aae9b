"""Arithmetic that Explicit mesh axes need help with: JAX asks where its output lies.

Elsewhere these are the plain operations.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import AxisType, PartitionSpec

__all__ = [
    "has_explicit_axes",
    "keeping_rows",
    "looked_up",
    "over_rows",
    "split_like",
]


def looked_up(table: Any, indices: jax.Array) -> jax.Array:
    """Rows of a table, which lie where their indices lie: ``[..., D]``."""
    table = jnp.asarray(table)
    if not has_explicit_axes():
        return table[indices]
    rest = _spec(table)[1:] if len(_spec(table)) > 1 else ()
    spec = PartitionSpec(*_padded(indices), *rest)
    return table.at[indices].get(out_sharding=spec)


def split_like(y: jax.Array, x: jax.Array) -> jax.Array:
    """`y` with its first axis split as that of `x` is."""
    if not has_explicit_axes() or not y.shape:
        return y
    entries = _padded(y)
    return jax.sharding.reshard(y, PartitionSpec(_padded(x)[0], *entries[1:]))


def keeping_rows(f: Callable[..., Any], x: jax.Array, *args: Any) -> Any:
    """``f(x, *args)``, arrays whose first axis is split as that of `x` is."""
    if not has_explicit_axes():
        return f(x, *args)
    return jax.sharding.auto_axes(f, out_sharding=PartitionSpec(_padded(x)[0]))(
        x, *args
    )


def over_rows(f: Callable[..., Any], *args: Any) -> Any:
    """``f(*args)``, sums over the first axes, the same on every device."""
    if not has_explicit_axes():
        return f(*args)
    return jax.sharding.auto_axes(f, out_sharding=PartitionSpec())(*args)


def has_explicit_axes() -> bool:
    """Whether arrays carry in their types how they are split."""
    return AxisType.Explicit in jax.sharding.get_abstract_mesh().axis_types


def _spec(x: jax.Array) -> tuple[Any, ...]:
    return tuple(jax.typeof(x).sharding.spec)


def _padded(x: jax.Array) -> tuple[Any, ...]:
    """How each axis is split."""
    spec = _spec(x)
    return (*spec, *(None,) * (len(x.shape) - len(spec)))
