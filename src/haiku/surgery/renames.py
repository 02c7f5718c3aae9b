"""Likely renames between two trees: equal values, or one shape and a similar path."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from haiku._trees.places import Place, Values, is_abstract, raw, text_of

_SIMILAR = 0.5  # The lowest similarity of modules' paths, as `difflib` measures it.
_MANY = 4_000  # Beyond so many pairs of one name and shape, only equal values count.


def likely_renames(before: Values, after: Values) -> list[tuple[Place, Place]]:
    """Pairs of an old and a new place: equal values, or one shape and a similar path.

    Args:
      before: The values that only the first tree has.
      after: The values that only the second tree has.
    """
    by_value = _by(after, lambda place: _fingerprint(after[place]))
    by_kind = _by(after, lambda place: (place.name, text_of(after[place])))
    prints = {place: _fingerprint(value) for place, value in before.items()}
    kinds = {place: (place.name, text_of(value)) for place, value in before.items()}
    many = _too_many(kinds, by_kind)
    pairs = []
    for was in before:
        equal = by_value.get(prints[was], []) if prints[was] else []
        similar = by_kind.get(kinds[was], []) if kinds[was] not in many else []
        for now in {*equal, *similar}:
            likeness = difflib.SequenceMatcher(None, was.module, now.module).ratio()
            score = likeness + (now in equal)
            if score >= _SIMILAR:
                pairs.append((-score, was, now))
    return sorted(_each_once(sorted(pairs)))


def _by(values: Values, key: Any) -> dict[Any, list[Place]]:
    out: dict[Any, list[Place]] = {}
    for place in values:
        out.setdefault(key(place), []).append(place)
    return out


def _too_many(kinds: dict[Place, Any], by_kind: dict[Any, list[Place]]) -> set[Any]:
    counts: dict[Any, int] = {}
    for kind in kinds.values():
        counts[kind] = counts.get(kind, 0) + 1
    return {
        kind for kind, n in counts.items() if n * len(by_kind.get(kind, ())) > _MANY
    }


def _each_once(
    pairs: list[tuple[float, Place, Place]],
) -> Iterator[tuple[Place, Place]]:
    gone: set[Place] = set()
    come: set[Place] = set()
    for _, was, now in pairs:
        if was not in gone and now not in come:
            gone.add(was)
            come.add(now)
            yield was, now


def _fingerprint(value: Any) -> bytes | None:
    """A digest of shape, dtype and numbers; None if all numbers are equal."""
    digest = hashlib.sha1(text_of(value).encode(), usedforsecurity=False)
    telling = False
    for leaf in jax.tree.leaves(value):
        if is_abstract(leaf) or not isinstance(
            leaf, (jax.Array, np.ndarray, np.generic)
        ):
            return None
        array = np.ascontiguousarray(np.asarray(raw(leaf)))
        if array.dtype.hasobject:
            return None
        numbers = array.reshape(-1)
        telling |= bool(array.size > 1 and np.any(numbers != numbers[0]))
        digest.update(array.tobytes())
    return digest.digest() if telling else None
