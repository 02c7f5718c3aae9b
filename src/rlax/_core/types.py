"""Types of what ops take: anything like an array, and trees of arrays."""

from typing import Any, TypeAlias

import jax
from jax.typing import ArrayLike

ArrayTree: TypeAlias = Any  # JAX has no type for a tree whose leaves are arrays


def known_arrays(*arguments: ArrayLike) -> tuple[jax.Array, ...]:
    """Returns the arguments, which `@shapes` has made JAX arrays, as such.

    A type checker knows them as anything like an array. At run time this does nothing.
    """
    return arguments  # type: ignore[return-value]
