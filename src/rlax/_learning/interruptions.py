"""Episodes that were interrupted, and lack a last step."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from rlax._core.contracts import shapes
from rlax._core.types import known_arrays

# The step types of dm_env.
_FIRST, _MID, _LAST = 0, 1, 2


@shapes("step_type:int[T B]")
def fix_step_type_on_interruptions(step_type: ArrayLike) -> jax.Array:
    """Marks a step in mid-episode as last if a first step follows it.

    Args:
      step_type: 0 first, 1 mid, 2 last, `[T, B]`.

    Returns:
      `[T, B]`.

    Example:
      >>> print(rlax.fix_step_type_on_interruptions([[0], [1], [0], [1]])[:, 0])
      [0 2 0 1]
    """
    (step_type,) = known_arrays(step_type)
    before_first = jnp.concatenate(
        [step_type[1:] == _FIRST, jnp.zeros_like(step_type[:1], bool)]
    )
    interrupted = before_first & (step_type == _MID)
    return jnp.where(interrupted, jnp.asarray(_LAST, step_type.dtype), step_type)
