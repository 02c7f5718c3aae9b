"""What a checkpoint will hold: rows and arrays of a state, and a loader's position."""

import dataclasses
from typing import Any

import jax
import numpy as np

from haiku.checkpoint import fingerprints, loader_state
from haiku.checkpoint.leaves import Row, named_leaves, stored, wide
from haiku.checkpoint.manifest import Manifest, hash_of

Paths = tuple[str, ...]
LOADER = "the loader's position"  # As messages call it.
_SMALL = 1 << 16  # Elements.


@dataclasses.dataclass(frozen=True)
class Snapshot:
    """A state on its way into a folder."""

    rows: dict[Paths, Row]
    values: dict[Paths, jax.Array | np.ndarray]
    loader: dict[str, Any] | None

    @classmethod
    def of(cls, state: Any, loader: Any | None) -> "Snapshot":
        """Reads state and loader; errors are those of this process alone."""
        both = {p: stored(p, leaf) for p, leaf in named_leaves(state).items()}
        rows = {path: row for path, (row, _) in both.items()}
        values = {path: value for path, (_, value) in both.items()}
        # The host's arrays are whole in each process, and must be equal.
        for path, value in values.items():
            if not isinstance(value, jax.Array):
                number = fingerprints.of_array(value)
                rows[path] = dataclasses.replace(rows[path], fingerprint=number)
        position = None if loader is None else loader_state.state_of(loader)
        return cls(rows, values, position)

    def parts(self) -> dict[str, str]:
        """Hashes of what has to be equal in all processes, by what it is called."""
        parts = {"/".join(path): hash_of(r.as_json()) for path, r in self.rows.items()}
        return {**parts, LOADER: hash_of(self.loader)}

    def manifest(self, step: int) -> Manifest:
        """The manifest, with fingerprints of all processes' shards."""
        apart = {p: v for p, v in self.values.items() if isinstance(v, jax.Array)}
        numbers = fingerprints_of(apart)
        rows = {
            path: dataclasses.replace(
                row, fingerprint=numbers.get(path, row.fingerprint)
            )
            for path, row in self.rows.items()
        }
        loader = None if self.loader is None else hash_of(self.loader)
        return Manifest(step, tuple(rows.values()), loader)

    def arrays(self) -> dict[Paths, Any]:
        """The arrays as the folder holds them; those without elements are in none."""
        return {p: wide(r, self.values[p]) for p, r in self.rows.items() if r.is_stored}


def fingerprints_of(arrays: dict[Paths, jax.Array]) -> dict[Paths, int]:
    """Fingerprints of JAX's arrays. All processes call this together."""
    small, sums = {}, {}
    for path, x in arrays.items():
        if x.size <= _SMALL and (x.is_fully_replicated or x.is_fully_addressable):
            # To compile a program for its shape would take longer than to fetch it.
            small[path] = x.addressable_data(0) if x.is_fully_replicated else x
        else:
            # Each device has the whole sum; ask one of this process.
            sums[path] = fingerprints.of_devices(x).addressable_data(0)
    small, sums = jax.device_get((small, sums))
    numbers = {path: fingerprints.of_array(value) for path, value in small.items()}
    return numbers | {path: int(number) for path, number in sums.items()}
