"""Reading and writing one .safetensors file."""

from __future__ import annotations

import mmap
import os
import pathlib
from collections.abc import Mapping
from typing import Any, BinaryIO

import jax
import numpy as np
from jax.core import Tracer

from haiku.pretrained.atomic import replacing_file
from haiku.pretrained.deferred import Deferred
from haiku.pretrained.json_files import check_is_file, shown
from haiku.pretrained.safetensors_header import Entry, header_of, read_header

__all__ = ["as_array", "read", "write", "write_to"]

_AT_ONCE = 2**26  # bytes that are brought into the file's order together


def read(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Reads a .safetensors file without loading it.

    The arrays are views of the mapped file: their bytes are read from disk when used,
    and take no memory of the process. The header is checked whole before that, and
    nothing of the file is ever run.

    Args:
      path: The file. Don't change it while its arrays are in use; `write` replaces a
        file and leaves the arrays of the old one as they are.

    Returns:
      Read-only arrays by name, sorted: all integers, bool, float16 to float64,
      bfloat16, the kinds of float8 and complex64. All are inputs of JAX;
      `jax.device_put` on a CPU takes those that begin at a multiple of 64 bytes
      without a copy.

    Raises:
      FileNotFoundError: The file doesn't exist.
      ValueError: The file is cut, its header isn't JSON or has a name twice, a dtype is
        unknown, or tensors overlap, leave holes or lie outside of the file. The message
        names file and tensor.

    Source: The safetensors format, version 0.8.

    Example:
      >>> import pathlib, tempfile
      >>> path = pathlib.Path(tempfile.mkdtemp(), "net.safetensors")
      >>> hk.pretrained.write(path, {"linear.w": jnp.ones([2, 3], jnp.bfloat16)})
      >>> {name: x.shape for name, x in hk.pretrained.read(path).items()}
      {'linear.w': (2, 3)}
    """
    path = pathlib.Path(path)
    check_is_file(path)
    with open(path, "rb") as file:
        entries, start = read_header(file)
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    data = np.frombuffer(mapped, np.uint8)[start:]
    return {entry.name: _view(data, entry, path) for entry in entries}


def _view(data: np.ndarray, entry: Entry, path: pathlib.Path) -> np.ndarray:
    found = data[entry.begin : entry.end]
    if entry.dtype == np.bool_ and found.size and found.max() > 1:
        raise ValueError(
            f"{path}, tensor {shown(entry.name)}: a byte of a BOOL must be 0 or 1, and "
            f"one is {found.max()}."
        )
    return found.view(entry.dtype).reshape(entry.shape)


def write(
    path: str | os.PathLike[str],
    tensors: Mapping[str, Any],
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Writes a .safetensors file.

    The same tensors give the same bytes each time. The file is written aside and moved
    into place: a process that is killed leaves the old file or the new one, and at most
    an unfinished file `.saving-...` beside it.

    Args:
      path: The file; one that exists is replaced.
      tensors: JAX or NumPy arrays of any shape and byte order, and numbers, by name. A
        number has NumPy's dtype, for instance float64.
      metadata: Texts by name. Hugging Face's libraries want `{"format": "pt"}`.

    Raises:
      TypeError: A value isn't an array or a number, the format lacks its dtype, or a
        name or text isn't a string.
      FileNotFoundError: The folder of the file is missing.
      ValueError: A name is `__metadata__` or isn't valid Unicode, or a value was
        deleted or lies on other processes.

    Source: The safetensors format, version 0.8.

    Example:
      >>> import pathlib, tempfile
      >>> path = pathlib.Path(tempfile.mkdtemp(), "net.safetensors")
      >>> hk.pretrained.write(path, {"w": np.eye(2), "steps": np.int32(7)})
      >>> float(hk.pretrained.read(path)["steps"])
      7.0
    """
    if not isinstance(tensors, Mapping):
        raise TypeError(
            "hk.pretrained.write takes {name: array}, and got "
            f"{type(tensors).__name__}."
        )
    with replacing_file(pathlib.Path(path)) as file:
        write_to(file, tensors, metadata)


def write_to(
    file: BinaryIO, tensors: Mapping[str, Any], metadata: Mapping[str, str] | None
) -> None:
    """Writes what `write` does into an open file, and reads each array in its turn."""
    arrays = {name: as_array(name, value) for name, value in tensors.items()}
    names, header = header_of(arrays, metadata)
    file.write(header)
    for name in names:
        _write_array(file, name, arrays[name])


def as_array(name: Any, value: Any) -> np.ndarray | jax.Array | Deferred:
    """An array of any kind as it is, a number as an array."""
    if isinstance(value, bool | int | float | complex | np.generic):
        value = np.asarray(value)
    if isinstance(value, Tracer):
        raise TypeError(
            f"hk.pretrained.write: tensor {shown(name)} is traced. Return it from the "
            "jitted function, and write it outside."
        )
    if not isinstance(value, np.ndarray | jax.Array | Deferred):
        raise TypeError(
            f"hk.pretrained.write: tensor {shown(name)} must be an array or a number, "
            f"and is {shown(value)}. Convert it with np.asarray."
        )
    return value


def _write_array(
    file: BinaryIO, name: str, value: np.ndarray | jax.Array | Deferred
) -> None:
    """Writes an array's bytes; some rows at once, if it isn't in the file's order."""
    try:
        array = value.read() if isinstance(value, Deferred) else np.asarray(value)
    except RuntimeError as error:  # Deleted, or spread over processes.
        raise ValueError(
            f"hk.pretrained.write: tensor {shown(name)} can't be read: {error}"
        ) from error
    dtype, array = array.dtype.newbyteorder("<"), np.atleast_1d(array)
    rows = max(1, len(array))
    if not (array.flags.c_contiguous and array.dtype == dtype):
        rows = max(1, rows * _AT_ONCE // max(1, array.nbytes))
    for start in range(0, len(array), rows):
        part = array[start : start + rows].astype(dtype, copy=False)
        file.write(np.ascontiguousarray(part).reshape(-1).view(np.uint8).data)
