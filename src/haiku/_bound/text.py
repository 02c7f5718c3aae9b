"""A bound model as text, with one line per array."""

from typing import Any

from haiku import _text
from haiku._packed import unpacked
from haiku.data_structures import traverse

_SHOWN = 40


def written(head: str, params: Any, state: Any) -> str:
    """A model as text.

    Args:
      head: The first line.
      params: Parameters; or anything, if a tree only has a model's structure.
      state: State, or anything.

    Returns:
      `head`, paths with dtypes and shapes, and the count of parameters.
    """
    lines, count = [head], 0
    for kind, values in (("", params), ("state ", state)):
        try:
            named = list(traverse(unpacked(values)))
        except Exception:  # A tree of something else.
            lines.append(f"  {kind}{values!r}")
            continue
        if not kind:
            count = sum(getattr(value, "size", 1) for _, _, value in named)
        rows = [(f"{path}/{name}", value) for path, name, value in named[:_SHOWN]]
        width = max((len(path) for path, _ in rows), default=0)
        lines += [f"  {kind}{path:{width}}  {_shown(value)}" for path, value in rows]
        if len(named) > _SHOWN:
            lines.append(f"  ... and {len(named) - _SHOWN} more")
    return "\n".join([*lines, f"{count:,} parameters"])


def _shown(value: Any) -> str:
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return _text.array_text(value)
    return repr(value)
