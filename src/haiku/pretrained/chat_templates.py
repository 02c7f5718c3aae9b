"""Chat templates: messages as the text that a model was trained on."""

from __future__ import annotations

import importlib.util
import json
import pathlib
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from haiku.pretrained.json_files import shown

_PROGRAM = pathlib.Path(__file__).with_name("chat_program.py")
_SECONDS = 10  # the program ends itself before, if the system has such limits


def rendered(template: str, variables: Mapping[str, Any]) -> str:
    """The text of a template, which another process renders.

    Raises:
      ImportError: Jinja is missing.
      ValueError: Variables can't be written as JSON; or the template is wrong, refuses
        the messages, or needs too much time or memory.
    """
    if importlib.util.find_spec("jinja2") is None:
        raise ImportError(
            "Chat templates need the package jinja2: pip install 'renga-jax[text]'"
        )
    try:
        given = json.dumps({"template": template, "variables": variables})
    except (TypeError, ValueError) as error:
        raise ValueError(
            "Messages and variables of a chat template must be texts, numbers, lists "
            f"and dicts: {error}"
        ) from error
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-X", "utf8", str(_PROGRAM)],
            input=given,
            capture_output=True,
            encoding="utf-8",
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise _failed(f"it took more than {_SECONDS} seconds") from None
    try:
        found = json.loads(done.stdout)
    except ValueError:
        raise _failed("it took too much time or memory") from None
    if "refused" in found:
        raise ValueError(f"The chat template refuses the messages: {found['refused']}")
    if "error" in found:
        raise _failed(found["error"])
    return found["text"]


def _failed(why: str) -> ValueError:
    return ValueError(f"The chat template can't be rendered: {why}.")


def check_messages(messages: Any) -> None:
    """Raises ValueError unless messages are a list of dicts with a role."""
    fits = isinstance(messages, Sequence) and not isinstance(messages, str)
    if not fits or not messages or not all(map(_is_message, messages)):
        raise ValueError(
            'Messages must be a list such as [{"role": "user", "content": "The sea?"}]'
            f", got {shown(messages)}."
        )


def _is_message(x: Any) -> bool:
    return isinstance(x, Mapping) and isinstance(x.get("role"), str)
