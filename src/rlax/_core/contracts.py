"""One line that states an op's shapes and dtypes, and checks its arguments.

    @shapes("q_tm1[A], a_tm1:index(A)[], r_t[], discount_t:unit[], q_t[A]")
    def q_learning(q_tm1, a_tm1, r_t, discount_t, q_t): ...

Grammar of one entry: `name:kind[dims]`, further shapes after `|`, `?` behind the
name where None is allowed. Dims: a letter (the same size wherever it stands), `T+1` or
`T-1`, a number, `...` for batch dimensions that all arguments share, and `*` for any
shape, left as it is. Kinds (default `float`):

    float     floating point; Python ints are fine
    unit      float in [0, 1]            positive  float >= 0
    probs     float in [0, 1]            above     float > 0
    rising    each above the one before it
    real      any numbers or booleans, converted to floats
    share     real in [0, 1]             number    any numbers, as they are
    amount    real >= 0                  count     real >= 1
    int       integers, no booleans      index(A)  int in 0 .. A - 1
    bool      booleans only              mask      any numbers; true where != 0

Arguments reach the op as JAX arrays, broadcast to their full size (`broadcasting.py`
has the rules), and masks as booleans. Floats, and numbers converted to floats, get the
widest of their dtypes. A symbolic size of `jax.export` matches any size.
"""

import functools
import inspect
import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from rlax._core.broadcasting import match_shapes
from rlax._core.errors import (
    ContractError,
    DtypeContractError,
    check,
    check_above,
    check_range,
    is_host,
)

F = TypeVar("F", bound=Callable[..., Any])


class Entry(NamedTuple):
    """One argument of a contract."""

    name: str
    optional: bool
    kind: str
    index_of: str | None  # the letter that an index must stay below
    alternatives: tuple[tuple[str, ...], ...]


_ENTRY = re.compile(r"(\w+)(\??)(?::(\w+)(?:\((\w+)\))?)?((?:\[[^\]]*\]\|?)+)")
_UNIT = (0.0, 1.0)
_RANGES = {
    **{"unit": _UNIT, "probs": _UNIT, "share": _UNIT, "positive": (0.0, np.inf)},
    **{"amount": (0.0, np.inf), "count": (1.0, np.inf)},
}
_FLOATS = ("float", "unit", "probs", "positive", "above", "rising")
_REALS = ("real", "share", "amount", "count")


def parse(spec: str) -> tuple[Entry, ...]:
    """Reads a contract line."""
    entries = []
    for found in _ENTRY.finditer(spec):
        name, optional, kind, index_of, dims = found.groups()
        shapes_ = tuple(tuple(d.split()) for d in re.findall(r"\[([^\]]*)\]", dims))
        entries.append(Entry(name, bool(optional), kind or "float", index_of, shapes_))
    return tuple(entries)


def shapes(
    spec: str, name: str | None = None, *, empty: bool = True
) -> Callable[[F], F]:
    """Checks an op's arguments against a contract line, as the module explains.

    Errors call the op `name`; by default, its own name. With `empty=False`, sizes of 0
    are refused but in `...`.
    """
    entries = parse(spec)

    def decorate(op: F) -> F:
        op_name = name or op.__name__
        parameters = inspect.signature(op).parameters
        position = {n: i for i, n in enumerate(parameters)}
        places = [
            (entry, position[entry.name], parameters[entry.name].default)
            for entry in entries
        ]

        @functools.wraps(op)
        def checked(*args: Any, **kwargs: Any) -> Any:
            values: list[Any] = list(args)
            given = []
            for entry, i, default in places:
                if i < len(values):
                    value = values[i]
                else:
                    value = kwargs.get(entry.name, default)
                if value is inspect.Parameter.empty:
                    continue  # Python raises its own error
                if value is None and entry.optional:
                    continue
                array = _as_kind(op_name, entry, value)
                if i < len(values):
                    values[i] = array
                else:
                    kwargs[entry.name] = array
                given.append((entry, value, array))
            sizes, full = match_shapes(op_name, spec, given, empty)
            for entry, value, _ in given:
                _check_values(op_name, entry, value, sizes)
            if full is not None or _is_mixed(given):
                for (entry, _, array), x in zip(given, _at_full_size(given, full)):
                    if x is array:
                        continue
                    i = position[entry.name]
                    if i < len(values):
                        values[i] = x
                    else:
                        kwargs[entry.name] = x
            return op(*values, **kwargs)

        return checked  # type: ignore[return-value]

    return decorate


def _as_kind(op: str, entry: Entry, value: Any) -> jax.Array:
    """Converts an argument to a JAX array of the kind in its entry."""
    kind = entry.kind
    try:
        dtype = value.dtype if hasattr(value, "dtype") else np.asarray(value).dtype
        is_integer = jnp.issubdtype(dtype, jnp.integer)
        is_float = jnp.issubdtype(dtype, jnp.floating)
    except (TypeError, ValueError) as error:
        raise DtypeContractError(
            f"{op}: {entry.name} must be an array or a number, got {value!r}."
        ) from error
    if kind in _FLOATS:
        fits = is_float or (is_integer and isinstance(value, int))
        wanted, remedy = "a floating dtype", f"jnp.asarray({entry.name}, jnp.float32)"
    elif kind in ("int", "index"):
        fits = is_integer
        wanted, remedy = "an integer dtype", f"jnp.asarray({entry.name}, jnp.int32)"
    elif kind == "bool":
        fits = jnp.issubdtype(dtype, jnp.bool_)
        wanted, remedy = "booleans", f"{entry.name} != 0"
    else:
        fits = is_integer or is_float or jnp.issubdtype(dtype, jnp.bool_)
        wanted, remedy = "numbers or booleans", "an array of those"
    if not fits:
        raise DtypeContractError(
            f"{op}: {entry.name} must have {wanted}, got {dtype}; pass {remedy}."
        )
    if isinstance(value, int) and kind in _FLOATS + _REALS:
        return jnp.asarray(float(value))  # weakly typed, as a Python float is
    array = jnp.asarray(value)
    return array.astype(bool) if kind == "mask" else array


def _is_mixed(given: Sequence[tuple]) -> bool:
    """Whether the floats differ in dtype, or some are still integers."""
    found = None
    for entry, _, array in given:
        if entry.kind in _FLOATS or entry.kind in _REALS:
            dtype = array.dtype
            if found is None:
                found = dtype
                if dtype.kind in "iub":
                    return True
            elif found != dtype:
                return True
    return False


def _at_full_size(given: Sequence[tuple], full: Sequence[tuple] | None) -> list:
    """Broadcasts arguments to their full shapes, and floats to the widest dtype."""
    arrays = [array for _, _, array in given]
    if full is not None:
        arrays = [
            x if x.shape == shape else jnp.broadcast_to(x, shape)
            for x, shape in zip(arrays, full)
        ]
    places = [
        i for i, (entry, _, _) in enumerate(given) if entry.kind in _FLOATS + _REALS
    ]
    floats = [
        arrays[i] for i in places if jnp.issubdtype(arrays[i].dtype, jnp.floating)
    ]
    dtype = jnp.result_type(*floats) if floats else float
    for i in places:
        if arrays[i].dtype != dtype:
            arrays[i] = arrays[i].astype(dtype)
    return arrays


def _check_values(op: str, entry: Entry, value: Any, sizes: dict[str, Any]) -> None:
    """Checks the values of Python and NumPy arguments."""
    if entry.kind in _RANGES:
        check_range(op, entry.name, value, *_RANGES[entry.kind])
    elif entry.kind == "above":
        check_above(op, entry.name, value)
    elif entry.kind == "rising" and is_host(value):
        numbers = np.asarray(value, float)
        check(
            bool(np.all(np.diff(numbers) > 0)),
            f"{op}: {entry.name} must be strictly increasing, got {numbers}; pass "
            f"np.unique({entry.name}).",
        )
    elif entry.index_of is not None and is_host(value):
        limit = sizes[entry.index_of]
        if not isinstance(limit, int):
            return  # a symbolic size may be any
        indices = np.asarray(value)
        outside = (indices < 0) | (indices >= limit)
        if outside.any():
            worst = indices[outside].flat[0] if indices.ndim else indices
            raise ContractError(
                f"{op}: {entry.name} must be in 0 .. {limit - 1} "
                f"({entry.index_of} = {limit}), got {worst}."
            )
