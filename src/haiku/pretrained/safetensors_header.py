"""The header of a .safetensors file: where each tensor lies, checked beforehand.

The file is the header's length in 8 bytes, the header, and the tensors' bytes without
a gap. The header is a JSON object, `{name: {dtype, shape, data_offsets}}`, whose entry
`__metadata__` holds texts by name.
"""

from __future__ import annotations

import itertools
import json
import math
import os
from collections.abc import Mapping
from typing import Any, BinaryIO, NamedTuple

import jax.numpy as jnp
import numpy as np

from haiku.pretrained.json_files import MOST_BYTES, parse_object, shown

__all__ = ["DTYPES", "Entry", "header_of", "read_header"]

DTYPES = {
    code: np.dtype(dtype)
    for code, dtype in {
        "BOOL": np.bool_,
        "BF16": jnp.bfloat16,
        "C64": np.complex64,
        "F8_E4M3": jnp.float8_e4m3fn,
        "F8_E4M3FNUZ": jnp.float8_e4m3fnuz,
        "F8_E5M2": jnp.float8_e5m2,
        "F8_E5M2FNUZ": jnp.float8_e5m2fnuz,
        "F8_E8M0": jnp.float8_e8m0fnu,
        **{f"F{bits}": f"float{bits}" for bits in (16, 32, 64)},
        **{f"I{bits}": f"int{bits}" for bits in (8, 16, 32, 64)},
        **{f"U{bits}": f"uint{bits}" for bits in (8, 16, 32, 64)},
    }.items()
}
_CODES = {dtype: code for code, dtype in DTYPES.items()}
_METADATA = "__metadata__"
_MOST_AXES = 32  # NumPy 1 has no more.
_LINE = 64  # bytes; JAX on CPU takes an array that begins at a multiple as it lies.


class Entry(NamedTuple):
    """Where one tensor lies: `begin` and `end` count from the header's end."""

    name: str
    dtype: np.dtype
    shape: tuple[int, ...]
    begin: int
    end: int


# ---- Reading -------------------------------------------------------------------------


def read_header(file: BinaryIO) -> tuple[list[Entry], int]:
    """Reads and checks the header.

    Args:
      file: The file, at its beginning.

    Returns:
      The tensors by name, and where the header ends, in bytes.

    Raises:
      ValueError: The header or one of its entries disagrees with the file.
    """
    path, size = file.name, os.fstat(file.fileno()).st_size
    length = int.from_bytes(file.read(8), "little")
    if size < 8:
        raise ValueError(
            f"{path} is cut: it has {size} bytes, and a .safetensors file begins with "
            "8 bytes for its header's length."
        )
    if length > MOST_BYTES:
        raise ValueError(
            f"{path} isn't a .safetensors file, or is damaged: its header would have "
            f"{length} bytes, and at most {MOST_BYTES} are allowed."
        )
    if length > size - 8:
        raise ValueError(
            f"{path} is cut: its header should have {length} bytes, and {size - 8} "
            "follow the length."
        )
    content = file.read(length)
    if not content.startswith(b"{"):
        raise ValueError(
            f"{path} isn't a .safetensors file, or is damaged: its header must begin "
            f"with '{{', and begins with {shown(content[:16])}."
        )
    header = parse_object(content, f"The header of {path}")
    _check_metadata(header.pop(_METADATA, None), path)
    entries = [_entry(name, value, path) for name, value in sorted(header.items())]
    _check_cover(entries, size - 8 - length, path)
    return entries, 8 + length


def _check_metadata(metadata: Any, path: str) -> None:
    if metadata is None:
        return
    if not isinstance(metadata, dict) or not all(
        isinstance(value, str) for value in metadata.values()
    ):
        raise ValueError(
            f"{path}: {_METADATA} in the header must be an object of texts, and is "
            f"{shown(metadata)}."
        )


def _entry(name: str, value: Any, path: str) -> Entry:
    where = f"{path}, tensor {shown(name)}"
    if not _is_unicode(name):
        raise ValueError(f"{where}: the name isn't valid Unicode.")
    if not isinstance(value, dict):
        raise ValueError(
            f"{where}: wanted an object with dtype, shape and data_offsets, got "
            f"{shown(value)}."
        )
    for key in ("dtype", "shape", "data_offsets"):
        if key not in value:
            raise ValueError(f"{where}: {key} is missing. It has {shown([*value])}.")
    code, shape, offsets = value["dtype"], value["shape"], value["data_offsets"]
    if not isinstance(code, str) or code not in DTYPES:
        raise ValueError(
            f"{where}: dtype {shown(code)} is unknown. Wanted one of "
            f"{', '.join(DTYPES)}."
        )
    if not _is_counts(shape) or len(shape) > _MOST_AXES:
        raise ValueError(
            f"{where}: shape must be a list of at most {_MOST_AXES} integers of 0 or "
            f"more, and is {shown(shape)}."
        )
    if not _is_counts(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise ValueError(
            f"{where}: data_offsets must be two integers of 0 or more, begin and end, "
            f"and are {shown(offsets)}."
        )
    dtype, (begin, end) = DTYPES[code], offsets
    wanted = math.prod(shape) * dtype.itemsize
    if wanted != end - begin:
        raise ValueError(
            f"{where}: shape {shown(shape)} of {code} takes {shown(wanted)} bytes, and "
            f"data_offsets {shown(offsets)} give it {shown(end - begin)}."
        )
    # An empty array may have other axes of any size: NumPy multiplies these too.
    if math.prod(n for n in shape if n) * dtype.itemsize >= 2**63:
        raise ValueError(f"{where}: shape {shown(shape)} is too large for an array.")
    return Entry(name, dtype, tuple(shape), begin, end)


def _is_counts(value: Any) -> bool:
    return isinstance(value, list) and all(type(n) is int and n >= 0 for n in value)


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _check_cover(entries: list[Entry], size: int, path: str) -> None:
    """Tensors must fill the rest of the file, one after the other."""
    in_order = sorted(entries, key=lambda entry: (entry.begin, entry.end))
    end, before = 0, "the header"
    for entry in in_order:
        if entry.end > size:
            raise ValueError(
                f"{path}, tensor {shown(entry.name)}: it ends at byte "
                f"{shown(entry.end)}, and the file has {size} bytes after its header: "
                "it is cut, or the header is wrong."
            )
        if entry.begin != end:
            how = "overlaps with" if entry.begin < end else "leaves a hole after"
            raise ValueError(
                f"{path}, tensor {shown(entry.name)}: it {how} {before}: it begins at "
                f"byte {entry.begin}, wanted {end}."
            )
        end, before = entry.end, f"tensor {shown(entry.name)}"
    if end != size:
        raise ValueError(
            f"{path} has {size - end} bytes that belong to no tensor, after {before}."
        )


# ---- Writing -------------------------------------------------------------------------


def header_of(
    arrays: Mapping[str, Any], metadata: Mapping[str, str] | None
) -> tuple[list[str], bytes]:
    """Decides where each tensor goes.

    Args:
      arrays: Anything with a shape and dtype, by name.
      metadata: Texts by name.

    Returns:
      The names in the order of their bytes, and the beginning of the file up to these.

    Raises:
      TypeError: A name or text isn't a string, or the format lacks a dtype.
      ValueError: A name isn't valid Unicode or is reserved, or there are too many.
    """
    for name in arrays:
        _check_name(name)
    codes = {name: _code_of(name, array.dtype) for name, array in arrays.items()}
    sizes = {
        name: math.prod(array.shape) * array.dtype.itemsize
        for name, array in arrays.items()
    }

    def place(name: str) -> tuple[bool, int, str]:
        return sizes[name] % _LINE != 0, -arrays[name].dtype.itemsize, name

    # Whole lines first, then wide items before narrow ones: all tensors are aligned.
    names = sorted(arrays, key=place)
    ends = list(itertools.accumulate((sizes[name] for name in names), initial=0))
    header: dict[str, Any] = {}
    if metadata is not None:
        header[_METADATA] = _checked_metadata(metadata)
    for name, begin, end in zip(names, ends, ends[1:]):
        header[name] = {
            "dtype": codes[name],
            "shape": list(arrays[name].shape),
            "data_offsets": [begin, end],
        }
    content = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    content += b" " * (-(8 + len(content)) % _LINE)
    if len(content) > MOST_BYTES:
        raise ValueError(
            f"hk.pretrained.write: the names of {len(names)} tensors take "
            f"{len(content)} bytes, and the format allows {MOST_BYTES}."
        )
    return names, len(content).to_bytes(8, "little") + content


def _check_name(name: Any) -> None:
    if not isinstance(name, str):
        raise TypeError(
            f"hk.pretrained.write: names of tensors must be texts, and one is "
            f"{shown(name)}."
        )
    if name == _METADATA:
        raise ValueError(
            f"hk.pretrained.write: no tensor can have the name {name!r}, which the "
            "format needs. Pass texts as `metadata`."
        )
    if not _is_unicode(name):
        raise ValueError(
            f"hk.pretrained.write: the name {shown(name)} isn't valid Unicode."
        )


def _code_of(name: str, dtype: Any) -> str:
    if not isinstance(dtype, np.dtype):
        raise TypeError(
            f"hk.pretrained.write: tensor {shown(name)} has dtype {dtype}. Write "
            "random keys as `jax.random.key_data(key)`."
        )
    code = _CODES.get(dtype.newbyteorder("="))
    if code is None:
        raise TypeError(
            f"hk.pretrained.write: tensor {shown(name)} has dtype {dtype}, which "
            "the format lacks. Convert it to one of "
            f"{', '.join(known.name for known in _CODES)}."
        )
    return code


def _checked_metadata(metadata: Any) -> dict[str, str]:
    if not isinstance(metadata, Mapping):
        raise TypeError(
            "hk.pretrained.write: metadata must be a dict of texts, and is "
            f"{shown(metadata)}."
        )
    for pair in metadata.items():
        if not all(isinstance(text, str) for text in pair):
            raise TypeError(
                f"hk.pretrained.write: metadata must be texts: {shown(pair[0])} is "
                f"{shown(pair[1])}."
            )
        if not all(map(_is_unicode, pair)):
            raise ValueError(
                f"hk.pretrained.write: metadata {shown(pair)} isn't valid Unicode."
            )
    return dict(sorted(metadata.items()))
