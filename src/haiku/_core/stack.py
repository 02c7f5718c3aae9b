"""Stack: the only ambient state. Each thread and each async task has its own."""

import contextlib
import contextvars
from collections.abc import Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class Stack(Generic[T]):
    """Values that hold while a `with` block runs; the innermost is on top."""

    def __init__(self, name: str):
        self._variable = contextvars.ContextVar[tuple[T, ...]](name, default=())
        self._bottom: tuple[T, ...] = ()
        self.get = self._variable.get  # () -> tuple of all items, innermost last

    @contextlib.contextmanager
    def push(self, item: T) -> Iterator[T]:
        """Holds `item` on top while the block runs, whatever ends it."""
        token = self._variable.set((*self._variable.get(), item))
        try:
            yield item
        finally:
            self._variable.reset(token)

    def keep_at_bottom(self, item: T) -> None:
        """Holds `item` below all others, in every thread, for good."""
        if item not in self._bottom:
            self._bottom = bottom = (*self._bottom, item)
            pushed = self._variable.get
            self.get = lambda: bottom + pushed()
