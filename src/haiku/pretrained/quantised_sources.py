"""Weights of files that become integers as they are read, layer by layer."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from haiku._trees.places import Place, Values, find_places
from haiku.adapt import Int4, Int8
from haiku.adapt.adaptation import twice
from haiku.pretrained.layouts import Source

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


def integers(place: Place, source: Source, adaptation: Int8, sharding: Any) -> Values:
    """A weight as integers, and its scales beside it."""
    lead = source.lead
    made = []
    for index in itertools.product(*map(range, lead)):
        rest = [slice(None)] * (len(source.shape) - len(lead))
        w = source.read([*(slice(i, i + 1) for i in index), *rest])
        w = jnp.asarray(w.reshape(w.shape[len(lead) :]))
        integers, own = adaptation._made(w, place.name, lambda: None)
        made.append({place.name: integers} | own)
    values = {}
    for name in [*made[0]]:
        at = Place(place.module, name)
        whole = _joined([one.pop(name) for one in made], lead=lead)
        own = sharding and sharding(at.path, whole.shape)
        values[at] = whole if own is None else jax.device_put(whole, own)
    return values


def _joined(parts: list[jax.Array], lead: tuple[int, ...]) -> jax.Array:
    """Arrays of layers and experts as one."""
    if not lead:
        return parts[0]
    return jnp.stack(parts).reshape(*lead, *parts[0].shape)
