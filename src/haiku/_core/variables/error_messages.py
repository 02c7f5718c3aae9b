"""Messages for missing or mismatched parameters and state."""

import difflib
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp

from haiku._core.runs.frame import Frame


def known_paths(kind: str, values: Mapping[str, Mapping[str, Any]]) -> str:
    """The end of a message: which values exist."""
    if not values:
        return f" No {kind} was given."
    paths = [f"{path}/{name}" for path, named in values.items() for name in named]
    shown = ", ".join(paths[:8]) + (", ..." if len(paths) > 8 else "")
    return f" It has: {shown}." if paths else f" No {kind} was given."


def missing_parameter(frame: Frame, path: str, name: str, shape: Any) -> str:
    """The message for a parameter that `apply` wasn't given."""
    wanted = f"{path}/{name}"
    given = {
        f"{p}/{n}": value
        for p, named in frame.params.items()
        for n, value in named.items()
        if value is not None
    }
    near = difflib.get_close_matches(wanted, given, n=1, cutoff=0.0)
    nearest = (
        f" The nearest one is {near[0]} {list(getattr(given[near[0]], 'shape', ()))}."
        if near
        else " No parameters were given."
    )
    where = frame.usage.sealed_by or "a branch or loop body"
    return (
        f"The params passed to `apply` have no parameter {wanted} {list(shape)}: "
        f"parameters must be created as part of `init`.{nearest} Pass the params that "
        "`init` returned. If names differ, the function builds other modules than when "
        f"`init` ran, or builds them in another order. A parameter that only {where} "
        "uses must be used at `init` too: `if hk.running_init(): ...`."
    )


def wrong_shape(frame, path, name, value, shape, dtype) -> str:
    """The message for a parameter of another shape."""
    have = "no shape"
    if hasattr(value, "shape"):
        have = f"shape {list(value.shape)}"
    near = [
        f"{p}/{n}"
        for p, named in frame.params.items()
        for n, other in named.items()
        if getattr(other, "shape", None) == tuple(shape) and (p, n) != (path, name)
    ]
    others = f" {near[0]} has that shape." if near else ""
    return (
        f"Parameter {path}/{name} has {have}, which does not match shape "
        f"{list(shape)} (dtype {jnp.dtype(dtype).name}) that the module needs.{others} "
        "Pass params that `init` made for inputs of this shape, or give the modules "
        "different names."
    )


def new_in_loop(frame: Frame, path: str, name: str) -> str:
    """The message for a parameter or state that is new in a later step of a loop."""
    return (
        f"{path}/{name} is new in a later step of {frame.usage.sealed_by}, which can "
        "only use what its first step made. Build modules before the loop, or use the "
        "same ones in every step."
    )
