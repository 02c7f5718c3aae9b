"""One of several processes writes arrays that all of them hold parts of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from haiku.pretrained.deferred import Deferred

__all__ = ["write_together"]

_LENGTH = 1000  # bytes of an error's text that the other processes get


def write_together(
    arrays: Mapping[str, Any],
    order: Sequence[str],
    write: Callable[[Mapping[str, Any]], None],
) -> None:
    """Lets process 0 write while the others read each array with it.

    All processes call this, and return when it is written, or raise where one failed.

    Args:
      arrays: By name. All processes take part in reading a `Deferred` one.
      order: Names in the order in which `write` reads them.
      write: Writes arrays, those that it gets, in process 0.

    Raises:
      RuntimeError: Another process failed.
    """
    left = iter([x for x in map(arrays.get, order) if isinstance(x, Deferred)])
    error = None
    try:
        if jax.process_index() == 0:
            write({name: _in_turn(x, left) for name, x in arrays.items()})
    except Exception as raised:  # The others must not wait for it.
        error = raised
    for x in left:  # in the other processes, or after an error
        try:
            x.read()
        except Exception as raised:
            error = error or raised
    texts = _exchanged("" if error is None else f"{type(error).__name__}: {error}")
    if error is not None:
        raise error
    for i, text in enumerate(texts):
        if text:
            raise RuntimeError(
                f"hk.pretrained: process {i} could not write the folder, and nothing "
                f"of it was changed. {text}"
            )


def _in_turn(x: Any, left: Any) -> Any:
    if not isinstance(x, Deferred):
        return x

    def read() -> Any:
        if next(left) is not x:  # The others read another array with this process.
            raise RuntimeError(
                "hk.pretrained reads arrays in another order than it said"
            )
        return x.read()

    return x._replace(read=read)


def _exchanged(text: str) -> list[str]:
    """The texts of all processes."""
    content = text.encode()[:_LENGTH]
    own = np.zeros(_LENGTH, np.uint8)
    own[: len(content)] = np.frombuffer(content, np.uint8)
    rows = multihost_utils.process_allgather(own).reshape(-1, _LENGTH)
    return [bytes(row).rstrip(b"\0").decode(errors="ignore") for row in rows]
