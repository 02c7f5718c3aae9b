"""Reading checkpoint files and models as arrays by path."""

from __future__ import annotations

import importlib
import pathlib
import re
import zipfile
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from haiku import pretrained
from haiku._compare.pickles import load_pickle

__all__ = ["Unreadable", "read_values"]

_MODEL = re.compile(r"[\w.]+:[\w.]+")


class Unreadable(ValueError):
    """A checkpoint or model can't be read."""


def read_values(source: str, *, trust: bool = False) -> dict[str, Any]:
    """Reads the values of a checkpoint or model, by path.

    Args:
      source: A file (`.npz`, `.safetensors`, a pickle), an Orbax folder, or
        `package.module:function`, a function without arguments that returns the result
        of `init` and is only traced for its shapes. An appended `#part` selects the
        values below that path.
      trust: Whether a pickle may run code.

    Returns:
      Values, `{"module/name": array}`.

    Raises:
      Unreadable: The source doesn't exist or can't be read.
    """
    place, _, part = source.partition("#")
    path = pathlib.Path(place)
    try:
        if path.exists():
            values = _read_path(path, trust)
        elif _MODEL.fullmatch(place):
            values = by_path(_trace_model(place))
        else:
            raise Unreadable("it is neither an existing file nor a `module:function`")
    except Exception as error:
        kind = "" if isinstance(error, Unreadable) else f"{type(error).__name__}: "
        raise Unreadable(f"{place} can't be read: {kind}{error}") from error
    return _select_below(part, values, place) if part else values


def by_path(tree: Any) -> dict[str, Any]:
    """The leaves of any tree by path: their keys joined with slashes."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): leaf
        for path, leaf in leaves
    }


def _select_below(part: str, values: Mapping[str, Any], place: str) -> dict[str, Any]:
    start = part.strip("/") + "/"
    found = {p[len(start) :]: v for p, v in values.items() if p.startswith(start)}
    if not found:
        top = sorted({path.partition("/")[0] for path in values})
        raise Unreadable(
            f"{place} has nothing below {part!r}. Its top level is "
            f"{', '.join(top[:8])}{', ...' if top[8:] else ''}."
        )
    return found


# ---- Files --------------------------------------------------------------------------


def _read_path(path: pathlib.Path, trust: bool) -> dict[str, Any]:
    if path.is_dir():
        return by_path(_read_orbax(path))
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    if zipfile.is_zipfile(path):
        return _read_npz(path)
    return by_path(load_pickle(path.read_bytes(), trust=trust))


def _read_npz(path: pathlib.Path) -> dict[str, Any]:
    with np.load(path) as arrays:
        # Some programs separate levels with colons: `params:net/linear:w`.
        names = arrays.files
        return {name.replace(":", "/"): _fix_dtype(arrays[name]) for name in names}


def _fix_dtype(array: np.ndarray) -> np.ndarray:
    """Restores a dtype that NumPy doesn't know and saved as raw bytes."""
    if array.dtype.kind != "V" or array.dtype.names:
        return array
    return array.view(jnp.bfloat16 if array.dtype.itemsize == 2 else np.uint8)


def _read_safetensors(path: pathlib.Path) -> dict[str, Any]:
    found = pretrained.read(path)
    dotted = not any("/" in name for name in found)
    return {x.replace(".", "/") if dotted else x: found[x] for x in found}


def _read_orbax(path: pathlib.Path) -> Any:
    try:
        checkpoint = importlib.import_module("orbax.checkpoint")
    except ModuleNotFoundError as error:
        raise Unreadable(
            "reading a folder needs `pip install orbax-checkpoint`"
        ) from error
    with checkpoint.StandardCheckpointer() as reader:
        return reader.restore(path.resolve())


# ---- Models -------------------------------------------------------------------------


def _trace_model(place: str) -> Any:
    """The shapes that a function returns, or the tree that a name stands for."""
    module, _, name = place.partition(":")
    value = importlib.import_module(module)
    for attribute in name.split("."):
        value = getattr(value, attribute)
    if callable(value):
        return jax.eval_shape(value)
    if any(map(callable, jax.tree.leaves(value))):
        raise Unreadable(
            "it isn't a tree of arrays. Name a function without arguments that returns "
            "the result of `init`: lambda: net.init(jax.random.key(0), example)"
        )
    return value
