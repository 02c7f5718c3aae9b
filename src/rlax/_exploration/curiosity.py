"""Rewards for states unlike those seen before in the episode (Never Give Up)."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from rlax._core.contracts import shapes
from rlax._core.errors import ContractError, check_range
from rlax._core.objects import Record, record
from rlax._core.types import known_arrays
from rlax._exploration.episodic_memory import knn_query

Array = jax.Array


@record
class IntrinsicRewardState(Record):
    """The memory of an episode, and statistics that normalise distances.

    Attributes:
      memory: Embeddings, `[M, D]`; inf where free.
      next_memory_index: Where to write next, modulo M.
      distance_sum: Sum of minus all distances so far.
      distance_count: Number of these distances.
    """

    memory: Array
    next_memory_index: Array | int
    distance_sum: Array | float = 0.0
    distance_count: Array | int = 0


@shapes("embeddings:real[N D]")
def episodic_memory_intrinsic_rewards(
    embeddings: ArrayLike,
    num_neighbors: int,
    reward_scale: float,
    intrinsic_reward_state: IntrinsicRewardState | None = None,
    constant: float = 1e-3,
    epsilon: float = 1e-4,
    cluster_distance: float = 8e-3,
    max_similarity: float = 8.0,
    max_memory_size: int = 30_000,
) -> tuple[Array, IntrinsicRewardState]:
    """Rewards embeddings by the distance to their nearest neighbours in a memory.

        d = max(distance / (mean distance - constant) - cluster_distance, 0)
        s = √(Σ_neighbours epsilon / (d + epsilon)) + constant
        reward = reward_scale / s, or 0 where s > max_similarity

    Args:
      embeddings: Controllable states, `[N, D]`.
      num_neighbors: K, at most the size of the memory.
      reward_scale: β.
      intrinsic_reward_state: From the call before in the episode. Default: a memory
        that holds K zeros.
      constant: Added to the similarity, and subtracted from the mean distance. If the
        mean is below it, distances count as 0.
      epsilon: Constant of the kernel.
      cluster_distance: Normalised distance below which states count as the same.
      max_similarity: Similarity above which there is no reward.
      max_memory_size: Size M of a new memory; the oldest embeddings are overwritten.

    Returns:
      (rewards `[N]`, the state for the next call).

    Raises:
      ContractError: If K exceeds the memory.

    Source: Badia et al. 2020, Never Give Up: Learning Directed Exploration Strategies,
    arXiv 2002.06038, equation 2 and algorithm 1.

    Example:
      >>> reward = rlax.episodic_memory_intrinsic_rewards
      >>> rewards, state = reward(jnp.eye(3), 2, 1.0, max_memory_size=9)
      >>> rewards.shape
      (3,)
    """
    name = "episodic_memory_intrinsic_rewards"
    for argument, value in (("constant", constant), ("epsilon", epsilon)):
        check_range(name, argument, value, 0, jnp.inf)
    (embeddings,) = known_arrays(embeddings)
    count, features = embeddings.shape
    state = intrinsic_reward_state
    size = max_memory_size if state is None else jnp.shape(state.memory)[0]
    if not 1 <= num_neighbors <= size:
        raise ContractError(
            f"{name}: num_neighbors must be in 1 .. {size}, the size of the memory, "
            f"got {num_neighbors}."
        )
    if state is None:
        memory = jnp.full((size, features), jnp.inf, embeddings.dtype)
        memory = memory.at[:num_neighbors].set(0)
        state = IntrinsicRewardState(memory=memory, next_memory_index=0)

    neighbors = knn_query(state.memory, embeddings, num_neighbors)
    distance_sum = state.distance_sum + neighbors.neighbor_neg_distances.sum()
    symbolic = not isinstance(count, int)
    amount = jnp.asarray(count) if symbolic else count
    distance_count = state.distance_count + num_neighbors * amount

    # If all distances so far are close to 0, nothing is new.
    mean = -distance_sum / distance_count - constant
    mean = jnp.where(mean <= 0, jnp.inf, mean)
    distance = -neighbors.neighbor_neg_distances / mean
    distance = jnp.maximum(distance - cluster_distance, 0)
    similarity = jnp.sqrt(jnp.sum(epsilon / (distance + epsilon), axis=-1)) + constant
    reward = jnp.where(similarity > max_similarity, 0, reward_scale / similarity)

    # With more embeddings than places, only the last ones stay.
    kept = count if symbolic else min(count, size)
    start = state.next_memory_index % size
    order = jnp.arange(count - kept, count)
    places = (start + order) % size
    if symbolic:
        places = jnp.where(order < count - size, size, places)  # size: nowhere
    memory = jnp.asarray(state.memory)
    memory = memory.at[places].set(embeddings[count - kept :], mode="drop")
    return reward, IntrinsicRewardState(
        memory=memory,
        next_memory_index=start + amount % size,
        distance_sum=distance_sum,
        distance_count=distance_count,
    )
