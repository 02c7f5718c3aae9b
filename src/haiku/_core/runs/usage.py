"""Usage: how a function has used the values of its run so far."""

import contextlib
from collections.abc import Callable, Iterator


class Usage:
    """How a function has used the values of its run so far.

    Attributes:
      touched: The parameters (`path, name`) and state (`path, name, "state"`) that were
        read or written. `vmap` shares them between examples.
      differs: Whether another run may give other values: keys were drawn outside
        initialisers, or the function asked whether `init` runs.
      stores_lifted: Whether `init` stored values of inner functions, which every call
        makes again.
      sealed_by: The loop or branch whose body must not make values, or None.
      initialising: Whether an initialiser is running.
      at_end: Checks to call when the run ends without an error.
    """

    __slots__ = (
        "at_end",
        "differs",
        "initialising",
        "sealed_by",
        "stores_lifted",
        "touched",
    )

    def __init__(self):
        self.touched: set[tuple[str, ...]] = set()
        self.differs = False
        self.stores_lifted = False
        self.sealed_by: str | None = None
        self.initialising = False
        self.at_end: list[Callable[[], None]] = []

    def fork(self) -> "Usage":
        """The same so far, for a call that may come after the run has ended."""
        forked = Usage()
        forked.touched, forked.differs = self.touched, self.differs
        forked.stores_lifted, forked.sealed_by = self.stores_lifted, self.sealed_by
        forked.initialising = self.initialising
        return forked

    @contextlib.contextmanager
    def sealed(self, by: str) -> Iterator[None]:
        """Forbids new values while the block runs; errors name `by`."""
        before, self.sealed_by = self.sealed_by, by
        try:
            yield
        finally:
            self.sealed_by = before

    @contextlib.contextmanager
    def forgetting_touched(self) -> Iterator[None]:
        """On exit, forgets which values the block used first."""
        before, self.touched = self.touched, set(self.touched)
        try:
            yield
        finally:
            self.touched = before
