"""`Checkpoints`: what a training saves, restores, and stops at."""

import operator
import os
import pathlib
import types
from collections.abc import Callable
from typing import Any, TypeVar

import jax

from haiku.checkpoint import loader_state
from haiku.checkpoint.agreement import agree_on, agree_on_parts, together
from haiku.checkpoint.checkpoint_error import (
    CheckpointError,
    first_of,
    in_words,
    other_steps,
)
from haiku.checkpoint.manifest import Damaged
from haiku.checkpoint.orbax_folder import OrbaxFolder
from haiku.checkpoint.preemption import Preemption
from haiku.checkpoint.restoring import OtherModel, Restoring
from haiku.checkpoint.same_program import assert_same_versions
from haiku.checkpoint.snapshot import LOADER, Snapshot
from haiku.checkpoint.watchdog import Watchdog
from haiku.checkpoint.writer_lock import WriterLock

T = TypeVar("T")
_HINTS = {
    LOADER: "It is the same where each process reads `[index::count]` of one order.",
    "": "Each process has its own copy of an array that isn't split: make them alike, "
    "from one seed, or put one value on all of the mesh.",
}


class Checkpoints:
    """Checkpoints of a training in a folder, and its orderly end.

    Open it around the training. Under `jax.distributed` all processes open it, and call
    its methods, together; the folder is one that all of them see.

    A checkpoint is whole or not there. Each array's fingerprint stands in it, so damage
    is an error. While the block is open, SIGTERM doesn't end the program: the next
    `save` writes its step, whatever `every` says, and `stopping` becomes True. In
    several processes that is the same step for all, a second or two later.

    Args:
      folder: Where checkpoints are. It is made where it isn't there, and opens with
        plain Orbax (`orbax.checkpoint.CheckpointManager`) too. One training writes into
        it; any number of programs may read.
      every: Steps from one checkpoint to the next: those that it divides are saved.
      keep: How many checkpoints are kept, the newest; None keeps all.
      hang_after: Seconds without a call of `save` after which this process prints its
        step and all Python stacks, and ends with code 75, so that a job manager starts
        it again. Longer than a step and its compilation, an evaluation and the writing
        of a checkpoint. It takes `faulthandler`'s clock for itself. None never ends it.

    Raises:
      CheckpointError: The folder can't be opened, or processes give other arguments.
      RuntimeError: Processes have other versions of JAX.

    Example:
      >>> import tempfile
      >>> state = {"w": jnp.arange(3.0)}
      >>> with hk.checkpoint.Checkpoints(tempfile.mkdtemp()) as checkpoints:
      ...     saved = checkpoints.save(0, state)
      ...     state, at = checkpoints.restore(state)
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        every: int = 1,
        keep: int | None = 3,
        hang_after: float | None = None,
    ):
        for name, number in (("every", every), ("keep", keep)):
            if number is not None and not (_is_integer(number) and number >= 1):
                raise ValueError(f"{name} counts, so it is 1 or more, not {number!r}.")
        if hang_after is not None and not hang_after > 0:
            raise ValueError(
                f"hang_after is a number of seconds above 0, not {hang_after!r}."
            )
        self._path = pathlib.Path(folder).absolute()
        self._every, self._keep, self._hang_after = every, keep, hang_after
        self._folder: OrbaxFolder | None = None
        self._lock = WriterLock(self._path)
        self._may_write = False
        self._preemption = Preemption()
        self._watchdog: Watchdog | None = None
        self._newest: int | None = None  # Of the steps that later ones have to follow.
        self._saved: int | None = None  # The last step that this block saved.
        self._begun: int | None = None  # The last one that it began to write.
        self._given_up: list[int] = []  # Steps after the one that was restored by name.
        self._stopping = False

    @property
    def stopping(self) -> bool:
        """Whether the training is to end: SIGTERM came, and its last step is saved."""
        return self._stopping

    def __enter__(self) -> "Checkpoints":
        if self._folder is not None:
            raise CheckpointError(f"The checkpoints in {self._path} are open already.")
        assert_same_versions()
        asked = [str(self._path), self._every, self._keep, self._hang_after]
        agree_on("folder, every, keep, hang_after", asked)
        together(self._open)
        self._newest = max(self.steps(), default=None)
        self._preemption = Preemption()
        self._preemption.open()
        if self._hang_after is not None:
            self._watchdog = Watchdog(self._hang_after, self._path)
            self._watchdog.open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: types.TracebackType | None,
    ) -> None:
        folder = self._opened()
        try:
            if error is None:
                self.wait()
            else:  # The other processes may be elsewhere: wait for this one alone.
                try:
                    self._writing(folder.wait)
                except CheckpointError as writing:
                    error.add_note(str(writing))
        finally:
            self._folder = None
            folder.close()
            self._lock.release()
            self._may_write = False
            if self._watchdog is not None:
                self._watchdog.close()
                self._watchdog = None
            self._preemption.close()

    def steps(self) -> list[int]:
        """The steps of all whole checkpoints, old to new."""
        return self._opened().steps()

    def save(self, step: int, state: Any, loader: Any | None = None) -> bool:
        """Saves a step where its turn has come, or where the training is to end.

        Call it after each step. Arrays are copied off their devices before it returns,
        so the next step may take their memory (`donate_argnums`); files are written
        while the program goes on. Between turns it does nothing but notice SIGTERM,
        where it waits until all is written.

        Args:
          step: The number of the step that `state` comes from, 0 or more, higher at
            each call.
          state: A tree of arrays, typed keys and numbers, with all that the training
            needs to go on.
          loader: What gives the batches: `get_state()` says where it stands, as bytes
            or JSON, the same in all processes.

        Returns:
          Whether this call saved the step.

        Raises:
          CheckpointError: An earlier checkpoint couldn't be written (a full disk); the
            state holds something else than arrays; processes disagree; the folder has a
            later step; another program writes into it.
        """
        folder = self._opened()
        step = operator.index(step)
        if self._watchdog is not None:
            self._watchdog.set_back(step)
        if jax.process_count() == 1:  # Several tell each other, at their turn.
            self._writing(folder.check)
        stops = self._preemption.is_due() or self._stopping
        if not (stops or step % self._every == 0):
            return False
        saves = step != self._saved
        if saves:
            self._write(folder, step, state, loader)
        if stops:
            self.wait()
            self._stopping = True
        return saves

    def wait(self) -> None:
        """Waits until everything is written.

        Raises:
          CheckpointError: Something couldn't be written.
        """
        folder = self._opened()
        self._set_back()
        together(lambda: self._writing(folder.wait))
        self._set_back()

    def restore(
        self, state: T, loader: Any | None = None, step: int | None = None
    ) -> tuple[T, int | None]:
        """The state of a checkpoint, where the arrays of `state` live.

        Meshes and numbers of processes may be others than those that saved it. Python's
        and NumPy's numbers and arrays come back as such.

        Args:
          state: A tree like the one that was saved: of arrays, whose values aren't
            read, or of `jax.ShapeDtypeStruct`s, with shardings or for the default
            device.
          loader: What gives the batches: `set_state()` puts it where it was. Without it
            the saved position is left alone.
          step: Which checkpoint, by its step; the newest where it is None. What is
            newer is given up: the next `save` removes it.

        Returns:
          The restored state and its step; `state` itself and None where the folder has
          no checkpoint.

        Raises:
          CheckpointError: The checkpoint is damaged, another model's, or not there.
        """
        folder = self._opened()
        self.wait()
        steps = folder.steps()
        agree_on("steps in the folder", steps)
        if step is None and not steps:
            return state, None
        at = steps[-1] if step is None else operator.index(step)
        if at not in steps:
            there = f"there are {first_of(reversed(steps))}" if steps else "it is empty"
            raise CheckpointError(f"{self._path} has no step {at}: {there}.")
        restoring = together(lambda: Restoring(folder, at, state))
        for part in (
            lambda: restoring.read(with_loader=loader is not None),
            restoring.compare_shards,
        ):
            together(lambda part=part: self._reading(at, steps, part))
        result = restoring.result()
        if loader is not None:
            together(lambda: self._put(loader, restoring.loader, at))
        self._given_up = [other for other in steps if other > at]
        self._newest, self._saved = at, None
        self._set_back()
        return result, at

    # ---- Opening and writing ------------------------------------------------------

    def _opened(self) -> OrbaxFolder:
        if self._folder is None:
            raise CheckpointError(
                "Checkpoints are open inside a block alone: write "
                "`with hk.checkpoint.Checkpoints(folder) as checkpoints:`."
            )
        return self._folder

    def _open(self) -> None:
        """Opens the folder; clears what was half written, where nobody is writing."""
        try:
            self._path.mkdir(parents=True, exist_ok=True)
            clear = jax.process_index() == 0 and self._is_alone()
            self._folder = OrbaxFolder(self._path, self._keep, clear)
            self._lock.release()
        except OSError as error:
            raise CheckpointError(
                f"{self._path} can't be opened ({in_words(error)})."
            ) from error

    def _is_alone(self) -> bool:
        """Whether nobody writes into the folder, and this program may."""
        try:
            return self._lock.take()
        except OSError:  # A folder to read from alone.
            return False

    def _write(
        self, folder: OrbaxFolder, step: int, state: Any, loader: Any | None
    ) -> None:
        """Begins to write a step, once all processes agree on what it is."""
        snapshot = together(lambda: self._prepared(folder, step, state, loader))
        agree_on_parts({"the step": str(step), **snapshot.parts()}, _HINTS)
        for other in self._given_up:
            together(lambda other=other: folder.delete(other))
        self._given_up = []
        manifest = snapshot.manifest(step)
        # A copy in each process, of which one is saved: seen by their fingerprints.
        copies = {row.name: str(row.fingerprint) for row in manifest.rows}
        agree_on_parts(copies, _HINTS)
        self._begun = step
        self._writing(
            lambda: folder.write(
                step, snapshot.arrays(), manifest.as_json(), snapshot.loader
            )
        )
        self._newest = self._saved = step

    def _prepared(
        self, folder: OrbaxFolder, step: int, state: Any, loader: Any | None
    ) -> Snapshot:
        """What this process has to write; errors here are known to all before it is."""
        self._writing(folder.wait)  # Orbax writes one checkpoint at a time.
        if step < 0:
            raise CheckpointError(f"A step is 0 or more, not {step}.")
        if self._newest is not None and step <= self._newest:
            raise CheckpointError(
                f"{self._path} has step {self._newest} already, and step {step} isn't "
                "after it. To go on from there: `state, at = checkpoints."
                "restore(state, loader)`. To begin anew: another folder."
            )
        if not self._may_write:
            takes = jax.process_index() != 0 or self._writing(
                lambda: self._lock.take(patience=2.0)
            )
            if not takes:
                raise CheckpointError(
                    f"Another program writes its checkpoints into {self._path}: end "
                    "it, or give this one another folder."
                )
            self._may_write = True
        return Snapshot.of(state, loader)

    def _writing(self, act: Callable[[], T]) -> T:
        """Runs a part of Orbax's writing; its errors name the folder."""
        try:
            return act()
        except Exception as error:
            self._saved = None
            steps = self.steps()
            self._newest = max(steps, default=None)
            whole = (
                f"Whole are: {first_of(reversed(steps))}" if steps else "None is whole"
            )
            several = jax.process_count() > 1
            logs = " Where it is about a barrier, another process's log has the cause."
            raise CheckpointError(
                f"A checkpoint in {self._path} couldn't be written, the last begun is "
                f"step {self._begun} ({in_words(error)}). {whole}.{logs * several}"
            ) from error

    # ---- Restoring ----------------------------------------------------------------

    def _reading(self, step: int, steps: list[int], act: Callable[[], T]) -> T:
        """Runs a part of restoring; its errors name the step and the way out."""
        where = f"Step {step} of {self._path}"
        try:
            return act()
        except OtherModel as error:
            raise CheckpointError(f"{where} doesn't fit the state. {error}") from error
        except Damaged as error:
            raise CheckpointError(
                f"{where} is damaged: {error}. {other_steps(step, steps)}"
            ) from error

    def _put(self, loader: Any, saved: Any, step: int) -> None:
        try:
            loader_state.set_state(loader, saved)
        except Exception as error:
            raise CheckpointError(
                f"The loader, a {type(loader).__name__}, doesn't take the position "
                f"that was saved at step {step} ({in_words(error)})."
            ) from error

    def _set_back(self) -> None:
        if self._watchdog is not None:
            self._watchdog.set_back()


def _is_integer(number: object) -> bool:
    return isinstance(number, int) and not isinstance(number, bool)
