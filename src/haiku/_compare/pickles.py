"""Pickles of arrays, read without running what else a pickle may name.

A pickle is a program: loading one calls whatever functions it names. Here it may name
arrays, plain containers and named tuples of libraries that keep states in them, and
nothing else.
"""

from __future__ import annotations

import importlib
import io
import pickle
from typing import Any

import numpy as np

__all__ = ["Refused", "loaded"]

_CALLS = {
    ("_codecs", "encode"),
    ("collections", "OrderedDict"),
    ("haiku._flat_map", "restored"),
    ("haiku._src.data_structures", "FlatMap"),
    ("haiku._src.data_structures", "FlatMapping"),
    ("jax", "ShapeDtypeStruct"),
    ("numpy", "dtype"),
    ("numpy", "ndarray"),
    ("rlax._src.moving_averages", "EmaState"),
}
_CALLS |= {
    (f"numpy.{core}.{file}", name)
    for core in ("core", "_core")  # NumPy 1 and 2.
    for file, name in (
        ("multiarray", "_reconstruct"),
        ("multiarray", "scalar"),
        ("numeric", "_frombuffer"),
    )
}
_CALLS |= {
    (builtins, name)
    for builtins in ("builtins", "__builtin__")  # Python 3 and 2.
    for name in ("bytearray", "complex", "frozenset", "set", "slice")
}
# Where named tuples may come from, and NumPy's types of numbers.
_STATES = ("haiku", "rlax", "optax", "chex", "distrax", "jraph")
_NUMBERS = ("numpy", "ml_dtypes")


class Refused(pickle.UnpicklingError):
    """A pickle names something that is neither an array nor a container."""


def loaded(data: bytes, *, trust: bool = False) -> Any:
    """What a pickle holds; arrays of JAX, of any version, are NumPy's.

    Args:
      data: The pickle.
      trust: Whether to call whatever it names. Default: arrays and containers only.

    Raises:
      Refused: It names something else.
    """
    return _Unpickler(io.BytesIO(data), trust).load()


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, trust: bool):
        super().__init__(file, encoding="latin1")  # As NumPy's arrays of Python 2 are.
        self._trust = trust

    def find_class(self, module_name: str, global_name: str) -> Any:
        place = (module_name, global_name)
        # Named by private paths that are no longer there, or may go.
        if place in _JAX_ARRAYS:
            return _array
        if self._trust or place in _CALLS or _is_harmless(*place):
            return super().find_class(*place)
        raise Refused(
            f"it names {module_name}.{global_name}, which is no array and no "
            "container. Loading it runs code: with --trust, only if you trust whoever "
            "wrote it."
        )


def _is_harmless(module: str, name: str) -> bool:
    """Whether it is a type of numbers, or a named tuple of a library of states."""
    package = module.partition(".")[0]
    if "." in name or package not in (*_STATES, *_NUMBERS):
        return False
    try:
        found = getattr(importlib.import_module(module), name, None)
    except ImportError:
        return False
    if not isinstance(found, type):
        return False
    if package in _NUMBERS:
        return issubclass(found, np.generic)
    return issubclass(found, tuple) and hasattr(found, "_fields")


_JAX_ARRAYS = {
    ("jax._src.array", "_reconstruct_array"),
    ("jax._src.device_array", "reconstruct_device_array"),
}


def _array(function: Any, arguments: Any, state: Any, about: Any) -> np.ndarray:
    del about  # Whether it was weakly typed.
    array = function(*arguments)
    array.__setstate__(state)
    return array
