"""A loader's position: what `get_state` returns and `set_state` gets back."""

import base64
import json
from typing import Any

from haiku.checkpoint.checkpoint_error import CheckpointError


def state_of(loader: Any) -> dict[str, Any]:
    """What is saved of a loader: JSON values, by the kind of its state."""
    if not (hasattr(loader, "get_state") and hasattr(loader, "set_state")):
        raise CheckpointError(
            f"The loader is a {type(loader).__name__}, without get_state() and "
            "set_state(): give an iterator of grain's, `iter(dataset)`, or a class of "
            "your own with both."
        )
    state = loader.get_state()
    if isinstance(state, bytes):
        return {"bytes": base64.b64encode(state).decode()}
    try:
        # As a text at once: a loader may go on to change what it returned.
        text = json.dumps(state, allow_nan=False)
        again = json.loads(text)
    except (TypeError, ValueError) as error:
        raise CheckpointError(
            f"get_state() of the loader, a {type(loader).__name__}, returned what "
            f"isn't JSON ({error}): return bytes, or dicts, lists, texts and numbers."
        ) from error
    if again != _with_lists(state):
        raise CheckpointError(
            f"get_state() of the loader, a {type(loader).__name__}, returned what JSON "
            "changes (keys of a dict that aren't texts?): return bytes, or dicts with "
            "texts as keys."
        )
    return {"json": again}


def set_state(loader: Any, saved: dict[str, Any]) -> None:
    """Puts a loader where it was saved."""
    if "bytes" in saved:
        loader.set_state(base64.b64decode(saved["bytes"]))
    else:
        loader.set_state(saved["json"])


def _with_lists(value: Any) -> Any:
    """The value with lists in place of tuples, as JSON has them."""
    if isinstance(value, dict):
        return {key: _with_lists(inside) for key, inside in value.items()}
    if isinstance(value, (list, tuple)):
        return [_with_lists(inside) for inside in value]
    return value
