"""Inputs of any kind: lists as arrays, and shapes that go together."""

from typing import Any

import jax.numpy as jnp


def as_array(x: Any) -> Any:
    """An array as it is, whoever made it; a JAX array of lists and numbers."""
    return x if hasattr(x, "shape") else jnp.asarray(x)


def broadcast(one: tuple[int, ...], other: tuple[int, ...]) -> bool:
    """Whether two shapes broadcast together; their sizes may be symbolic."""
    pairs = zip(reversed(one), reversed(other))
    return one == other or all(n == m or 1 in (n, m) for n, m in pairs)
