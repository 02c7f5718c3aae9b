"""Places: where the values of a tree are, and which of them rules find."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.core import Tracer

from haiku._text import array_text
from haiku._trees.rules import Match, Rules
from haiku.data_structures import traverse

Tree = Mapping[str, Mapping[str, Any]]
Dicts = dict[str, dict[str, Any]]


class Place(NamedTuple):
    """The place of a value: its module and name."""

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
                f"{what} would put a value at {path!r}: a path is "
                "`module/name`, and `~/name` outside all modules."
            )
        return cls(module, name)


Values = dict[Place, Any]


def values_of(tree: Tree) -> Values:
    """The values of a tree by place, sorted by path."""
    return {Place(module, name): value for module, name, value in traverse(tree)}


def nested(values: Mapping[Place, Any]) -> Dicts:
    """The tree that has these values."""
    out: Dicts = {}
    for (module, name), value in values.items():
        out.setdefault(module, {})[name] = value
    return out


def rules_of(what: str, by_pattern: Any, example: str) -> Rules[Any]:
    """Rules of a mapping from patterns; TypeError if it isn't a mapping.

    Args:
      what: The public name, for errors.
      by_pattern: The mapping.
      example: An example of one.
    """
    if not isinstance(by_pattern, Mapping):
        raise TypeError(
            f"{what} takes a mapping from patterns, such as {example}, got "
            f"{type(by_pattern).__name__}: {by_pattern!r}."
        )
    return Rules(by_pattern)


def find_places(
    what: str, rules: Rules[Any] | Iterable[str], values: Values
) -> dict[Place, Match]:
    """The rule of each place that one finds.

    Args:
      what: The public name, for errors.
      rules: Rules, or patterns without values.
      values: The values of a tree.

    Raises:
      ValueError: There is no pattern, or one finds nothing.
    """
    if not isinstance(rules, Rules):
        rules = Rules((text, None) for text in rules)
    if not rules:
        raise ValueError(f"{what} takes at least one pattern, such as 'encoder/**'.")
    by_path = {place.path: place for place in values}
    found = rules.find(what, by_path)
    return {by_path[path]: match for path, match in found.items()}


def is_abstract(x: Any) -> bool:
    """Whether an array has a shape and a dtype, but no numbers yet."""
    return isinstance(x, (Tracer, jax.ShapeDtypeStruct))


def raw(x: Any) -> Any:
    """The array itself; for random keys, the numbers they are made of."""
    if isinstance(x, jax.Array) and jax.numpy.issubdtype(x.dtype, jax.dtypes.prng_key):
        return jax.random.key_data(x)
    return x


def computed(function: Any, *trees: Any) -> Any:
    """`function` of arrays, leaf by leaf; of `jax.ShapeDtypeStruct`s, its shapes."""

    def leaf(*arrays: Any) -> Any:
        if any(isinstance(x, jax.ShapeDtypeStruct) for x in arrays):
            return jax.eval_shape(function, *arrays)
        return function(*arrays)

    return jax.tree.map(leaf, *trees)


def text_of(value: Any) -> str:
    """A value's dtype and shape as text; of other objects their type."""
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return array_text(value)
    leaves = jax.tree.leaves(value)
    if len(leaves) == 1 and leaves[0] is value:
        return f"{type(value).__name__} {value!r}"
    kinds = ", ".join(text_of(np.asarray(x) if np.isscalar(x) else x) for x in leaves)
    return f"{type(value).__name__} of {kinds}" if leaves else type(value).__name__
