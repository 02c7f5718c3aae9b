"""Parameters that a block replaces: patterns seen from here, and what was asked for."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any

from haiku._core.runs.frame import Frame, current_frame
from haiku._core.runs.stack import Stack
from haiku._core.variables import hooks
from haiku._core.variables.hooks import GetterContext
from haiku._patterns import Found, Pattern, nearest, pattern


def full_path(frame: Frame, path: str) -> str:
    """A path in `frame`, seen from the function that was transformed.

    Inside `hk.layer_stack` that is with the stack's own path before it. An inner
    function that `hk.lift` keeps has paths of its own, as its `apply` runs by itself.
    """
    return (frame.lifted_prefix or "") + path if frame.closed else path


class Replaced:
    """Which parameters a block replaces.

    Args:
      what: The public name, for errors.
      module: The module from whose path patterns are seen; None is the one whose
        method is running.

    Attributes:
      asked: The full paths of the parameters that were read in the block.
    """

    def __init__(self, what: str, texts: Iterable[str], module: Any = None):
        frame = current_frame(what)
        module = module or frame.scopes[-1].module
        self._what = what
        self._base = full_path(frame, module.module_name + "/" if module else "")
        self._patterns = {self.seen(text): text for text in texts}
        if not self._patterns:
            raise ValueError(
                f"{what} takes at least one path, such as {{'linear/w': ...}}."
            )
        self._unused = dict(self._patterns)
        self.asked: dict[str, None] = {}

    def seen(self, text: str) -> Pattern:
        """A pattern from the module's path, or from the root if it begins with `/`."""
        if isinstance(text, str) and text.startswith("/"):
            return pattern(text[1:])
        pattern(text)  # Says what is wrong with the text as it was given.
        return pattern(self._base + text)

    def match(self, path: str) -> tuple[str, Pattern, Found] | None:
        """The first pattern that finds a full path: as given, itself, its findings."""
        for wanted, text in self._patterns.items():
            found = wanted.match(path)
            if found is not None:
                return text, wanted, found
        return None

    def note(self, context: GetterContext) -> str:
        """Takes down that a parameter was asked for; returns its full path."""
        path = full_path(current_frame(self._what), context.full_name)
        self.asked[path] = None
        for wanted in [p for p in self._unused if p.match(path)]:
            del self._unused[wanted]
        return path

    @contextlib.contextmanager
    def held(self, creator: hooks.Hook, getter: hooks.Hook) -> Iterator[None]:
        """Has the hooks asked while the block runs.

        Raises:
          ValueError: The block is over, and nothing asked for one of the paths.
        """
        with (
            hooks.param_creators.push(creator),
            hooks.param_getters.push(getter),
            blocks.push(self),
        ):
            yield
        if self._unused:
            wanted, text = next(iter(self._unused.items()))
            paths = [path.removeprefix(self._base) for path in self.asked]
            near = nearest(wanted.text.removeprefix(self._base), paths, count=8)
            have = f"It was asked for {near}" if near else "It was asked for none"
            inside = f" (inside {self._base[:-1]})" if self._base else ""
            raise ValueError(
                f"{self._what}: no parameter like {text!r} was asked for in the "
                f"block{inside}. {have}. Paths count from the module around the block; "
                "one that begins with `/` from the root."
            )


blocks: Stack[Replaced] = Stack("replaced")
