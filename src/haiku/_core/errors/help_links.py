"""Ends error messages with a page to read, or a name to call `help` with."""

import functools
import importlib
import traceback
from types import CodeType, FrameType
from typing import ClassVar

_PAGE = "See docs/{}.md in Renga's repository."
_HELP = 'See help("{}").'
_PUBLIC = "haiku", "haiku.nets", "haiku.initializers", "haiku.pad", "haiku.surgery"


class Explained(Exception):
    """An error that a page of the documentation explains.

    Attributes:
      page: The page's path below `docs`, without its suffix.
    """

    page: ClassVar[str]

    def __init__(self, *args: object):
        super().__init__(*args)
        self.add_note(_PAGE.format(self.page))


def note(error: Exception, text: str) -> None:
    """Adds a text to an error's message, above the line with the link."""
    error.add_note(text)
    error.__notes__.sort(key=_says_where_to_read)


def explain(error: Exception) -> None:
    """Ends the message of an error that Haiku's own code raised."""
    if any(map(_says_where_to_read, getattr(error, "__notes__", ()))):
        return
    for frame, _ in reversed([*traceback.walk_tb(error.__traceback__)]):
        if not frame.f_globals.get("__name__", "").startswith("haiku."):
            return  # Raised by another library, or by the user.
        if name := _public_name(frame):
            error.add_note(_HELP.format(name))
            return


def _says_where_to_read(line: str) -> bool:
    return line.startswith(("See docs/", "See help("))


def _public_name(frame: FrameType) -> str | None:
    """The public function or class whose code runs in a frame."""
    classes, functions = _public_code()
    owner = frame.f_locals.get("cls") or type(frame.f_locals.get("self"))
    for base in getattr(owner, "__mro__", ()):
        if base in classes:
            return classes[base]
    return functions.get(frame.f_code)


@functools.cache
def _public_code() -> tuple[dict[type, str], dict[CodeType, str]]:
    classes, functions = {}, {}
    for module_name in _PUBLIC:
        module = importlib.import_module(module_name)
        for name in dir(module):
            value = getattr(module, name)
            if isinstance(value, type):
                classes.setdefault(value, f"{module_name}.{name}")
            elif code := getattr(value, "__code__", None):
                functions.setdefault(code, f"{module_name}.{name}")
    return classes, functions
