"""Patterns of paths: `encoder/*/w`, `**/b`, `block_{i}/**`.

In a pattern `*` is any text without a slash, `**` any number of parts, or none, and
`{name}` a text without a slash that can be used elsewhere by its name. A name that
begins with `_`, as in `linear{_i}`, is the number that Haiku gives a module: nothing
for the first, then `_1`, `_2`.
"""

from __future__ import annotations

import difflib
import functools
import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

_WILD = re.compile(r"\*|\{(\w+)\}")
_NAME = re.compile(r"[A-Za-z_]\w*")


class Found(NamedTuple):
    """The texts that the wildcards of a pattern stood for in a path.

    Attributes:
      stars: The text of each `*`.
      parts: The text of each `**`: parts with slashes between, or nothing.
      named: The text of each `{name}`.
    """

    stars: tuple[str, ...]
    parts: tuple[str, ...]
    named: dict[str, str]


class Pattern:
    """A pattern of paths; patterns of the same text are equal.

    Args:
      text: The pattern.

    Attributes:
      text: The pattern.
      names: The names in braces, in order.

    Raises:
      TypeError: It isn't a string.
      ValueError: It is empty, has an empty part or an open brace, or `**` is only a
        piece of a part.
    """

    def __init__(self, text: str):
        if not isinstance(text, str):
            several = " Pass several one by one." if isinstance(text, Iterable) else ""
            raise TypeError(
                "A pattern of paths is a string such as 'encoder/*/w' or '**/b', got "
                f"{type(text).__name__}: {text!r}.{several}"
            )
        self.text = text
        self._parts = text.split("/")
        self.names: list[str] = []
        self._stars = self._globs = 0
        for part in self._parts:
            self._read(part)
        if "**/**" in text:
            raise ValueError(f"{text!r} has `**` twice in a row: write it once.")
        self._regex: re.Pattern[str] | None = None

    def _read(self, part: str) -> None:
        if part == "**":
            self._globs += 1
            return
        plain = _WILD.sub("", part)
        if not part or "**" in part or "{" in plain or "}" in plain:
            raise ValueError(
                f"{self.text!r} isn't a pattern of paths at {part!r}. Between slashes "
                "write names, in which `*` is any text and `{name}` a text with a "
                "name, or `**`, which is any number of parts."
            )
        for wild in _WILD.finditer(part):
            name = wild[1]
            if name is None:
                self._stars += 1
            elif not _NAME.fullmatch(name):
                raise ValueError(
                    f"{self.text!r} has the wildcard {wild[0]!r}: write a name in "
                    "braces, as in `block_{i}`."
                )
            elif name not in self.names:
                self.names.append(name)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Pattern) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)

    def __repr__(self) -> str:
        return f"Pattern({self.text!r})"

    def match(self, path: str) -> Found | None:
        """The texts of the wildcards in `path`; None if the pattern doesn't find it."""
        if self._regex is None:
            self._regex = re.compile(self._compiled())
        found = self._regex.fullmatch(path)
        if found is None:
            return None
        texts = found.groupdict()
        return Found(
            tuple(texts[f"star{i}"] for i in range(self._stars)),
            tuple(texts[f"parts{i}"] or "" for i in range(self._globs)),
            {name: texts[f"name_{name}"] for name in self.names},
        )

    def _compiled(self) -> str:
        stars, globs, seen = iter(range(self._stars)), iter(range(self._globs)), set()
        out = ""
        for i, part in enumerate(self._parts):
            if part != "**":
                out += self._part(part, stars, seen)
                out += "/" if i + 1 < len(self._parts) else ""
                continue
            # Its slash belongs to it, and goes with the last part.
            group = f"(?P<parts{next(globs)}>.+?)"
            if i + 1 < len(self._parts):
                out += f"(?:{group}/)?"
            else:
                out = f"{out[:-1]}(?:/{group})?" if i else f"{group}?"
        return out

    def _part(self, part: str, stars: Iterator[int], seen: set[str]) -> str:
        def wild(found: re.Match[str]) -> str:
            name = found[1]
            if name is None:
                some = "+" if part == "*" else "*"
                return f"(?P<star{next(stars)}>[^/]{some})"
            if name in seen:
                return f"(?P=name_{name})"
            seen.add(name)
            kind = "(?:_[1-9][0-9]*)?" if name.startswith("_") else "[^/]+?"
            return f"(?P<name_{name}>{kind})"

        out, end = "", 0
        for found in _WILD.finditer(part):
            out += re.escape(part[end : found.start()]) + wild(found)
            end = found.end()
        return out + re.escape(part[end:])

    def check_fills(self, source: Pattern) -> None:
        """Raises ValueError unless the wildcards of `source` fill all of these."""
        names = [name for name in self.names if name not in source.names]
        if self._stars > source._stars or self._globs > source._globs or names:
            raise ValueError(
                f"{self.text!r} can't be made of what {source.text!r} finds: the text "
                "of each `*`, `**` and `{name}` comes from there, in order or by name."
            )

    def filled(self, found: Found) -> str:
        """The path with the wildcards replaced by texts that another pattern found."""
        stars, globs = iter(found.stars), iter(found.parts)
        parts = []
        for part in self._parts:
            text = (
                next(globs)
                if part == "**"
                else _WILD.sub(
                    lambda w: next(stars) if w[1] is None else found.named[w[1]], part
                )
            )
            parts += [text] if text else []
        return "/".join(parts)


def pattern(text: str) -> Pattern:
    """A `Pattern`, read once for each text."""
    # A cache needs a hash: `Pattern` itself rejects other types.
    return _read_once(text) if isinstance(text, str) else Pattern(text)


_read_once = functools.lru_cache(maxsize=4096)(Pattern)


def nearest(text: str, paths: Iterable[str], count: int = 3) -> str:
    """The paths nearest to a pattern, for an error: `a/w, a/b`."""
    found = difflib.get_close_matches(text, list(paths), n=count, cutoff=0.0)
    return ", ".join(found)
