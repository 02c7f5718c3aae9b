"""Stack: the only ambient state. Each thread and async task has its own."""

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
        self._below: contextvars.ContextVar[tuple[T, ...]] | None = None
        self.get = self._variable.get  # () -> tuple of all items, innermost last

    @contextlib.contextmanager
    def push(self, item: T) -> Iterator[T]:
        """Keeps `item` on top while the block runs."""
        token = self._variable.set((*self._variable.get(), item))
        try:
            yield item
        finally:
            self._variable.reset(token)

    def set(self, items: tuple[T, ...]) -> None:
        """Replaces all pushed items in this context."""
        self._variable.set(items)

    def keep_at_bottom(self, item: T) -> None:
        """Puts `item` below all others, in every thread, for good."""
        if item not in self._bottom:
            self._bottom = (*self._bottom, item)
            self._compose()

    @contextlib.contextmanager
    def push_below(self, item: T) -> Iterator[T]:
        """Keeps `item` below all others while the block runs."""
        if self._below is None:
            name = f"{self._variable.name}_below"
            self._below = contextvars.ContextVar[tuple[T, ...]](name, default=())
            self._compose()
        token = self._below.set((item, *self._below.get()))
        try:
            yield item
        finally:
            self._below.reset(token)

    def _compose(self) -> None:
        bottom, pushed = self._bottom, self._variable.get
        if self._below is None:
            self.get = lambda: bottom + pushed()
        else:
            below = self._below.get
            self.get = lambda: below() + bottom + pushed()
