"""One writer per folder: a lock that ends with the process that holds it.

What is half written can be cleared only where nobody is writing: a program that reads a
folder for an evaluation must not clear what a training beside it is about to finish.
"""

import pathlib
import time
from typing import IO

_NAME = ".haiku-lock"


class WriterLock:
    """The right to write into a folder."""

    def __init__(self, folder: pathlib.Path):
        self._path = folder / _NAME
        self._file: IO[str] | None = None

    def take(self, patience: float = 0.0) -> bool:
        """Takes the lock, waiting up to `patience` seconds; false where another has it.

        File systems and operating systems without locks give it to everyone.
        """
        try:
            import fcntl
        except ImportError:
            return True
        until = time.monotonic() + patience
        file = self._path.open("a")
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() < until:
                    time.sleep(0.05)
                    continue
                file.close()
                return False
            except OSError:  # No locks here.
                pass
            self._file = file
            return True

    def release(self) -> None:
        """Gives the lock back."""
        if self._file is not None:
            self._file.close()
            self._file = None
