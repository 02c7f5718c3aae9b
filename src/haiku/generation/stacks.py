"""Which stacks of layers a loop over tokens takes apart."""

from collections.abc import Collection

import jax

from haiku._bound import Bound
from haiku._lifted.layers_apart import is_packed

__all__ = ["small_stacks", "unpacked_in_loops"]

_MOST_COPIED = 2**30  # bytes of layers that are copied out of their stacks


def small_stacks(model: Bound, stacks: Collection[str]) -> tuple[str, ...]:
    """The stacks to take apart for the steps: none, if there is much to copy."""
    held = [
        x
        for path, named in model.params.items()
        if path.startswith(tuple(stacks))
        for x in jax.tree.leaves(named)
    ]
    size = sum(x.size * x.dtype.itemsize for x in held if not is_packed(x))
    return tuple(sorted(stacks)) if size <= _MOST_COPIED else ()


def unpacked_in_loops(model: Bound, stacks: Collection[str]) -> bool:
    """Whether a loop would unpack stacks while it runs: int4 ones on a CPU."""
    if jax.default_backend() != "cpu":
        return False
    return any(
        is_packed(x)
        for path, named in model.params.items()
        if path.startswith(tuple(stacks))
        for x in jax.tree.leaves(named)
    )
