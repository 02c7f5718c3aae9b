"""`Deferred`: an array that is read when its turn to be written comes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

__all__ = ["Deferred"]


class Deferred(NamedTuple):
    """An array that is read when its turn to be written comes.

    Attributes:
      shape: Its shape.
      dtype: Its dtype.
      read: Returns its numbers.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    read: Callable[[], np.ndarray]

    @property
    def size(self) -> int:
        """How many numbers it has."""
        return math.prod(self.shape)
