"""Short text for dtypes, arrays and amounts, in tables and errors."""

from __future__ import annotations

import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

_LETTERS = {"bfloat": "bf", "float": "f", "uint": "u", "int": "s", "complex": "c"}


def dtype_text(dtype: Any) -> str:
    """Shortens a dtype's name: `f32`, `bf16`, `s8`, `u32`, `c64`, `pred`."""
    if jnp.issubdtype(dtype, jax.dtypes.extended):
        return str(dtype)
    name = np.dtype(dtype).name
    if name == "bool":
        return "pred"
    match = re.fullmatch(r"([a-z]+)(\d+\w*)", name)
    if match is None or match[1] not in _LETTERS:
        return name
    return _LETTERS[match[1]] + match[2]


def array_text(array: Any) -> str:
    """Writes an array's dtype and shape: `f32[2,3]`."""
    return dtype_text(array.dtype) + f"[{','.join(str(d) for d in array.shape)}]"


def titled(name: str, kind: str | None) -> str:
    """Writes a name and the kind of thing it names: `net (MLP)`."""
    return f"{name} ({kind})" if kind else name


def count_text(count: int, unit: str = "") -> str:
    """Writes a number with a decimal prefix: `1.234 kflops`, `1.234 k`, `12`."""
    number, prefixes = float(count), ["", "k", "M", "G", "T", "P"]
    while number > 1000 and len(prefixes) > 1:
        number /= 1000
        del prefixes[0]
    return f"{number:.4g} {prefixes[0]}{unit}".rstrip()


def bytes_text(count: float) -> str:
    """Writes a number of bytes with its decimal unit: `1.23 KB`."""
    units = ["B", "KB", "MB", "GB", "TB"]
    while count >= 1000 and len(units) > 1:
        count /= 1000
        del units[0]
    return f"{count:.2f} {units[0]}"


def seconds_text(seconds: float) -> str:
    """Writes a time: `1.23 ms`."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-9:.3g} ns"
