"""Updates of a tree at some steps only, as of target networks."""

from __future__ import annotations

import jax.numpy as jnp
from jax.typing import ArrayLike

from rlax._core.errors import ContractError, is_host
from rlax._core.trees import tree_select
from rlax._core.types import ArrayTree


def conditional_update(
    new_tensors: ArrayTree, old_tensors: ArrayTree, is_time: ArrayLike
) -> ArrayTree:
    """Returns the new tree if it is time, else the old one.

    Args:
      new_tensors: A tree of arrays.
      old_tensors: One of the same structure, shapes and dtypes.
      is_time: One boolean.

    Returns:
      One of the two.

    Example:
      >>> print(rlax.conditional_update({"w": 1.0}, {"w": 0.0}, is_time=True)["w"])
      1.0
    """
    return tree_select(jnp.asarray(is_time).astype(bool), new_tensors, old_tensors)


def periodic_update(
    new_tensors: ArrayTree, old_tensors: ArrayTree, steps: ArrayLike, update_period: int
) -> ArrayTree:
    """Returns the new tree at every update_period-th step, else the old one.

    Args:
      new_tensors: A tree of arrays.
      old_tensors: One of the same structure, shapes and dtypes.
      steps: Number of the current step, `[]`.
      update_period: At least 1.

    Returns:
      new_tensors where update_period divides steps, else old_tensors.

    Raises:
      ContractError: If update_period is below 1.

    Source: Mnih et al. 2015, Human-level Control through Deep Reinforcement Learning.

    Example:
      >>> target = rlax.periodic_update({"w": 1.0}, {"w": 0.0}, 100, update_period=10)
      >>> print(target["w"])
      1.0
    """
    if is_host(update_period) and update_period < 1:
        raise ContractError(
            f"periodic_update: update_period must be at least 1, got {update_period}."
        )
    return conditional_update(
        new_tensors, old_tensors, jnp.mod(steps, update_period) == 0
    )
