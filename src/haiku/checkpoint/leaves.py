"""The leaves of a state: their names in a folder, and what stands there for each.

Orbax gets plain nested dicts of arrays: `state["optimizer"]["0"]["mu"]...`, whatever
the containers are. A typed key is stored as its numbers, a Python scalar as a NumPy
one; a `Row` of the manifest remembers what it was.
"""

import dataclasses
import functools
from collections.abc import Iterable, Mapping
from typing import Any

import jax
import jax.core
import jax.numpy as jnp
import numpy as np

from haiku.checkpoint.checkpoint_error import CheckpointError

# What tensorstore writes. Its lists lack two dtypes of JAX: those go as `uint8`.
_WIDE = ("uint2", "uint4")
_STORABLE = {
    *("bool", "int2", "int4", "int8", "int16", "int32", "int64"),
    *("uint8", "uint16", "uint32", "uint64", *_WIDE),
    *("float16", "float32", "float64", "bfloat16", "complex64", "complex128"),
    *("float4_e2m1fn", "float8_e3m4", "float8_e4m3", "float8_e4m3b11fnuz"),
    *("float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz"),
    "float8_e8m0fnu",
}
_ALONE = "value"  # The name of a state that is one array, not a tree.
_PYTHON = {"b": bool, "i": int, "u": int, "f": float, "c": complex}


@dataclasses.dataclass(frozen=True)
class Row:
    """What the manifest says of one array."""

    path: tuple[str, ...]
    shape: tuple[int, ...]  # Of the stored array: a typed key's numbers are an axis.
    dtype: str  # Of the values; tensorstore may hold them as uint8.
    key: str | None = None  # The implementation of a typed key.
    fingerprint: int = 0

    @property
    def name(self) -> str:
        """The path as messages show it."""
        return "/".join(self.path)

    @property
    def kind(self) -> str:
        """Shape and dtype as messages show them."""
        if self.key is not None:
            return f"keys of {self.key}{list(self.shape[:-1])}"
        return f"{self.dtype}{list(self.shape)}"

    @property
    def is_stored(self) -> bool:
        """Whether the folder has an array for it: Orbax takes none without elements."""
        return 0 not in self.shape

    @property
    def stored_dtype(self) -> str:
        """The dtype of the array in the folder."""
        return "uint8" if self.dtype in _WIDE else self.dtype

    def as_json(self) -> dict[str, Any]:
        """The row as plain values."""
        return {
            **dataclasses.asdict(self),
            "path": [*self.path],
            "shape": [*self.shape],
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Row":
        """The row that `as_json` wrote."""
        row = cls(**values)
        path, shape = tuple(map(str, row.path)), tuple(map(int, row.shape))
        return dataclasses.replace(row, path=path, shape=shape)


def named_leaves(state: Any) -> dict[tuple[str, ...], Any]:
    """The leaves of a state by path. Each part of a path is a text."""
    leaves, shown = {}, {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(state):
        parts = tuple(map(_part, path)) or (_ALONE,)
        # Orbax joins the parts with dots, so "a.b" and "a", "b" would be one file.
        other = shown.setdefault(".".join(parts), parts)
        if parts in leaves or other != parts:
            raise CheckpointError(
                f"Two arrays of the state would have one name in the folder: "
                f"{'/'.join(parts)} and {'/'.join(other)}. Rename one of them."
            )
        leaves[parts] = leaf
    if not leaves:
        raise CheckpointError(
            "The state holds no arrays: give a tree such as "
            '`{"params": params, "optimizer": opt_state, "key": key}`.'
        )
    return leaves


def nested(leaves: Mapping[tuple[str, ...], Any]) -> dict[str, Any]:
    """Plain dicts of dicts, as they stand in the folder."""
    tree: dict[str, Any] = {}
    for path, leaf in leaves.items():
        inside = tree
        for part in path[:-1]:
            inside = inside.setdefault(part, {})
        inside[path[-1]] = leaf
    return tree


def unnested(tree: Mapping[str, Any], paths: Iterable[tuple[str, ...]]):
    """The leaves at these paths of nested dicts."""
    leaves = {}
    for path in paths:
        inside: Any = tree
        for part in path:
            inside = inside[part]
        leaves[path] = inside
    return leaves


def stored(path: tuple[str, ...], leaf: Any) -> tuple[Row, jax.Array | np.ndarray]:
    """A leaf's row, without its fingerprint, and its values as an array."""
    name = "/".join(path)
    if isinstance(leaf, jax.core.Tracer):
        raise CheckpointError(
            f"{name} is a traced value: call `save` between compiled steps, not inside."
        )
    key = None
    if isinstance(leaf, jax.Array):
        if leaf.is_deleted():
            raise CheckpointError(
                f"{name} was donated to a step that came after: call `save` with what "
                "the last step returned."
            )
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            key, leaf = str(jax.random.key_impl(leaf)), jax.random.key_data(leaf)
        if jax.process_count() > 1 and leaf.is_fully_addressable:
            leaf = np.asarray(leaf)  # Each process has its own; they must be equal.
    else:
        leaf = _host_array(name, leaf)
    row = Row(path, tuple(leaf.shape), leaf.dtype.name, key)
    if row.dtype not in _STORABLE:
        raise CheckpointError(
            f"{name} has dtype {row.dtype}, which can't be stored: give numbers, "
            "or leave it out of the state."
        )
    return row, leaf


def wide(row: Row, value: Any) -> Any:
    """The values as the folder holds them."""
    return value.astype(row.stored_dtype) if row.dtype in _WIDE else value


def wanted_row(path: tuple[str, ...], leaf: Any) -> Row:
    """The row that a leaf of the state to restore into asks for."""
    if isinstance(leaf, (jax.Array, jax.ShapeDtypeStruct)):
        shape, dtype = tuple(leaf.shape), leaf.dtype
        if jnp.issubdtype(dtype, jax.dtypes.prng_key):
            data = jax.eval_shape(jax.random.key_data, struct_of(leaf))
            return Row(path, tuple(data.shape), data.dtype.name, _implementation(dtype))
        return Row(path, shape, dtype.name)
    array = _host_array("/".join(path), leaf)
    return Row(path, array.shape, array.dtype.name)


@functools.cache
def _implementation(dtype: Any) -> str:
    """The name of the implementation of keys of a dtype."""
    for name in ("threefry2x32", "rbg", "unsafe_rbg"):
        if (
            jax.eval_shape(functools.partial(jax.random.key, impl=name), 0).dtype
            == dtype
        ):
            return name
    return str(dtype)


def struct_of(leaf: Any) -> jax.ShapeDtypeStruct:
    """Shape and dtype alone: a donated array still has both."""
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype)


def sharding_of(leaf: Any) -> Any:
    """Where each device's part is to be read; None for the host's memory.

    An array that JAX may still move (`committed` is false) goes through the host, since
    one that is read onto its device could not be used beside arrays of a mesh.
    """
    if isinstance(leaf, jax.Array):
        whole = leaf.sharding.is_fully_addressable
        if not leaf.committed or (whole and jax.process_count() > 1):
            return None
        return leaf.sharding
    return getattr(leaf, "sharding", None)


def restored(leaf: Any, row: Row, value: Any) -> Any:
    """A value as `leaf` is: its kind, its place, its dtype."""
    if not isinstance(leaf, (jax.Array, jax.ShapeDtypeStruct)):
        if isinstance(leaf, np.ndarray):
            return np.asarray(value).astype(leaf.dtype, copy=False)
        value = np.asarray(value).astype(row.dtype, copy=False)
        return value[()] if isinstance(leaf, np.generic) else type(leaf)(value.item())
    if not isinstance(value, jax.Array):
        value = np.asarray(value).astype(row.dtype, copy=False)
        value = _placed(leaf, value)
    if value.dtype.name != row.dtype:
        value = value.astype(row.dtype)
    if row.key is not None:
        return jax.random.wrap_key_data(value, impl=row.key)
    if getattr(leaf, "weak_type", False):
        return _weak(value)
    return value


def _weak(value: jax.Array) -> jax.Array:
    """The value with a dtype that gives way to others, as Python's numbers have."""
    python = _PYTHON[value.dtype.kind]
    zeros = jnp.broadcast_to(jnp.asarray(python(0)), value.shape)
    if value.committed:
        zeros = jax.device_put(zeros, value.sharding)
    return zeros.at[...].set(value)


def _placed(leaf: Any, value: np.ndarray) -> jax.Array:
    """A host's array, where the leaf's lives."""
    sharding = getattr(leaf, "sharding", None)
    if sharding is None or (isinstance(leaf, jax.Array) and not leaf.committed):
        return jnp.asarray(value)
    if sharding.is_fully_addressable:
        return jax.device_put(value, sharding)
    return jax.make_array_from_callback(value.shape, sharding, lambda part: value[part])


def _part(key: Any) -> str:
    """One part of a path as a text."""
    for name in ("key", "name", "idx"):
        if hasattr(key, name):
            return str(getattr(key, name))
    return str(key)


def _host_array(name: str, leaf: Any) -> np.ndarray:
    """A NumPy array of a leaf that isn't JAX's."""
    if isinstance(leaf, (np.ndarray, np.generic, bool, int, float, complex)):
        array = np.array(leaf)  # A copy: it is written while the program goes on.
        array = array.astype(array.dtype.newbyteorder("="), copy=False)
        if array.dtype.name in _STORABLE:
            return array
        what = (
            f"an integer beyond 64 bits, {leaf}" if type(leaf) is int else array.dtype
        )
    else:
        what = f"a {type(leaf).__name__}"
    raise CheckpointError(
        f"{name} is {what}: a state holds arrays, typed keys and numbers. Leave it "
        "out, and build it anew when the program starts."
    )
