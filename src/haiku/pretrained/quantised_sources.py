"""Weights of files that become integers as they are read, layer by layer."""

import functools
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Sharding

from haiku._trees.places import Place, Values, find_places
from haiku.adapt import Int4, Int8
from haiku.adapt.adaptation import twice
from haiku.pretrained.layouts import Source
from haiku.pretrained.placement import array_of_parts

__all__ = ["adaptations_of", "integers"]


def adaptations_of(
    sources: Mapping[Place, Source], adaptations: Sequence[Any]
) -> dict[Place, Int8]:
    """The adaptation of each weight that one finds.

    Raises:
      ValueError: One isn't of the kind, finds nothing or something that isn't a matrix,
        or two find the same weight.
    """
    what = "adaptations of hk.pretrained.load"
    found: dict[Place, Int8] = {}
    for adaptation in adaptations:
        if not isinstance(adaptation, Int8 | Int4):
            raise ValueError(
                f"{what} must be hk.adapt.Int8 or Int4, got {adaptation!r}: others are "
                "for hk.adapt.add, with the loaded model."
            )
        for place in find_places(what, [adaptation.pattern], dict(sources)):
            if place in found:
                raise ValueError(twice(place.path, found[place], adaptation))
            source = sources[place]
            w = jax.ShapeDtypeStruct(source.shape, source.dtype_read)
            adaptation._check(place.path, w)
            found[place] = adaptation
    return found


def integers(
    place: Place,
    source: Source,
    adaptation: Int8,
    sharding_of: Callable[[Place], Sharding | None],
) -> Values:
    """A weight as integers, and its scales beside it."""
    lead = source.lead
    number = math.prod(lead)
    held: dict[str, np.ndarray] = {}
    shapes: dict[str, Any] = {}
    for i, index in enumerate(itertools.product(*map(range, lead))):
        rest = [slice(None)] * (len(source.shape) - len(lead))
        w = source.read([*(slice(i, i + 1) for i in index), *rest])
        w = jnp.asarray(w.reshape(w.shape[len(lead) :]))
        made, own = adaptation._made(w, place.name, lambda: None)
        for name, x in ({place.name: made} | own).items():
            stored = _stored(x)
            if not i:
                held[name] = np.empty((number, stored.size), stored.dtype)
                shapes[name] = jax.ShapeDtypeStruct((*lead, *x.shape), x.dtype)
            held[name][i] = stored
    values = {}
    for name, of_name in shapes.items():
        at, stored = Place(place.module, name), held.pop(name)
        shape, dtype = of_name.shape, of_name.dtype
        own = sharding_of(at)
        if own is None:
            values[at] = _array(stored, shape, dtype)
        else:
            read = functools.partial(_part, stored, shape, dtype, lead)
            values[at] = array_of_parts(shape, dtype, own, read)
    return values


def _stored(x: jax.Array) -> np.ndarray:
    """An array's numbers in a row; int4, two in a byte, the first in the low half."""
    numbers = np.asarray(x).reshape(-1)
    if x.dtype != jnp.int4 or x.size % 2:
        return numbers
    first, second = numbers.astype(np.int8).view(np.uint8).reshape(-1, 2).T
    return (first & 15) | (second << 4)


def _array(stored: np.ndarray, shape: tuple[int, ...], dtype: Any) -> jax.Array:
    """The array of numbers as `_stored` has them."""
    if stored.dtype != np.uint8:
        return jnp.asarray(stored.reshape(shape))
    return _unpacked(stored, shape, dtype)


def _part(
    stored: np.ndarray,
    shape: tuple[int, ...],
    dtype: Any,
    lead: tuple[int, ...],
    index: tuple[slice, ...],
) -> np.ndarray:
    """A part of the array of numbers as `_stored` has them, a row for each layer."""
    axes = [range(size)[part] for size, part in zip(lead, index)]
    rest = index[len(lead) :]
    rows = np.arange(math.prod(lead)).reshape(lead)[np.ix_(*axes)] if lead else 0
    parts = []
    for row in np.ravel(rows):
        numbers = stored[row]
        if stored.dtype == np.uint8:
            low_high = np.stack([numbers << 4, numbers], axis=-1).view(np.int8)
            numbers = (low_high >> 4).astype(dtype)
        parts.append(numbers.reshape(shape[len(lead) :])[rest])
    return np.stack(parts).reshape(*map(len, axes), *parts[0].shape)


@functools.partial(jax.jit, static_argnames=("shape", "dtype"))
def _unpacked(x: jax.Array, shape: tuple[int, ...], dtype: Any) -> jax.Array:
    """Bytes as the numbers in them."""
    return jax.lax.bitcast_convert_type(x, dtype).reshape(shape)
