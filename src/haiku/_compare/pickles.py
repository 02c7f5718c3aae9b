"""Loading pickles of arrays without running other code in them.

A pickle is a program: loading one calls whatever functions it names. Here it may only
name arrays, plain containers, and named tuples of libraries that store state in them.
"""

from __future__ import annotations

import importlib
import io
import pickle
from typing import Any

import numpy as np

__all__ = ["Refused", "load_pickle"]

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
# Packages whose named tuples, and whose scalar types, are harmless.
_STATE_PACKAGES = ("haiku", "rlax", "optax", "chex", "distrax", "jraph")
_SCALAR_PACKAGES = ("numpy", "ml_dtypes")


class Refused(pickle.UnpicklingError):
    """A pickle names something that is neither an array nor a container."""


def load_pickle(data: bytes, *, trust: bool = False) -> Any:
    """Loads a pickle; JAX arrays of any version become NumPy arrays.

    Args:
      data: The pickle.
      trust: Whether to call whatever it names. Default: only arrays and containers.

    Raises:
      Refused: The pickle names something else.
    """
    return _Unpickler(io.BytesIO(data), trust).load()


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, trust: bool):
        super().__init__(file, encoding="latin1")  # For NumPy arrays from Python 2.
        self._trust = trust

    def find_class(self, module_name: str, global_name: str) -> Any:
        place = (module_name, global_name)
        # JAX's private paths, which change from version to version.
        if place in _JAX_ARRAYS:
            return _array
        if self._trust or place in _CALLS or _is_harmless(*place):
            return super().find_class(*place)
        raise Refused(
            f"it names {module_name}.{global_name}, which is neither an array nor a "
            "container. Loading it runs code: add --trust only if you trust its "
            "author."
        )


def _is_harmless(module: str, name: str) -> bool:
    """Whether it is a scalar type, or a named tuple that holds state."""
    package = module.partition(".")[0]
    if "." in name or package not in (*_STATE_PACKAGES, *_SCALAR_PACKAGES):
        return False
    try:
        found = getattr(importlib.import_module(module), name, None)
    except ImportError:
        return False
    if not isinstance(found, type):
        return False
    if package in _SCALAR_PACKAGES:
        return issubclass(found, np.generic)
    return issubclass(found, tuple) and hasattr(found, "_fields")


_JAX_ARRAYS = {
    ("jax._src.array", "_reconstruct_array"),
    ("jax._src.device_array", "reconstruct_device_array"),
}


def _array(function: Any, arguments: Any, state: Any, aval_state: Any) -> np.ndarray:
    del aval_state  # It says whether the array was weakly typed.
    array = function(*arguments)
    array.__setstate__(state)
    return array
