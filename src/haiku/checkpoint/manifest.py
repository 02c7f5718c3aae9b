"""The manifest: what each array of a checkpoint was when it was saved.

It stands in the checkpoint itself, so both are there or neither is, and it guards
itself by a hash.
"""

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from haiku.checkpoint.checkpoint_error import first_of
from haiku.checkpoint.leaves import Row

FORMAT = 1


class Damaged(Exception):
    """Something in the folder isn't what was written. The message says what."""


@dataclasses.dataclass(frozen=True)
class Manifest:
    """The rows of all arrays, the step, and the hash of the loader's state."""

    step: int
    rows: tuple[Row, ...]
    loader: str | None  # A hash; None where no loader was saved.

    def as_json(self) -> dict[str, Any]:
        """What is written."""
        body = {
            "format": FORMAT,
            "step": self.step,
            "loader": self.loader,
            "arrays": [row.as_json() for row in self.rows],
        }
        return {"sha256": hash_of(body), "written": body}

    @classmethod
    def from_json(cls, values: Any, step: int) -> "Manifest":
        """Reads what `as_json` wrote, and checks it."""
        if not isinstance(values, Mapping) or {*values} != {"sha256", "written"}:
            raise Damaged("its manifest isn't one of hk.checkpoint")
        body = values["written"]
        if hash_of(body) != values["sha256"]:
            raise Damaged("its manifest isn't what was written")
        if body["format"] != FORMAT:
            raise Damaged(f"its manifest has format {body['format']}, not {FORMAT}")
        if body["step"] != step:
            raise Damaged(
                f"it is a checkpoint of step {body['step']} under another name"
            )
        rows = tuple(map(Row.from_json, body["arrays"]))
        return cls(body["step"], rows, body["loader"])


def hash_of(values: Any) -> str:
    """The SHA-256 of JSON values, however they are laid out in a file."""
    text = json.dumps(values, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def differences(saved: Sequence[Row], wanted: Sequence[Row]) -> str:
    """In words, how another model's arrays differ from the saved ones; or nothing."""
    saved_by, wanted_by = ({row.path: row for row in rows} for rows in (saved, wanted))
    missing = [row.name for path, row in wanted_by.items() if path not in saved_by]
    more = [row.name for path, row in saved_by.items() if path not in wanted_by]
    other = [
        f"{row.name} is {saved_by[path].kind} there and {row.kind} here"
        for path, row in wanted_by.items()
        if path in saved_by and saved_by[path].kind != row.kind
    ]
    parts = [
        (missing, "The checkpoint lacks {}."),
        (more, "The state lacks {}."),
        (other, "{}."),
    ]
    return " ".join(text.format(first_of(names)) for names, text in parts if names)
