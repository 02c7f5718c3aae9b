"""Lifting: where an inner run's values are kept in the run around it."""

from typing import NamedTuple

from haiku._core.runs.stack import Stack


class Lifting(NamedTuple):
    """Where an inner run's values are kept in the run around it.

    Attributes:
      prefix: The text before their paths; None if the run stands alone.
      closed: Whether modules of outer runs are forbidden.
      depth: How many runs are around; it counts for the next one alone.
    """

    prefix: str | None = None
    closed: bool = False
    depth: int = 0


NOT_LIFTED = Lifting()
lifting: Stack[Lifting] = Stack("lifting")


def lifting_at(depth: int) -> Lifting:
    """The lifting that is set for a run with `depth` runs around it."""
    around = lifting.get()
    return around[-1] if around and around[-1].depth == depth else NOT_LIFTED
