"""Rules: values by pattern of paths, with one precedence."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Generic, NamedTuple, TypeVar

from haiku._trees.patterns import Found, Pattern, nearest, pattern

T = TypeVar("T")


class Rule(NamedTuple):
    """A pattern of paths and the value that holds for them.

    Attributes:
      pattern: The pattern.
      value: The value.
    """

    pattern: Pattern
    value: Any


class Match(NamedTuple):
    """The rule that holds for a path.

    Attributes:
      pattern: Its pattern.
      value: Its value.
      found: The texts of the pattern's wildcards.
    """

    pattern: Pattern
    value: Any
    found: Found


class Rules(Generic[T]):
    """Values by pattern of paths; the first pattern that finds a path counts.

    Immutable. `above | below` asks `below` where `above` says nothing: within one table
    the first rule counts, and of several tables the one on top.

    Args:
      by_pattern: The rules in order: a mapping from patterns (or their text) to values,
        or pairs.

    Raises:
      TypeError: A pattern isn't text.
      ValueError: A text isn't a pattern.
    """

    __slots__ = ("_rules",)

    def __init__(
        self,
        by_pattern: Mapping[Any, T] | Iterable[tuple[Any, T]] = (),
    ):
        pairs: Any = by_pattern
        if isinstance(by_pattern, Mapping):
            pairs = by_pattern.items()
        self._rules = tuple(
            Rule(text if isinstance(text, Pattern) else pattern(text), value)
            for text, value in pairs
        )

    def match(self, path: str) -> Match | None:
        """The first rule that finds a path; None if none does."""
        for wanted, value in self._rules:
            found = wanted.match(path)
            if found is not None:
                return Match(wanted, value, found)
        return None

    def without(self, *patterns: Pattern) -> Rules[T]:
        """The same without the rules of some patterns."""
        return Rules(rule for rule in self._rules if rule.pattern not in patterns)

    def __or__(self, below: Rules[T]) -> Rules[T]:
        return Rules((*self._rules, *below._rules))

    def __iter__(self) -> Iterator[Rule]:
        return iter(self._rules)

    def __len__(self) -> int:
        return len(self._rules)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Rules) and self._rules == other._rules

    def __hash__(self) -> int:
        return hash(self._rules)

    def __repr__(self) -> str:
        inside = ", ".join(f"{p.text!r}: {value!r}" for p, value in self._rules)
        return f"Rules({{{inside}}})"

    def find(self, what: str, paths: Iterable[str]) -> dict[str, Match]:
        """The rule of each path that has one.

        Args:
          what: The public name, for errors.
          paths: All paths.

        Raises:
          ValueError: A pattern finds none of them.
        """
        paths = list(paths)
        out: dict[str, Match] = {}
        for wanted, value in self._rules:
            matches = [(path, wanted.match(path)) for path in paths]
            found = {path: match for path, match in matches if match is not None}
            if not found:
                raise ValueError(_nothing_found(what, wanted, paths))
            for path, match in found.items():
                out.setdefault(path, Match(wanted, value, match))
        return out


def _nothing_found(what: str, wanted: Pattern, paths: list[str]) -> str:
    near = nearest(wanted.text, paths)
    have = f"The nearest paths are {near}" if near else "The tree is empty"
    hint = ""
    if any(wanted.match(path.rpartition("/")[0]) for path in paths):
        hint = f" To find all that a module holds, write {wanted.text + '/*'!r}."
    return f"{what}: {wanted.text!r} finds no path. {have}.{hint}"
