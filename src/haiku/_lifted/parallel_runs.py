"""Lanes: a function over examples or devices, and what is each one's own.

`vmap` and `shard_map` share how a lane runs, with a random key of its own or with that
of all. In an ensemble parameters and state are a lane's own too.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from haiku._core.runs.frame import Contents, Frame, Values, changes
from haiku._lifted.pure import pure

NOTHING = Contents({}, {}, {}, None)


def keys_of_lanes(frame: Frame, number: int) -> jax.Array | None:
    """A key for each lane, `[number, ...]`; None where the run has no keys."""
    return None if frame.keys is None else frame.keys.take_array(number)


def run_lane(
    f: Callable[..., Any],
    start: Contents,
    key: Any,
    args: Any,
    kwargs: Any,
    keep_names: bool = False,
) -> tuple[Any, Contents]:
    """One lane's output, and what it changes of `start`.

    Args:
      f: A function that reads and writes the running frame.
      start: The contents that it starts from.
      key: The lane's own key, or None: all draw from the keys in `start`.
      args: What `f` takes.
      kwargs: Likewise.
      keep_names: Whether the names that modules take in `f` stay taken.
    """
    if key is not None:
        start = start._replace(keys=(key, ()))
    out, after = pure(f, keep_names)(start, *args, **kwargs)
    changed = changes(start, after)
    return out, changed if key is None else changed._replace(keys=None)


def divided(
    contents: Contents, touched: set[Any], axis: int | None = None, size: int = 0
) -> tuple[Contents, Contents]:
    """What is each lane's own, and what all share.

    Args:
      contents: What there is, or what changed.
      touched: What was used outside.
      axis: If given, only what has `size` there can be one's own.
      size: See `axis`.
    """

    def can_be_own(value: Any) -> bool:
        shapes = [jnp.shape(x) for x in jax.tree.leaves(value)]
        return axis is None or all(
            -len(s) <= axis < len(s) and s[axis] == size for s in shapes
        )

    def split(values: Any, *kind: str) -> tuple[Values, Values]:
        parts: tuple[Values, Values] = {}, {}
        for path, named in values.items():
            for name, value in named.items():
                is_shared = (path, name, *kind) in touched or not can_be_own(value)
                parts[is_shared].setdefault(path, {})[name] = value
        return parts

    own_params, shared_params = split(contents.params)
    own_state, shared_state = split(contents.state, "state")
    own_initial, shared_initial = split(contents.initial_state, "state")
    return (
        Contents(own_params, own_state, own_initial, None),
        Contents(shared_params, shared_state, shared_initial, contents.keys),
    )


def joined(own: Contents, shared: Contents) -> Contents:
    """All that a lane sees."""

    def both(own: Any, shared: Any) -> Any:
        if not own:
            return shared
        return {**shared, **{p: {**shared.get(p, {}), **own[p]} for p in own}}

    return Contents(
        both(own.params, shared.params),
        both(own.state, shared.state),
        both(own.initial_state, shared.initial_state),
        shared.keys,
    )
