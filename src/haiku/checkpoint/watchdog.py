"""Ends a process whose training hangs, and says where it stands.

A process that dies is noticed by JAX's runtime. One that hangs, in a loader, a file
system or a collective that another never comes to, is not: all others wait for it. Here
each process has a clock that every step sets back. When it runs out, the process prints
its step and all Python stacks, learns from the others' notes in the folder who is
behind, and ends with a code on which job managers restart.
"""

import faulthandler
import json
import os
import pathlib
import sys
import threading
import time
import traceback

import jax

from haiku.checkpoint.agreement import named

EXIT_CODE = 75  # EX_TEMPFAIL: a failure that may be gone at the next try.
_NOTES = "haiku-hang"
_STDERR = 2  # The process's own, whatever a program or a test puts in its place.
# A thread of Python's needs the interpreter; faulthandler's doesn't. Where C code hangs
# with the interpreter locked, that one ends the process, this long after.
_LAST_RESORT = 15.0


class Watchdog:
    """A clock that `step` sets back; `seconds` after the last one the process ends."""

    def __init__(self, seconds: float, folder: pathlib.Path):
        self._of = threading.get_ident()  # The thread that trains.
        self._seconds = seconds
        self._notes = folder / _NOTES
        self._after: int | None = None  # The last step that was reported.
        self._since = time.monotonic()
        self._closed = threading.Event()
        self._thread = threading.Thread(
            target=self._watch, name="haiku watchdog", daemon=True
        )

    def open(self) -> None:
        """Starts the clock. Notes of an earlier run go."""
        if jax.process_index() == 0 and self._notes.is_dir():
            for note in self._notes.iterdir():
                note.unlink(missing_ok=True)
            self._notes.rmdir()
        self.set_back()
        self._thread.start()

    def set_back(self, step: int | None = None) -> None:
        """The program goes on; it has finished `step`, where there is one."""
        self._after = self._after if step is None else step
        self._since = time.monotonic()
        faulthandler.dump_traceback_later(
            self._seconds + _LAST_RESORT, exit=True, file=_STDERR
        )

    def close(self) -> None:
        """Stops the clock."""
        self._closed.set()
        faulthandler.cancel_dump_traceback_later()
        if self._thread.is_alive():
            self._thread.join()

    def _watch(self) -> None:
        while True:
            left = self._since + self._seconds - time.monotonic()
            if left <= 0:
                break
            if self._closed.wait(min(left, 1.0)):
                return
        self._end()

    def _end(self) -> None:
        """Prints, asks the folder who is behind, and ends the process."""
        process, processes = jax.process_index(), jax.process_count()
        _print(
            f"Process {process} of {processes} hangs: no step was finished for "
            f"{self._seconds:g} s; {_after(self._after)}. Its threads stand here:"
        )
        faulthandler.dump_traceback(_STDERR, all_threads=True)
        if processes > 1:
            # The folder may hang too: this thread only waits for the one that asks.
            asking = threading.Thread(
                target=self._say_who_is_behind, args=(process, processes), daemon=True
            )
            asking.start()
            asking.join(_grace(self._seconds) + 2)
        _print(
            f"Process {process} ends with code {EXIT_CODE}; start all of them again."
        )
        os._exit(EXIT_CODE)

    def _say_who_is_behind(self, process: int, processes: int) -> None:
        """Leaves a note, waits for those of the others, and compares."""
        self._notes.mkdir(exist_ok=True)
        note = self._notes / f"{process}.new"
        step = -1 if self._after is None else self._after
        note.write_text(json.dumps([step, _place(self._of)]))
        note.rename(self._notes / f"{process}.json")
        until = time.monotonic() + _grace(self._seconds)
        notes: dict[int, tuple[int, str]] = {}
        while len(notes) < processes and time.monotonic() < until:
            time.sleep(0.1)
            notes = {
                int(file.stem): tuple(json.loads(file.read_text()))
                for file in self._notes.glob("*.json")
            }
        _print(who_is_behind(notes, processes))


def who_is_behind(notes: dict[int, tuple[int, str]], processes: int) -> str:
    """In words, who is behind, by each one's last step and the line it stands at.

    Where all have done the same step, those that stand elsewhere than most are named:
    the others wait for them in one and the same place.
    """
    steps = {process: step for process, (step, _) in notes.items()}
    lines = [notes[process][1] for process in sorted(notes)]
    first, last = min(steps.values()), max(steps.values())
    if first < last:
        slow = sorted(process for process, step in steps.items() if step == first)
        words = [f"Behind is {named(slow)}: {_after(first)}, elsewhere it is {last}."]
    else:
        words = [f"All that speak have done the same: {_after(first)}."]
    for line in dict.fromkeys(sorted(lines, key=lines.count)):
        there = [process for process in sorted(notes) if notes[process][1] == line]
        words.append(f"At {line}: {named(there)}.")
    silent = [process for process in range(processes) if process not in notes]
    if silent:
        words.append(f"Silent: {named(silent)}, dead or still at work.")
    return " ".join(words)


def _place(thread: int) -> str:
    """The line of Python that a thread is at."""
    frame = sys._current_frames().get(thread)
    if frame is None:
        return "the end of its thread"
    (line,) = traceback.StackSummary.extract(traceback.walk_stack(frame), limit=1)
    return f"{line.filename}:{line.lineno} ({line.name})"


def _after(step: int | None) -> str:
    return "no step is done" if step in (None, -1) else f"the last one is {step}"


def _grace(seconds: float) -> float:
    """How long to wait for the others' notes."""
    return min(10.0, max(2.0, seconds / 4))


def _print(text: str) -> None:
    """Writes to the error stream at once, whatever the program made of `sys.stderr`."""
    os.write(_STDERR, f"haiku.checkpoint: {text}\n".encode())
