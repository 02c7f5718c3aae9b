"""Observation, action and reward in one vector."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from rlax._core.arrays import one_hot
from rlax._core.contracts import shapes
from rlax._core.errors import check
from rlax._core.types import known_arrays


@shapes("features:real[... B D], action:number[... B], reward:real[... B]")
def embed_oar(
    features: ArrayLike, action: ArrayLike, reward: ArrayLike, num_actions: int
) -> jax.Array:
    """Joins features, the last action as one-hot, and tanh of the last reward.

    Args:
      features: `[B, D]` or `[T, B, D]`.
      action: In 0 .. num_actions - 1, `[B]` or `[T, B]`; others are encoded as zeros.
      reward: `[B]` or `[T, B]`.
      num_actions: A.

    Returns:
      `[..., B, D + A + 1]`.

    Raises:
      ContractError: If features have more than three axes.

    Source: Kapturowski et al. 2019, Recurrent Experience Replay in Distributed
    Reinforcement Learning.

    Example:
      >>> print(rlax.embed_oar([[0.5]], [1], [0.0], num_actions=2))
      [[0.5 0.  1.  0. ]]
    """
    features, action, reward = known_arrays(features, action, reward)
    check(
        features.ndim <= 3,
        f"embed_oar: features must be [B, D] or [T, B, D], got {list(features.shape)}; "
        "reshape, or jax.vmap it over further axes.",
    )
    encoded = one_hot(action, num_actions, features.dtype)
    return jnp.concatenate([features, encoded, jnp.tanh(reward)[..., None]], axis=-1)
