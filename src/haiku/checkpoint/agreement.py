"""What all processes have to know of each other before they go on together."""

from collections.abc import Sequence

import jax
import numpy as np


def gathered(text: str) -> list[str]:
    """The texts of all processes, in their order. All call this together."""
    if jax.process_count() == 1:
        return [text]
    from jax.experimental import multihost_utils

    data = np.frombuffer(text.encode(), np.uint8)
    # Bytes of their own, since a text may be of any length: first the lengths.
    lengths = _rows(multihost_utils.process_allgather(np.int32([data.size])))
    width = 1 << max(6, int(lengths.max() - 1).bit_length())  # Few shapes to compile.
    padded = np.zeros(width, np.uint8)
    padded[: data.size] = data
    rows = _rows(multihost_utils.process_allgather(padded))
    return [bytes(row[: n[0]]).decode() for row, n in zip(rows, lengths)]


def _rows(values) -> np.ndarray:
    return np.asarray(values).reshape(jax.process_count(), -1)


def odd_ones(texts: Sequence[str]) -> list[int]:
    """The processes whose text isn't that of most; of equals, that of the first."""
    usual = max(texts, key=lambda text: (texts.count(text), -texts.index(text)))
    return [process for process, text in enumerate(texts) if text != usual]


def named(processes: Sequence[int]) -> str:
    """`process 2` or `processes 2, 5 and 7`."""
    *others, last = map(str, processes)
    if not others:
        return f"process {last}"
    return f"processes {', '.join(others)} and {last}"
