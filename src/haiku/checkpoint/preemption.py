"""SIGTERM, and the step at which all processes heed it."""

import itertools
import signal
import threading
from typing import Any

import jax

from haiku.checkpoint.checkpoint_error import CheckpointError

# JAX's runtime counts the calls of all processes from the start of the program.
_CALLS = itertools.count()


class Preemption:
    """Whether a job manager wants this program to end.

    One process alone has a handler of its own while this is open. Under
    `jax.distributed` JAX's runtime catches the signal in any process, and chooses a
    step that none has come to yet.
    """

    def __init__(self):
        self._caught = False
        self._heeded = False
        self._before: Any = None
        self._handles = False
        self._together = jax.distributed.is_initialized()

    def open(self) -> None:
        """Puts the handler in place."""
        if self._together:
            if not getattr(jax.config, "jax_enable_preemption_service", True):
                raise CheckpointError(
                    "The option jax_enable_preemption_service is off, so processes "
                    "can't agree on a step to stop at: take the line that turns it off "
                    "out of the program."
                )
        elif threading.current_thread() is threading.main_thread():
            self._before = signal.getsignal(signal.SIGTERM)
            signal.signal(signal.SIGTERM, self._catch)
            self._handles = True

    def is_due(self) -> bool:
        """Whether to stop at this step. All processes ask at each step, and agree."""
        if self._together:
            from jax.experimental import multihost_utils

            due = multihost_utils.reached_preemption_sync_point(next(_CALLS))
        else:
            due = self._caught
        self._heeded |= due
        return due

    def close(self) -> None:
        """Puts back the handler that was there; it gets a signal nobody heeded."""
        if not self._handles:
            return
        self._handles = False
        # None is a handler that isn't Python's: it can't be put back from here.
        before = signal.SIG_DFL if self._before is None else self._before
        signal.signal(signal.SIGTERM, before)
        if self._caught and not self._heeded:
            signal.raise_signal(signal.SIGTERM)

    def _catch(self, signum: int, frame: Any) -> None:
        self._caught = True
