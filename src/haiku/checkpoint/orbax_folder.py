"""A folder of checkpoints, as Orbax writes and reads it.

    folder/300/state/...      the arrays
    folder/300/manifest/...   what they were, as JSON
    folder/300/loader/...     the loader's position, as JSON

Orbax's manager writes: a checkpoint has its name only when it is whole. Reading goes
through Orbax's handlers, one process by itself: the manager waits for all processes
after reading, so a file that is damaged for one of them would leave the others waiting.
"""

import pathlib
import shutil
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from haiku.checkpoint.leaves import Row, nested, unnested

Paths = tuple[str, ...]
# Seconds that processes wait for the slowest to have written its part. Where one can't
# write, Orbax tells all of them after this time; that one's log says at once.
_PATIENCE = 300


class OrbaxFolder:
    """The checkpoints in a folder: the one place that knows Orbax."""

    def __init__(self, folder: pathlib.Path, keep: int | None, clear: bool):
        """Opens a folder, and makes it; `clear` removes what was half written."""
        import orbax.checkpoint as ocp

        self._ocp = ocp
        self._folder = folder
        if clear:  # Orbax would go on with this in a thread, while others may write.
            for path in folder.iterdir():
                if ocp.utils.is_tmp_checkpoint(path):
                    shutil.rmtree(path)
        self._manager = ocp.CheckpointManager(
            folder,
            options=ocp.CheckpointManagerOptions(
                max_to_keep=keep,
                create=True,
                async_options=ocp.AsyncOptions(timeout_secs=_PATIENCE),
            ),
        )

    def steps(self) -> list[int]:
        """Whole checkpoints, old to new, as the folder has them now."""
        self._manager.reload()
        return sorted(self._manager.all_steps())

    def write(
        self,
        step: int,
        arrays: Mapping[Paths, Any],
        manifest: Any,
        loader: Any | None,
    ) -> None:
        """Begins to write a checkpoint; the arrays may be donated afterwards."""
        save = self._ocp.args
        items: dict[str, Any] = {"manifest": save.JsonSave(manifest)}
        if arrays:
            items["state"] = save.PyTreeSave(nested(arrays))
        if loader is not None:
            items["loader"] = save.JsonSave(loader)
        self._manager.save(step, args=save.Composite(**items), force=True)

    def read_json(self, step: int, item: str) -> Any:
        """The manifest or the loader's position."""
        handler = self._ocp.JsonCheckpointHandler()
        return handler.restore(self.path_of(step, item))

    def read_arrays(self, step: int, rows: Mapping[Paths, Row], shardings) -> Any:
        """The arrays of a checkpoint, each where `shardings` says, else on the host."""
        reading = {path: self._how(row, shardings[path]) for path, row in rows.items()}
        if not reading:
            return {}
        args = self._ocp.args.PyTreeRestore(
            item=nested(dict.fromkeys(reading, 0)), restore_args=nested(reading)
        )
        handler = self._ocp.PyTreeCheckpointHandler()
        try:
            tree = handler.restore(self.path_of(step, "state"), args=args)
        finally:
            handler.close()
        return unnested(tree, reading)

    def path_of(self, step: int, item: str = "") -> Any:
        """Where a checkpoint, or an item of one, stands."""
        return self._manager.directory / str(step) / item

    def delete(self, step: int) -> None:
        """Removes a checkpoint."""
        self._manager.delete(step)

    def check(self) -> None:
        """Raises what went wrong in writing since the last call."""
        self._manager.check_for_errors()

    def wait(self) -> None:
        """Waits until all that was begun is written; raises what went wrong."""
        self._manager.wait_until_finished()

    def close(self) -> None:
        """Ends the threads that write."""
        self._manager.close()

    def _how(self, row: Row, sharding: Any) -> Any:
        if sharding is None:
            return self._ocp.RestoreArgs(restore_type=np.ndarray)
        return self._ocp.ArrayRestoreArgs(
            sharding=sharding,
            global_shape=row.shape,
            dtype=jax.numpy.dtype(row.stored_dtype),
        )
