"""One line that states an op's shapes and dtypes, and checks its arguments.

    @shapes("q_tm1[A], a_tm1:index(A)[], r_t[], discount_t:unit[], q_t[A]")
    def q_learning(q_tm1, a_tm1, r_t, discount_t, q_t): ...

Grammar of one entry: `name:kind[dims]`, further shapes after `|`, `?` behind the
name where None is allowed. Dims: a letter (the same size wherever it stands), `T+1` or
`T-1`, a number, `...` for batch dimensions that all arguments share, and `*` for any
shape, left as it is. Kinds (default `float`):

    float     floating point; Python ints are fine
    unit      float in [0, 1]            positive  float >= 0
    probs     float in [0, 1]            rising    each above the one before it
    real      any numbers or booleans, of which it makes floats
    share     real in [0, 1]             number    any numbers, as they are
    int       integers, no booleans      index(A)  int in 0 .. A - 1
    bool      booleans only              mask      any numbers; true where != 0

Arguments broadcast as NumPy's do where that cannot hide a mistake, and reach the op at
their full size: a leading `...`, time (`T`), the dimensions of vectors (`D`) and the
elements of a set (`N`) take a size of 1 for any. Actions (`A`, `B`) and atoms to
project onto (`K`) do not: one more or less of them is another problem. Nor do batches
that would make a larger one together, as `[B]` and `[B, 1]` make `[B, B]`. Time and
batches may be empty.

Floats and what becomes one get the widest of their dtypes. Only what costs no
device round trip is checked: shapes and dtypes always (they are static), values where
they come as Python or NumPy numbers. A symbolic size of `jax.export` is any size.
Arguments reach the op as JAX arrays, a mask as booleans.
"""

import functools
import inspect
import itertools
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

F = TypeVar("F", bound=Callable[..., Any])


class ContractError(AssertionError, ValueError):
    """An argument whose shape or value an op cannot work with.

    Every op raises it where the shape of an argument is not what its Args say, and
    where a Python or NumPy number is out of range; those on a device are not read back.
    One of a wrong dtype is a TypeError too.

    Example:
      >>> try:
      ...     rlax.td_learning(v_tm1=1.0, r_t=1.0, discount_t=1.5, v_t=1.0)
      ... except rlax.ContractError as error:
      ...     print(error)
      td_learning: discount_t must be in [0, 1], got 1.5.
    """

    def __init__(self, message: str):
        super().__init__(message)
        # The op stands first; the last line says where to read more.
        op = re.match(r"\w+", message)
        if op and hasattr(sys.modules.get("rlax"), op[0]):
            self.add_note(f'See help("rlax.{op[0]}").')


class DtypeContractError(ContractError, TypeError):
    """An argument whose dtype an op cannot work with."""


class Entry(NamedTuple):
    """One argument of a contract."""

    name: str
    optional: bool
    kind: str
    index_of: str | None  # the letter that an index must stay below
    alternatives: tuple[tuple[str, ...], ...]


_ENTRY = re.compile(r"(\w+)(\??)(?::(\w+)(?:\((\w+)\))?)?((?:\[[^\]]*\]\|?)+)")
_UNIT = (0.0, 1.0)
_RANGES = {"unit": _UNIT, "probs": _UNIT, "share": _UNIT, "positive": (0.0, np.inf)}
_FLOATS = ("float", "unit", "probs", "positive", "rising")
_REALS = ("real", "share")
_SLACK = 1e-5  # a softmax may round to a little above one


def parse(spec: str) -> tuple[Entry, ...]:
    """Reads a contract line."""
    entries = []
    for found in _ENTRY.finditer(spec):
        name, optional, kind, index_of, dims = found.groups()
        shapes_ = tuple(tuple(d.split()) for d in re.findall(r"\[([^\]]*)\]", dims))
        entries.append(Entry(name, bool(optional), kind or "float", index_of, shapes_))
    return tuple(entries)


def is_host(x: object) -> bool:
    """Whether the values of x can be read without waiting for a device."""
    return not isinstance(x, jax.Array)


def check_range(
    op: str, name: str, value: ArrayLike | None, low: float, high: float
) -> None:
    """Raises where a Python or NumPy value leaves [low, high]; NaN may pass."""
    if value is None or not is_host(value):
        return
    numbers = np.asarray(value)
    outside = (numbers < low - _SLACK) | (numbers > high + _SLACK)
    if outside.any():
        worst = numbers[outside].flat[0] if numbers.ndim else numbers
        limits = f"in [{low:g}, {high:g}]" if np.isfinite(high) else f"at least {low:g}"
        raise ContractError(f"{op}: {name} must be {limits}, got {worst}.")


def check(condition: bool, message: str) -> None:
    """Raises ContractError with `message` unless the static condition holds."""
    if not condition:
        raise ContractError(message)


def check_choice(op: str, name: str, value: object, choices: Iterable[str]) -> None:
    """Raises where an option is none of the choices, and names them."""
    choices = list(choices)
    if value not in choices:
        *others, last = map(repr, choices)
        raise ContractError(
            f"{op}: {name} must be {', '.join(others)} or {last}, got {value!r}."
        )


def shapes(spec: str, name: str | None = None) -> Callable[[F], F]:
    """Checks an op's arguments against a contract line; see the module.

    Errors call the op by `name`, or else by its own.
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
                    continue  # Python's own error will say so
                if value is None and entry.optional:
                    continue
                array = _as_kind(op_name, entry, value)
                if i < len(values):
                    values[i] = array
                else:
                    kwargs[entry.name] = array
                given.append((entry, value, array))
            sizes, full = _match(op_name, spec, given)
            for entry, value, _ in given:
                _check_values(op_name, entry, value, sizes)
            if full is not None or _is_mixed(given):
                for (entry, _, array), x in zip(given, _together_as(given, full)):
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
    """The argument as a JAX array of the kind that its entry asks for."""
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
    """Whether what is to be floats is of several dtypes, or is not yet."""
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


def _together_as(given: Sequence[tuple], full: Sequence[tuple] | None) -> list:
    """The arguments at their full shapes, floats in the widest of their dtypes."""
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


# Letters that may be 0, and those for whose size 1 may stand.
_MAY_BE_EMPTY = "TBDN"
_BROADCASTS = "TDN"


def _match(
    op: str, spec: str, given: Sequence[tuple]
) -> tuple[dict[str, Any], list[tuple] | None]:
    """Binds every letter to a size, or says which arguments disagree.

    Returns the sizes; and where arguments broadcast, the full shape of each, else None.
    """
    sizes: dict[str, Any] = {}
    owners: dict[str, tuple] = {}
    loose: set[str] = set()  # letters that are 1 so far, and may turn out larger
    chosen, broadcasts = [], False
    for entry, _, array in given:
        shape, problems = array.shape, []
        for dims in entry.alternatives:
            bound, problem = _bind(dims, shape, sizes, owners, loose)
            if problem is None:
                broadcasts |= bound.pop("broadcasts", False)
                for letter, size in bound.items():
                    sizes[letter] = size
                    owners[letter] = (entry.name, shape)
                    if size == 1 and letter in dims:
                        loose.add(letter)
                    elif letter in loose:
                        loose.remove(letter)
                chosen.append((dims, shape))
                break
            problems.append(problem)
        else:
            # What the caller meant is the alternative of the right rank, if any.
            problem = next((p for p in problems if "rank" not in p), problems[0])
            wanted = " or ".join(f"[{', '.join(d)}]" for d in entry.alternatives)
            # An op of one stream, given a batch.
            longest = max(len(d) + ("..." in d) * 99 for d in entry.alternatives)
            hint = f" For a batch, jax.vmap({op})." if len(shape) > longest else ""
            raise ContractError(
                f"{op}: {entry.name} has shape {list(shape)}, wanted {wanted}: "
                f"{problem}.{hint}\n  contract: {spec}"
            )
    if not broadcasts:
        return sizes, None
    if sizes.get("..."):
        _check_no_outer_batch(op, spec, given, chosen)
    return sizes, [_full_shape(dims, shape, sizes) for dims, shape in chosen]


def _full_shape(dims: tuple[str, ...], shape: tuple, sizes: dict[str, Any]) -> tuple:
    """The shape that an argument has once it is broadcast."""
    if dims == ("*",):
        return shape
    if dims == ("...",):
        return sizes["..."]
    full: list[Any] = []
    for dim in dims:
        if dim == "...":
            full += sizes["..."]
        elif dim.isdigit():
            full.append(int(dim))
        else:
            full.append(sizes[dim[0]] + int(dim[1:] or 0))
    return tuple(full)


def _check_no_outer_batch(op, spec, given, chosen):
    """Raises where [B] meets [B, 1], of which NumPy makes [B, B]."""
    batches = []
    for (entry, _, _), (dims, shape) in zip(given, chosen):
        if "..." in dims:
            after = len(dims) - dims.index("...") - 1
            batch = shape[dims.index("...") : len(shape) - after]
            batches.append((batch, f"{entry.name} {list(shape)}"))
    for (one, its_name), (other, other_name) in itertools.combinations(batches, 2):
        if broadcast_shape(one, other) is None:
            raise ContractError(
                f"{op}: the batch dimensions of {its_name} and {other_name} do not fit "
                "or would make a larger batch than either has; give both the same "
                f"number of axes.\n  contract: {spec}"
            )


def broadcast_shape(one: tuple, other: tuple) -> tuple | None:
    """The shape of both together, or None where they do not fit or hide a mistake.

    A mistake is likely where shapes of different rank agree in no axis that both have,
    and yet make a larger one: [B] and [B, 1] make [B, B].
    """
    together = _together(one, other)
    if len(one) == len(other) or together in (None, one, other):
        return together
    agree = any(x == y for x, y in zip(reversed(one), reversed(other)))
    return together if agree else None


def _together(one: tuple, other: tuple) -> tuple | None:
    """NumPy's broadcast of two batches; None where they do not fit."""
    if len(one) < len(other):
        one, other = other, one
    ahead = len(one) - len(other)
    sizes = list(one)
    for i, size in enumerate(other, ahead):
        if sizes[i] == 1:
            sizes[i] = size
        elif not (size == 1 or size == sizes[i]):
            return None
    return tuple(sizes)


def _bind(
    dims: tuple[str, ...],
    shape: tuple[int, ...],
    sizes: dict[str, Any],
    owners: dict[str, tuple],
    loose: set[str],
) -> tuple[dict[str, Any], str | None]:
    """New bindings that make `dims` fit `shape`; or what stands in the way."""
    bound: dict[str, Any] = {}
    if dims == ("*",):
        return bound, None
    rank = len(shape)
    if "..." in dims:
        before = dims.index("...")
        after = len(dims) - before - 1
        if rank < before + after:
            return {}, f"rank {rank} is below {before + after}"
        batch = shape[before : rank - after]
        known = sizes.get("...", batch)
        if known != batch:
            batch = _together(known, batch) if before == 0 else None
            if batch is None:
                given = list(shape[before : rank - after])
                known = f"{list(known)} in {_described(owners['...'])}"
                return {}, f"its batch dimensions are {given}, but {known}"
            bound["broadcasts"] = True
        bound["..."] = batch
        pairs = [*zip(dims[:before], shape), *zip(dims[before + 1 :], shape[-after:])]
        if after == 0:
            pairs = list(zip(dims[:before], shape))
    elif rank != len(dims):
        return {}, f"its rank is {rank}, not {len(dims)}"
    else:
        pairs = list(zip(dims, shape))
    for dim, size in pairs:
        if dim.isdigit():
            if size != int(dim):
                return {}, f"{size} is not {dim}"
            continue
        letter, offset = dim[0], int(dim[1:] or 0)
        value = size - offset
        known = bound.get(letter, sizes.get(letter))
        if known is not None and known != value and letter in _BROADCASTS:
            if size == 1 and offset <= 0:
                value = known
                bound["broadcasts"] = True
            elif letter in loose:
                known = value
                bound["broadcasts"] = True
        least = 0 if letter in _MAY_BE_EMPTY else 1
        if isinstance(value, int) and value < least:
            return {}, f"{letter} would be {value}, and it must be at least {least}"
        if known is not None and known != value:
            where = _described(owners.get(letter))
            return {}, f"{letter} is {value} here, but {known} in {where}"
        bound[letter] = value
    return {k: v for k, v in bound.items() if k not in sizes or sizes[k] != v}, None


def _described(owner: tuple | None) -> str:
    """Which argument bound a size, in words."""
    return "the same argument" if owner is None else f"{owner[0]} {list(owner[1])}"


def _check_values(op: str, entry: Entry, value: Any, sizes: dict[str, Any]) -> None:
    """The checks that read values: for Python and NumPy numbers alone."""
    if entry.kind in _RANGES:
        check_range(op, entry.name, value, *_RANGES[entry.kind])
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
            return  # a symbolic size: any
        indices = np.asarray(value)
        outside = (indices < 0) | (indices >= limit)
        if outside.any():
            worst = indices[outside].flat[0] if indices.ndim else indices
            raise ContractError(
                f"{op}: {entry.name} must be in 0 .. {limit - 1} "
                f"({entry.index_of} = {limit}), got {worst}."
            )
