"""Cutting windows out of trajectories."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from rlax._core.contracts import shapes
from rlax._core.errors import ContractError
from rlax._core.types import known_arrays

Array = jax.Array


@shapes("trajectories:number[T B ...], start_indices:index(T)[B N]")
def extract_subsequences(
    trajectories: ArrayLike,
    start_indices: ArrayLike,
    subsequence_len: int = 1,
    max_valid_start_idx: int | None = None,
) -> Array:
    """Cuts windows out of each trajectory of a batch.

    Args:
      trajectories: `[T, B, ...]`.
      start_indices: The first step of each window, in 0 .. T - 1, `[B, N]`.
      subsequence_len: Length L of the windows, at least 1. Past the end of a
        trajectory its last step repeats.
      max_valid_start_idx: The largest value in start_indices; if given, T is checked
        against it.

    Returns:
      `[L, B, N, ...]`.

    Raises:
      ContractError: If T < max_valid_start_idx + subsequence_len, or if NumPy
        start_indices are out of range.

    Source: Schrittwieser et al. 2020, arXiv 1911.08265.

    Example:
      >>> print(rlax.extract_subsequences(jnp.arange(4.0)[:, None], [[1]], 2)[:, 0, 0])
      [1. 2.]
    """
    trajectories, start_indices = known_arrays(trajectories, start_indices)
    length, batch_size = trajectories.shape[:2]
    if subsequence_len < 1:
        raise ContractError(
            f"extract_subsequences: subsequence_len must be at least 1, got "
            f"{subsequence_len}."
        )
    if max_valid_start_idx is not None:
        wanted = max_valid_start_idx + subsequence_len
        if length < wanted:
            raise ContractError(
                f"extract_subsequences: the trajectories are {length} steps long, "
                f"wanted at least {wanted} = max_valid_start_idx + subsequence_len; "
                "pass longer ones, or lower either."
            )
    steps = (
        jnp.arange(subsequence_len)[:, None, None] + start_indices[None]
    )  # [L, B, N]
    # Past the end the last step repeats.
    steps = jnp.clip(steps, 0, length - 1)
    return trajectories[steps, jnp.arange(batch_size)[None, :, None]]


def sample_start_indices(
    rng_key: Array, batch_size: int, num_start_indices: int, max_valid_start_idx: int
) -> Array:
    """Draws different starting points for every trajectory of a batch.

    Args:
      rng_key: A random key.
      batch_size: B.
      num_start_indices: N, at most max_valid_start_idx + 1.
      max_valid_start_idx: The largest start to draw.

    Returns:
      `[B, N]`, in 0 .. max_valid_start_idx, without repetition in a row.

    Raises:
      ContractError: If there are fewer starts than num_start_indices.

    Example:
      >>> rlax.sample_start_indices(jax.random.key(0), 4, 2, 7).shape
      (4, 2)
    """
    if not 0 <= num_start_indices <= max_valid_start_idx + 1:
        raise ContractError(
            f"sample_start_indices: cannot draw {num_start_indices} different starts "
            f"from 0 .. {max_valid_start_idx}; pass num_start_indices in 0 .. "
            f"{max_valid_start_idx + 1}."
        )

    def draw(key: Array) -> Array:
        shape = (num_start_indices,)
        return jax.random.choice(key, max_valid_start_idx + 1, shape, replace=False)

    return jax.vmap(draw)(jax.random.split(rng_key, batch_size))
