"""A checkpoint read, compared with its fingerprints, and put where the state lives."""

from collections.abc import Mapping
from typing import Any

import jax

from haiku.checkpoint import fingerprints
from haiku.checkpoint.checkpoint_error import first_of, in_words
from haiku.checkpoint.leaves import (
    Row,
    named_leaves,
    restored,
    sharding_of,
    wanted_row,
)
from haiku.checkpoint.manifest import Damaged, Manifest, differences, hash_of
from haiku.checkpoint.orbax_folder import OrbaxFolder
from haiku.checkpoint.snapshot import fingerprints_of

Paths = tuple[str, ...]


class OtherModel(Exception):
    """The checkpoint is whole, and of another model. The message says how."""


class Restoring:
    """One checkpoint, and the state that it shall become."""

    def __init__(self, folder: OrbaxFolder, step: int, state: Any):
        self._folder = folder
        self._step = step
        self._state = state
        self._leaves = named_leaves(state)
        self._rows: dict[Paths, Row] = {}
        self._values: dict[Paths, Any] = {}
        self.loader: dict[str, Any] | None = None

    def read(self, with_loader: bool) -> None:
        """Reads what this process needs. Waits for no other process."""
        manifest = Manifest.from_json(self._json("manifest"), self._step)
        rows = {row.path: row for row in manifest.rows}
        wanted = [wanted_row(path, leaf) for path, leaf in self._leaves.items()]
        unlike = differences(manifest.rows, wanted)
        if unlike:
            raise OtherModel(unlike)
        if with_loader:
            self._read_loader(manifest)
        self._rows = {path: rows[path] for path in self._leaves}
        here = {path: row for path, row in self._rows.items() if row.is_stored}
        shardings = {path: sharding_of(self._leaves[path]) for path in here}
        try:
            values = self._folder.read_arrays(self._step, here, shardings)
        except Exception as error:
            raise Damaged(f"Orbax can't read its arrays ({in_words(error)})") from error
        for path, row in self._rows.items():
            value = values[path] if row.is_stored else empty(row)
            if tuple(value.shape) != row.shape or value.dtype != row.stored_dtype:
                raise Damaged(
                    f"{row.name} is {value.dtype}{list(value.shape)}, not {row.kind}"
                )
            self._values[path] = value.astype(row.dtype)
        self._compare(
            {
                path: fingerprints.of_array(value)
                for path, value in self._values.items()
                if not isinstance(value, jax.Array)
            }
        )

    def compare_shards(self) -> None:
        """Compares fingerprints of what processes hold together; all call this."""
        split = {p: v for p, v in self._values.items() if isinstance(v, jax.Array)}
        self._compare(fingerprints_of(split))

    def result(self) -> Any:
        """The state, with the checkpoint's values."""
        leaves = [
            restored(leaf, self._rows[path], self._values[path])
            for path, leaf in self._leaves.items()
        ]
        return jax.tree.unflatten(jax.tree.structure(self._state), leaves)

    def _compare(self, numbers: Mapping[Paths, int]) -> None:
        wrong = [
            self._rows[path].name
            for path, number in numbers.items()
            if number != self._rows[path].fingerprint
        ]
        if wrong:
            raise Damaged(
                f"{len(wrong)} of {len(self._rows)} arrays aren't what was written: "
                f"{first_of(wrong)}"
            )

    def _read_loader(self, manifest: Manifest) -> None:
        if manifest.loader is None:
            raise OtherModel(
                "It was saved without a loader, so the loader's position isn't known. "
                "Restore without one, and put the loader where it should be."
            )
        self.loader = self._json("loader")
        if hash_of(self.loader) != manifest.loader:
            raise Damaged("the loader's position isn't what was written")

    def _json(self, item: str) -> Any:
        path = self._folder.path_of(self._step, item)
        if not path.exists():
            raise Damaged(
                f"{path} isn't there: it was removed, or another program wrote "
                "the folder"
            )
        try:
            return self._folder.read_json(self._step, item)
        except Exception as error:
            raise Damaged(f"{path} can't be read ({in_words(error)})") from error


def empty(row: Row) -> Any:
    """An array without elements, which is in no folder."""
    import numpy as np

    return np.zeros(row.shape, jax.numpy.dtype(row.stored_dtype))
