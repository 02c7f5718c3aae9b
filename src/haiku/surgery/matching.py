"""Which paths of a tree a pattern finds, and what an error says where it finds none."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.core import Tracer

from haiku._patterns import Found, nearest, pattern
from haiku._text import array_text
from haiku.data_structures import traverse

Tree = Mapping[str, Mapping[str, Any]]
Dicts = dict[str, dict[str, Any]]


class Place(NamedTuple):
    """Where a value is: in a module, under a name."""

    module: str
    name: str

    @property
    def path(self) -> str:
        """`module/name`."""
        return f"{self.module}/{self.name}"

    @classmethod
    def at(cls, what: str, path: str) -> Place:
        """The place of a path; ValueError if it has no module."""
        module, slash, name = path.rpartition("/")
        if not (module and slash and name):
            raise ValueError(
                f"hk.surgery.{what} would put a value at {path!r}: a path is "
                "`module/name`, and `~/name` outside all modules."
            )
        return cls(module, name)


Values = dict[Place, Any]


def values_of(tree: Tree) -> Values:
    """The values of a tree by place, sorted."""
    return {Place(module, name): value for module, name, value in traverse(tree)}


def nested(values: Mapping[Place, Any]) -> Dicts:
    """The tree of such values."""
    out: Dicts = {}
    for (module, name), value in values.items():
        out.setdefault(module, {})[name] = value
    return out


def given_by_pattern(what: str, given: Any, example: str) -> Mapping[str, Any]:
    """What is given by pattern; TypeError if it is no mapping."""
    if not isinstance(given, Mapping):
        raise TypeError(
            f"hk.surgery.{what} takes a mapping from patterns, such as {example}, got "
            f"{type(given).__name__}: {given!r}."
        )
    return given


def findings(
    what: str, patterns: Iterable[str], values: Values
) -> dict[Place, tuple[str, Found]]:
    """The places that patterns find, each with the first pattern that finds it.

    Raises:
      ValueError: There is no pattern, or one finds nothing.
    """
    out: dict[Place, tuple[str, Found]] = {}
    patterns = list(patterns)
    if not patterns:
        raise ValueError(
            f"hk.surgery.{what} takes at least one pattern, such as 'encoder/**'."
        )
    for text in patterns:
        wanted = pattern(text)
        found = [(place, wanted.match(place.path)) for place in values]
        hits = [(place, match) for place, match in found if match is not None]
        if not hits:
            raise ValueError(_nothing_found(what, text, values))
        for place, match in hits:
            out.setdefault(place, (text, match))
    return out


def _nothing_found(what: str, text: str, values: Values) -> str:
    """What to say where a pattern finds nothing."""
    near = nearest(text, (place.path for place in values))
    have = f"The nearest paths are {near}" if near else "The tree is empty"
    hint = ""
    if any(pattern(text).match(place.module) for place in values):
        hint = f" To have all that a module holds, write {text + '/*'!r}."
    return f"hk.surgery.{what}: no path is like {text!r}. {have}.{hint}"


def is_abstract(x: Any) -> bool:
    """Whether an array has a shape and a dtype, and no numbers to be seen."""
    return isinstance(x, (Tracer, jax.ShapeDtypeStruct))


def raw(x: Any) -> Any:
    """An array itself; of random keys the numbers that they are made of."""
    if isinstance(x, jax.Array) and jax.numpy.issubdtype(x.dtype, jax.dtypes.prng_key):
        return jax.random.key_data(x)
    return x


def computed(function: Any, *trees: Any) -> Any:
    """`function` of arrays, leaf by leaf; of shapes where these are all there is."""

    def leaf(*arrays: Any) -> Any:
        if any(isinstance(x, jax.ShapeDtypeStruct) for x in arrays):
            return jax.eval_shape(function, *arrays)
        return function(*arrays)

    return jax.tree.map(leaf, *trees)


def text_of(value: Any) -> str:
    """Writes a value's dtype and shape, or what it is."""
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return array_text(value)
    leaves = jax.tree.leaves(value)
    if len(leaves) == 1 and leaves[0] is value:
        return f"{type(value).__name__} {value!r}"
    kinds = ", ".join(text_of(np.asarray(x) if np.isscalar(x) else x) for x in leaves)
    return f"{type(value).__name__} of {kinds}" if leaves else type(value).__name__
