"""What all processes have to know of each other before they go on together."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import jax
import numpy as np

from haiku.checkpoint.checkpoint_error import CheckpointError, first_of, in_words

T = TypeVar("T")


def gathered(text: str) -> list[str]:
    """The texts of all processes, in their order. All call this together."""
    if jax.process_count() == 1:
        return [text]
    from jax.experimental import multihost_utils

    data = np.frombuffer(text.encode(), np.uint8)
    # Bytes of their own, since a text may be of any length: first the lengths.
    lengths = _rows(multihost_utils.process_allgather(np.array([data.size], np.int32)))
    width = 1 << max(6, int(lengths.max() - 1).bit_length())  # Few shapes to compile.
    padded = np.zeros(width, np.uint8)
    padded[: data.size] = data
    rows = _rows(multihost_utils.process_allgather(padded))
    return [bytes(row[: n[0]]).decode() for row, n in zip(rows, lengths)]


def together(act: Callable[[], T]) -> T:
    """Runs what may fail in one process, and then fails in all of them."""
    if jax.process_count() == 1:
        return act()
    problem, result = None, None
    try:
        result = act()
    except Exception as error:
        problem = error
    texts = gathered("" if problem is None else in_words(problem))
    failed = [process for process, text in enumerate(texts) if text]
    if problem is not None:
        raise problem
    if failed:
        raise CheckpointError(
            f"{named(failed).capitalize()} of {len(texts)} failed: {texts[failed[0]]}"
        )
    return result  # pyright: ignore[reportReturnType]


def agree_on(what: str, value: Any) -> None:
    """Raises an error in all processes where one has another JSON value."""
    texts = gathered(json.dumps(value))
    odd = odd_ones(texts)
    if odd:
        usual = next(process for process in range(len(texts)) if process not in odd)
        raise CheckpointError(
            f"Processes disagree on {what}: {texts[usual]} in process {usual}, "
            f"{texts[odd[0]]} in {named(odd)}. All processes need the same folder, "
            "on a file system that they share, and the same arguments."
        )


def agree_on_parts(parts: Mapping[str, str], hints: Mapping[str, str]) -> None:
    """The same for many values; the error names those that differ, and a hint.

    `hints` has one for a part by its name, and one for all others by the name "".
    """
    notes = [json.loads(text) for text in gathered(json.dumps(dict(parts)))]
    names = dict.fromkeys(name for note in notes for name in note)
    unlike = [n for n in names if any(x.get(n) != notes[0].get(n) for x in notes)]
    if unlike:
        odd = odd_ones([note.get(unlike[0], "") for note in notes])
        raise CheckpointError(
            f"Processes disagree on {first_of(unlike)}: other in {named(odd)} than in "
            f"the rest. {hints.get(unlike[0], hints[''])}"
        )


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
