"""The keys of a config, each of a kind that is checked."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from haiku.pretrained.json_files import shown

_REQUIRED = object()


class Keys:
    """A config's keys, read by kind; errors name the file and the key.

    Args:
      values: The object.
      where: The file, and the key that holds the object, for errors.
    """

    def __init__(self, values: Mapping[str, Any], where: str):
        self.values, self.where = values, where

    def __contains__(self, key: str) -> bool:
        return self.values.get(key) is not None

    def _read(self, key: str, default: Any, fits, wanted: str) -> Any:
        value = self.values.get(key)
        if value is None:
            if default is _REQUIRED:
                raise ValueError(f"{self.where}: {key} is missing; wanted {wanted}.")
            return default
        if not fits(value):
            raise ValueError(
                f"{self.where}: {key} must be {wanted}, and is {shown(value)}."
            )
        return value

    def size(self, key: str, default: Any = _REQUIRED) -> Any:
        """An integer of at least 1."""
        return self._read(key, default, _is_size, "an integer of at least 1")

    def sizes(self, key: str, default: Any = _REQUIRED) -> Any:
        """A list of integers of at least 1."""

        def fits(value):
            return isinstance(value, list) and all(map(_is_size, value))

        return self._read(key, default, fits, "a list of integers of at least 1")

    def pair(self, key: str, default: Any = _REQUIRED) -> Any:
        """An integer of at least 1, or a list of two."""

        def fits(value):
            both = isinstance(value, list) and len(value) == 2
            return all(map(_is_size, value)) if both else _is_size(value)

        wanted = "an integer of at least 1, or a list of two"
        value = self._read(key, default, fits, wanted)
        return tuple(value) if isinstance(value, list) else value

    def sizes(self, key: str, default: Any) -> tuple[int, ...]:
        """A list of integers of at least 1."""

        def fits(value):
            return isinstance(value, list) and value and all(map(_is_size, value))

        wanted = "a list of integers of at least 1"
        return tuple(self._read(key, default, fits, wanted))

    def per_level(self, key: str, levels: int, default: int) -> tuple[int, ...]:
        """An integer of at least 1 for all levels, or a list with one for each."""
        return self._of_levels(
            key, levels, default, _is_size, "an integer of at least 1"
        )

    def flags(self, key: str, levels: int, default: bool) -> tuple[bool, ...]:
        """A boolean for all levels, or a list with one for each."""
        return self._of_levels(
            key, levels, default, lambda x: type(x) is bool, "true or false"
        )

    def _of_levels(self, key, levels, default, fits, wanted) -> Any:
        def both(value):
            if isinstance(value, list):
                return len(value) == levels and all(map(fits, value))
            return fits(value)

        wanted = f"{wanted}, or a list of {levels}"
        value = self._read(key, default, both, wanted)
        return tuple(value) if isinstance(value, list) else (value,) * levels

    def count(self, key: str, default: Any = _REQUIRED) -> Any:
        """An integer of at least 0."""

        def fits(value):
            return type(value) is int and value >= 0

        return self._read(key, default, fits, "an integer of at least 0")

    def number(self, key: str, default: Any = _REQUIRED) -> Any:
        """A finite number, as a float."""
        value = self._read(key, default, _is_number, "a finite number")
        return None if value is None else float(value)

    def flag(self, key: str, default: Any = _REQUIRED) -> Any:
        """A boolean."""
        return self._read(
            key, default, lambda value: type(value) is bool, "true or false"
        )

    def choice(self, key: str, choices: Sequence[str], default: Any = _REQUIRED) -> Any:
        """One of some texts."""
        wanted = "one of " + ", ".join(choices)
        return self._read(
            key, default, lambda x: isinstance(x, str) and x in choices, wanted
        )

    def texts(self, key: str, choices: Sequence[str], number: int) -> Any:
        """A list of so many texts, each one of the choices; None without the key."""

        def fits(value):
            return (
                isinstance(value, list)
                and len(value) == number
                and all(isinstance(x, str) and x in choices for x in value)
            )

        wanted = f"a list of {number}, each one of {', '.join(choices)}"
        return self._read(key, None, fits, wanted)

    def numbers(self, key: str, number: int) -> tuple[float, ...]:
        """A list of so many finite numbers."""

        def fits(value):
            return (
                isinstance(value, list)
                and len(value) == number
                and all(map(_is_number, value))
            )

        wanted = f"a list of {number} finite numbers"
        return tuple(map(float, self._read(key, _REQUIRED, fits, wanted)))

    def below(self, key: str) -> Keys | None:
        """The object under a key; None without the key."""
        value = self._read(key, None, lambda x: isinstance(x, dict), "an object")
        return None if value is None else Keys(value, f"{self.where}, {key}")

    def refuse(self, key: str, *, unless: Any, why: str) -> None:
        """Raises if a key has another value than the one that is understood."""
        value = self.values.get(key)
        if value is not None and value != unless:
            raise ValueError(f"{self.where}: {key} is {shown(value)}. {why}")


def _is_size(value: Any) -> bool:
    return type(value) is int and value >= 1


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) <= sys.float_info.max
