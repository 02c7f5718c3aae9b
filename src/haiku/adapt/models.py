"""`add`, `merge` and `adaptations`: adaptations of bound models."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import jax
import jax.numpy as jnp

from haiku._bound import Bound
from haiku._core.keys.key_sequence import WAYS_TO_A_KEY, as_key
from haiku._packed import unpacked
from haiku._trees.places import Place, Values, find_places, nested, values_of
from haiku.adapt.adaptation import (
    KINDS,
    STORED,
    UPDATED,
    Adaptation,
    Held,
    twice,
)

__all__ = ["adaptations", "add", "as_read", "holding", "merge", "weights_of"]


def adaptations(model: Bound) -> tuple[Adaptation, ...]:
    """The adaptations of a model, in the order in which a weight passes them.

    Args:
      model: A bound model.

    Returns:
      Adaptations; an empty tuple without any.

    Raises:
      TypeError: `model` isn't a bound model.

    Example:
      >>> model = hk.bind(hk.Linear, 2).init(0, jnp.ones([1, 3]))
      >>> hk.adapt.adaptations(hk.adapt.add(model, hk.adapt.Int8("**/w")))
      (Int8('**/w'),)
    """
    _check_model("adaptations", model)
    return tuple(in_order(_all(model)))


def add(model: Bound, *adaptations: Adaptation, rng_key: Any = None) -> Bound:
    """A model with its weights adapted.

    Args:
      model: A bound model with parameters.
      *adaptations: :class:`LoRA`, :class:`DoRA`, :class:`Int8`, :class:`Int4` or
        :class:`Frozen`. Patterns find the net's own parameters, not those of
        adaptations.
      rng_key: A key or a seed, for updates that begin at random.

    Returns:
      The model with further parameters, and hooks that read them. Its outputs are the
      same, but for the rounding of quantised weights and dropout.

    Raises:
      TypeError: `model` isn't a bound model, or something else isn't an adaptation.
      ValueError: A pattern finds nothing, or something that can't be adapted; a weight
        would have two adaptations of a kind; or a key is missing.

    Example:
      >>> model = hk.bind(hk.Linear, 8).init(0, jnp.ones([1, 4]))
      >>> adapted = hk.adapt.add(model, hk.adapt.LoRA("**/w", rank=2), rng_key=1)
      >>> trained, fixed = hk.surgery.split(adapted.params, "**/lora_*")
      >>> jax.tree.map(jnp.shape, trained)
      {'linear': {'lora_a': (4, 2), 'lora_b': (2, 8)}}
    """
    what = "hk.adapt.add"
    _check_model("add", model)
    for adaptation in adaptations:
        if not isinstance(adaptation, Adaptation):
            raise TypeError(
                f"{what} takes adaptations after the model, hk.adapt.LoRA('**/w', 8) "
                f"for instance, got {adaptation!r}."
            )
    if not adaptations:
        raise ValueError(
            f"{what} takes an adaptation, such as hk.adapt.LoRA('**/w', 8)."
        )
    new = in_order(adaptations)
    values, weights = weights_of(model)
    for adaptation in new:
        found = find_places(what, [adaptation.pattern], _only(values, weights))
        for place in found:
            _check_addition(adaptation, place, values, weights[place])
            weights[place] = in_order([*weights[place], adaptation])
    updates = [x for x in new if x.kind == UPDATED]
    keys = _keys(rng_key, weights, updates)
    for place, of_weight in weights.items():
        for adaptation in of_weight:
            if adaptation in new:
                before = of_weight[: of_weight.index(adaptation)]
                w = values[place]
                if before:
                    w = as_read(values, place, before)
                made, own = adaptation._made(w, place.name, lambda: next(keys))
                if adaptation.kind == STORED:
                    values[place] = made
                values |= {Place(place.module, name): x for name, x in own.items()}
    return holding(model, values, [*_all(model), *new])


def merge(model: Bound) -> Bound:
    """The plain model: its weights as adaptations read them, and no adaptations.

    Args:
      model: A bound model.

    Returns:
      The model with the parameters that its net makes, in the dtypes in which it reads
      them. Its outputs are the same up to rounding. A model without adaptations is
      returned as it is.

    Raises:
      TypeError: `model` isn't a bound model.
      ValueError: A parameter of an adaptation is missing.

    Example:
      >>> model = hk.bind(hk.Linear, 2).init(0, jnp.ones([1, 3]))
      >>> small = hk.adapt.add(model, hk.adapt.Int8("**/w"))
      >>> hk.adapt.merge(small)
      Bound(Blueprint(Linear, 2))
        linear/b  f32[2]
        linear/w  f32[3,2]
      8 parameters
    """
    _check_model("merge", model)
    if not _all(model):
        return model
    values, weights = weights_of(model)
    merged = {
        place: as_read(values, place, of_weight) for place, of_weight in weights.items()
    }
    return holding(model, merged, [])


# ---- Weights and their adaptations ---------------------------------------------------


def weights_of(model: Bound) -> tuple[Values, dict[Place, list[Adaptation]]]:
    """All values of a model, and the net's own with the adaptations of each."""
    values = values_of(unpacked(model.params))
    held = in_order(_all(model))
    own = set()
    for place, value in values.items():
        for adaptation in held:
            if adaptation._finds(place.path) and len(getattr(value, "shape", ())) > 1:
                names = adaptation._shapes(value.shape, place.name)
                own |= {Place(place.module, name) for name in names}
    return values, {
        place: [x for x in held if x._finds(place.path)]
        for place in values
        if place not in own
    }


def as_read(values: Values, place: Place, of_weight: Iterable[Adaptation]) -> Any:
    """A weight as adaptations read it.

    Raises:
      ValueError: A parameter beside it is missing.
    """
    w = values[place]
    for adaptation in of_weight:
        own = {}
        for name in adaptation._shapes(w.shape, place.name):
            at = Place(place.module, name)
            if at not in values:
                raise ValueError(
                    f"hk.adapt.{adaptation!r} reads {place.path} with {at.path}, which "
                    "the model's parameters lack. Give it those that it had."
                )
            own[name] = values[at]
        w = adaptation._read(w, own, place.name)
    return w


def holding(model: Bound, values: Values, adaptations: Iterable[Adaptation]) -> Bound:
    """A model with these values and adaptations, in place of its own."""
    others = [hook for hook in model.hooks if adaptation_of(hook) is None]
    held = [Held(x) for x in in_order(adaptations)]
    params = nested(dict(sorted(values.items())))
    return model.replace(params=params, hooks=[*others, *held])


def adaptation_of(hook: Any) -> Adaptation | None:
    """The adaptation that a model's hook is, or None."""
    hook = hook.adaptation if isinstance(hook, Held) else hook
    return hook if isinstance(hook, Adaptation) else None


def in_order(adaptations: Iterable[Adaptation]) -> list[Adaptation]:
    """Adaptations in the order in which a weight passes them."""
    return sorted(adaptations, key=lambda x: KINDS.index(x.kind))


def _all(model: Bound) -> list[Adaptation]:
    return [x for x in map(adaptation_of, model.hooks) if x is not None]


def _only(values: Values, places: Iterable[Place]) -> Values:
    return {place: values[place] for place in places}


def _check_addition(adaptation, place, values, of_weight) -> None:
    """Raises ValueError unless a weight can be adapted."""
    for other in of_weight:
        if other.kind == adaptation.kind:
            raise ValueError(twice(place.path, other, adaptation))
    w = values[place]
    if any(x.kind == STORED for x in of_weight):
        w = jax.ShapeDtypeStruct(w.shape, jnp.float32)  # as it is read
    adaptation._check(place.path, w)
    for name in adaptation._shapes(w.shape, place.name):
        at = Place(place.module, name)
        if at in values:
            raise ValueError(
                f"hk.adapt.{adaptation!r} would keep {at.path} beside {place.path}, "
                "and the model has a parameter of that name: take it away, or add "
                "adaptations to a model that has kept its hooks."
            )


def _keys(rng_key: Any, weights: Any, updates: list[Adaptation]) -> Iterator[Any]:
    """A key for each weight that is updated."""
    if not updates:
        return iter(())
    if rng_key is None:
        raise ValueError(
            f"hk.adapt.add draws numbers for {updates[0]!r}: pass rng_key. "
            f"{WAYS_TO_A_KEY}"
        )
    key = as_key(rng_key, "`rng_key` of hk.adapt.add must be a key")
    return iter(jax.random.split(key, max(1, len(weights))))


def _check_model(what: str, model: Any) -> None:
    if not isinstance(model, Bound) or model.params is None:
        raise TypeError(
            f"hk.adapt.{what} takes a bound model with parameters, hk.bind(net)"
            f".init(key, x) for instance, got {type(model).__name__}."
        )
