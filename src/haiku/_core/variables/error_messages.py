"""What the errors of parameters and state say that are not there, or are others."""

import difflib
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp

from haiku._core.runs.frame import Frame


def known_paths(kind: str, values: Mapping[str, Mapping[str, Any]]) -> str:
    """What there is, as the end of a message."""
    if not values:
        return f" No {kind} was given."
    paths = [f"{path}/{name}" for path, named in values.items() for name in named]
    shown = ", ".join(paths[:8]) + (", ..." if len(paths) > 8 else "")
    return f" There is: {shown}." if paths else f" No {kind} was given."


def missing_parameter(frame: Frame, path: str, name: str, shape: Any) -> str:
    """`apply` was given no such parameter."""
    wanted = f"{path}/{name}"
    given = {
        f"{p}/{n}": value
        for p, named in frame.params.items()
        for n, value in named.items()
        if value is not None
    }
    near = difflib.get_close_matches(wanted, given, n=1, cutoff=0.0)
    nearest = (
        f" The nearest that was given is {near[0]} "
        f"{list(getattr(given[near[0]], 'shape', ()))}."
        if near
        else " No parameters were given."
    )
    where = frame.usage.sealed_by or "a branch or loop body"
    return (
        f"There is no parameter {wanted} {list(shape)} in the params given to `apply`: "
        f"parameters must be created as part of `init`.{nearest} Pass what `init` "
        "returned; if names differ, the function builds other modules, or builds them "
        f"in another order, than when `init` ran. What only {where} asks for must be "
        "asked for at `init` too: `if hk.running_init(): ...`."
    )


def wrong_shape(frame, path, name, value, shape, dtype) -> str:
    """The parameter that was given is not the one that is asked for."""
    have = "no shape"
    if hasattr(value, "shape"):
        have = f"shape {list(value.shape)}"
    near = [
        f"{p}/{n}"
        for p, named in frame.params.items()
        for n, other in named.items()
        if getattr(other, "shape", None) == tuple(shape) and (p, n) != (path, name)
    ]
    others = f" Of that shape there is {near[0]}." if near else ""
    return (
        f"Parameter {path}/{name} has {have}, which does not match shape "
        f"{list(shape)} (dtype {jnp.dtype(dtype).name}) that the module asks "
        f"for.{others} Pass params made by `init` for inputs of this shape, or name "
        "the modules apart."
    )


def new_in_loop(frame: Frame, path: str, name: str) -> str:
    """A loop's step asks for what its first step did not make."""
    return (
        f"{path}/{name} is new in a later step of {frame.usage.sealed_by}, which can "
        "only use what its first step made. Build modules before the loop, or use the "
        "same ones in every step."
    )
