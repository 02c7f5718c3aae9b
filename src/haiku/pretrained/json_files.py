"""JSON of others, read strictly: one object, each key once, an error that names it."""

from __future__ import annotations

import json
import os
import pathlib
import reprlib
import stat
from typing import Any

__all__ = ["check_is_file", "json_text", "parse_object", "read_object", "shown"]

# The format of .safetensors allows no longer header; no config or index comes near.
MOST_BYTES = 100_000_000

_short = reprlib.Repr()
_short.maxstring = _short.maxother = _short.maxlong = 120
_short.maxlist = _short.maxdict = 8


def shown(value: Any) -> str:
    """A value of a file for an error message, shortened."""
    return _short.repr(value)


def check_is_file(path: pathlib.Path) -> None:
    """Refuses what isn't a plain file: reading a pipe would wait forever.

    Raises:
      FileNotFoundError: Nothing is at `path`.
      ValueError: It is a folder, a pipe or a device.
    """
    try:
        mode = os.stat(path).st_mode
    except (FileNotFoundError, PermissionError):
        raise
    except OSError as error:  # A loop of links, a name too long, a file as folder.
        raise FileNotFoundError(f"{path} can't be opened: {error.strerror}") from error
    if not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "a pipe or a device"
        raise ValueError(f"{path} must be a file, and is {kind}.")


def read_object(path: pathlib.Path) -> dict[str, Any]:
    """Reads a file that holds one JSON object.

    Raises:
      FileNotFoundError: The file doesn't exist.
      ValueError: It isn't JSON in UTF-8, isn't an object, or has a key twice.
    """
    check_is_file(path)
    with open(path, "rb") as file:
        content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise ValueError(f"{path} has more than {MOST_BYTES} bytes.")
    return parse_object(content, str(path))


def parse_object(content: bytes, where: str) -> dict[str, Any]:
    """Reads one JSON object; `where` begins the message of an error."""
    try:
        found = json.loads(content.decode("utf-8"), object_pairs_hook=_with_each_once)
    except _KeyTwiceError as error:
        raise ValueError(f"{where} has the name {error} twice.") from error
    except RecursionError:
        raise ValueError(f"{where} is nested too deeply for JSON.") from None
    except ValueError as error:  # Not UTF-8, not JSON, or a number without end.
        raise ValueError(f"{where} isn't JSON in UTF-8: {error}") from error
    if not isinstance(found, dict):
        raise ValueError(f"{where} must be a JSON object, and is {shown(found)}.")
    return found


class _KeyTwiceError(ValueError):
    pass


def _with_each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise _KeyTwiceError(shown(key))
        found[key] = value
    return found


def json_text(value: Any) -> bytes:
    """A JSON file as the hub has them: indented, keys in order, a last newline."""
    return (json.dumps(value, indent=2, sort_keys=True) + "\n").encode()
