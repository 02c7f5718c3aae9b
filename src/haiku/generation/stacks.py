"""Which stacks of layers a loop over tokens takes apart."""

from collections.abc import Collection

import jax

from haiku._bound import Bound

__all__ = ["small_stacks"]

_MOST_COPIED = 2**30  # bytes of layers that are copied out of their stacks


def small_stacks(model: Bound, stacks: Collection[str]) -> tuple[str, ...]:
    """The stacks to take apart for the steps: none, if there is much to copy."""
    held = [
        x
        for path, named in model.params.items()
        if path.startswith(tuple(stacks))
        for x in jax.tree.leaves(named)
    ]
    size = sum(x.size * x.dtype.itemsize for x in held)
    return tuple(sorted(stacks)) if size <= _MOST_COPIED else ()
