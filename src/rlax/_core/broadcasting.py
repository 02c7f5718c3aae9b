"""How shapes bind the letters of a contract, and which of them broadcast.

Arguments broadcast as NumPy's do where that cannot hide a mistake: a leading `...`,
time (`T`), the dimensions of vectors (`D`) and the elements of a set (`N`) take a size
of 1 for any other. Actions (`A`, `B`) and the atoms to project onto (`K`) don't: one
action more or less is a different problem. Batches don't either if together they would
make a larger one, as `[B]` and `[B, 1]` make `[B, B]`. Time and batches may be empty,
unless the op's contract is one of `empty=False`.
"""

import itertools
from collections.abc import Sequence
from typing import Any

from rlax._core.errors import ContractError

# Letters whose size may be 0, and letters that take a size of 1 for any other.
_MAY_BE_EMPTY = "TBDN"
_BROADCASTS = "TDN"


def match_shapes(
    op: str, spec: str, given: Sequence[tuple], empty: bool = True
) -> tuple[dict[str, Any], list[tuple] | None]:
    """Binds every letter to a size, or raises where arguments disagree.

    With `empty=False` no letter may have a size of 0.

    Returns the sizes, and the full shape of each argument if any broadcasts, else None.
    """
    sizes: dict[str, Any] = {}
    owners: dict[str, tuple] = {}
    loose: set[str] = set()  # letters that are 1 so far, and may become larger
    chosen, broadcasts = [], False
    for entry, _, array in given:
        shape, problems = array.shape, []
        for dims in entry.alternatives:
            bound, problem = _bind(
                dims, shape, sizes, owners, loose, _MAY_BE_EMPTY if empty else ""
            )
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
            # The caller probably meant the alternative of the right rank.
            problem = next((p for p in problems if "rank" not in p), problems[0])
            wanted = " or ".join(f"[{', '.join(d)}]" for d in entry.alternatives)
            # The op takes one stream, and got a batch.
            longest = max(len(d) + ("..." in d) * 99 for d in entry.alternatives)
            hint = f" Use jax.vmap({op}) for a batch." if len(shape) > longest else ""
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
    """Raises where [B] meets [B, 1], which NumPy would broadcast to [B, B]."""
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
    """The shape that two shapes broadcast to; None if they don't, or by mistake.

    A mistake is likely if shapes of different rank agree in no common axis and yet make
    a larger one: [B] and [B, 1] make [B, B].
    """
    together = _together(one, other)
    if len(one) == len(other) or together in (None, one, other):
        return together
    agree = any(x == y for x, y in zip(reversed(one), reversed(other)))
    return together if agree else None


def _together(one: tuple, other: tuple) -> tuple | None:
    """NumPy's broadcast of two batches; None if they don't fit."""
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
    may_be_empty: str,
) -> tuple[dict[str, Any], str | None]:
    """The new bindings that make `dims` fit `shape`, or the problem in words."""
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
        least = 0 if letter in may_be_empty else 1
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
