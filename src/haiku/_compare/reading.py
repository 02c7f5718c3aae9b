"""Files and models as trees of arrays by path."""

from __future__ import annotations

import importlib
import json
import pathlib
import re
import zipfile
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from haiku._compare.pickles import loaded

__all__ = ["Unreadable", "values_at"]

_MODEL = re.compile(r"[\w.]+:[\w.]+")


class Unreadable(ValueError):
    """What was named can't be read."""


def values_at(named: str, *, trust: bool = False) -> dict[str, Any]:
    """The values of a checkpoint or model by path.

    Args:
      named: A file (`.npz`, `.safetensors`, a pickle), a folder of Orbax, or
        `package.module:function`, where the function takes nothing and returns what
        `init` returns; it is run for its shapes alone. `#part` behind it takes what is
        below that path.
      trust: Whether a pickle may run code.

    Returns:
      Values, `{"module/name": array}`.

    Raises:
      Unreadable: There is no such thing, or it can't be read.
    """
    place, _, part = named.partition("#")
    path = pathlib.Path(place)
    try:
        if path.exists():
            values = _of_file(path, trust)
        elif _MODEL.fullmatch(place):
            values = by_path(_shapes(place))
        else:
            raise Unreadable("there is no such file, and it is no `module:function`")
    except Exception as error:
        kind = "" if isinstance(error, Unreadable) else f"{type(error).__name__}: "
        raise Unreadable(f"{place} can't be read: {kind}{error}") from error
    return _below(part, values, place) if part else values


def by_path(tree: Any) -> dict[str, Any]:
    """The leaves of any tree, by the keys that lead to them, joined by slashes."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): leaf
        for path, leaf in leaves
    }


def _below(part: str, values: Mapping[str, Any], place: str) -> dict[str, Any]:
    start = part.strip("/") + "/"
    found = {p[len(start) :]: v for p, v in values.items() if p.startswith(start)}
    if not found:
        top = sorted({path.partition("/")[0] for path in values})
        raise Unreadable(
            f"{place} has nothing below {part!r}. At its top are {', '.join(top[:8])}"
            f"{', ...' if top[8:] else ''}."
        )
    return found


# ---- Files --------------------------------------------------------------------------


def _of_file(path: pathlib.Path, trust: bool) -> dict[str, Any]:
    if path.is_dir():
        return by_path(_orbax(path))
    if path.suffix == ".safetensors":
        return _safetensors(path)
    if zipfile.is_zipfile(path):
        return _npz(path)
    return by_path(loaded(path.read_bytes(), trust=trust))


def _npz(path: pathlib.Path) -> dict[str, Any]:
    with np.load(path) as arrays:
        # Some write the levels above a module with colons: `params:net/linear:w`.
        return {name.replace(":", "/"): _typed(arrays[name]) for name in arrays.files}


def _typed(array: np.ndarray) -> np.ndarray:
    """An array with its dtype, where NumPy wrote a dtype that it does not know."""
    if array.dtype.kind != "V" or array.dtype.names:
        return array
    return array.view(jnp.bfloat16 if array.dtype.itemsize == 2 else np.uint8)


def _safetensors(path: pathlib.Path) -> dict[str, Any]:
    """A length in 8 bytes, so much JSON that says where each array is, the arrays."""
    data = path.read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    about = json.loads(data[8:start])
    about.pop("__metadata__", None)
    dotted = not any("/" in name for name in about)
    out = {}
    for name, its in about.items():
        begin, end = its["data_offsets"]
        dtype = np.dtype(_SAFETENSORS_DTYPES[its["dtype"]])
        array = np.frombuffer(data[start + begin : start + end], dtype)
        path_of_it = name.replace(".", "/") if dotted else name
        out[path_of_it] = array.reshape(its["shape"])
    return out


_SAFETENSORS_DTYPES = {
    "BF16": jnp.bfloat16,
    "BOOL": np.bool_,
    "F8_E4M3": jnp.float8_e4m3fn,
    "F8_E5M2": jnp.float8_e5m2,
    "C64": np.complex64,
    **{f"F{bits}": f"float{bits}" for bits in (16, 32, 64)},
    **{f"I{bits}": f"int{bits}" for bits in (8, 16, 32, 64)},
    **{f"U{bits}": f"uint{bits}" for bits in (8, 16, 32, 64)},
}


def _orbax(path: pathlib.Path) -> Any:
    try:
        checkpoint = importlib.import_module("orbax.checkpoint")
    except ModuleNotFoundError as error:
        raise Unreadable("a folder needs `pip install orbax-checkpoint`") from error
    with checkpoint.StandardCheckpointer() as reader:
        return reader.restore(path.resolve())


# ---- Models -------------------------------------------------------------------------


def _shapes(place: str) -> Any:
    module, _, name = place.partition(":")
    found = importlib.import_module(module)
    for attribute in name.split("."):
        found = getattr(found, attribute)
    if callable(found):
        return jax.eval_shape(found)
    if any(map(callable, jax.tree.leaves(found))):
        raise Unreadable(
            "it is no tree of arrays. Name a function that takes nothing and returns "
            "what `init` returns: lambda: net.init(jax.random.key(0), example)"
        )
    return found
