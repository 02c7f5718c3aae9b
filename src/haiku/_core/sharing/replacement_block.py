"""ReplacementBlock: which parameters a block replaces, and which it has seen."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

from haiku._core.runs.frame import current_frame
from haiku._core.runs.stack import Stack
from haiku._core.variables import hooks
from haiku._core.variables.hooks import GetterContext
from haiku._trees.patterns import nearest
from haiku._trees.rules import Match, Rules


class ReplacementBlock:
    """Which parameters a block replaces, and which of them it has seen.

    Args:
      what: The public name, for errors.
      by_path: Replacements by path, counted from `module`.
      module: A module; None is the one whose method is running.
    """

    def __init__(self, what: str, by_path: Mapping[str, Any], module: Any = None):
        frame = current_frame(what)
        module = module or frame.scopes[-1].module
        self._what = what
        self._base = frame.full_path(module.module_name + "/" if module else "")
        self._texts = {frame.full_pattern(text, module): text for text in by_path}
        self._rules = Rules(zip(self._texts, by_path.values()))
        self._unused = Rules(self._texts.items())
        self._seen: dict[str, None] = {}

    def match(self, path: str) -> Match | None:
        """The replacement of a full path, if there is one."""
        return self._rules.match(path)

    def see(self, context: GetterContext) -> str:
        """Notes that a parameter is made or read; returns its full path."""
        path = current_frame(self._what).full_path(context.full_name)
        self._seen[path] = None
        if self._unused:
            found = [rule.pattern for rule in self._unused if rule.pattern.match(path)]
            self._unused = self._unused.without(*found)
        return path

    @contextlib.contextmanager
    def replacing(self, creator: hooks.Hook, getter: hooks.Hook) -> Iterator[None]:
        """Runs the hooks for every parameter that is made or read in the block.

        Raises:
          ValueError: The block ended, and nothing used one of the paths.
        """
        with (
            hooks.param_creators.push(creator),
            hooks.param_getters.push(getter),
            blocks.push(self),
        ):
            yield
        for unused in self._unused:
            paths = [path.removeprefix(self._base) for path in self._seen]
            wanted = unused.pattern.text.removeprefix(self._base)
            near = nearest(wanted, paths, count=8)
            have = f"It used {near}" if near else "It used none"
            inside = f" (inside {self._base[:-1]})" if self._base else ""
            raise ValueError(
                f"{self._what}: the block{inside} used no parameter like "
                f"{unused.value!r}. {have}. Paths count from the module around the "
                "block; one that begins with `/` counts from the root."
            )


blocks: Stack[ReplacementBlock] = Stack("replacement_blocks")
