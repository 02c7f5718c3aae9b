"""The nearest neighbours of points."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from rlax._core.contracts import shapes
from rlax._core.errors import ContractError
from rlax._core.objects import Record, record
from rlax._core.types import known_arrays

Array = jax.Array


@record
class KNNQueryResult(Record):
    """The nearest neighbours of every query, nearest first.

    Attributes:
      neighbors: `[Q, K, D]`.
      neighbor_indices: Their indices in the data, `[Q, K]`.
      neighbor_neg_distances: Minus the distance to them, `[Q, K]`.
    """

    neighbors: Array
    neighbor_indices: Array
    neighbor_neg_distances: Array


def _sqeuclidian(x: Array, y: Array) -> Array:
    """The squared Euclidean distance of two vectors."""
    return jnp.sum(jnp.square(x - y))


@shapes("data:real[N D], query_points:real[B D]")
def knn_query(
    data: ArrayLike,
    query_points: ArrayLike,
    num_neighbors: int,
    metric: Callable[[Array, Array], Array] = _sqeuclidian,
) -> KNNQueryResult:
    """Finds the nearest neighbours of every query point by comparing it with all.

    Args:
      data: `[N, D]`.
      query_points: `[Q, D]`.
      num_neighbors: K, at least 1; if it exceeds N, all N are returned.
      metric: From two vectors `[D]` to their distance. Default: squared Euclidean.

    Returns:
      A record of neighbors, neighbor_indices and neighbor_neg_distances.

    Raises:
      ContractError: If num_neighbors is below 1.

    Example:
      >>> print(rlax.knn_query([[0.0], [2.0], [5.0]], [[4.0]], 1).neighbors)
      [[[5.]]]
    """
    if num_neighbors < 1:
        raise ContractError(
            f"knn_query: num_neighbors must be at least 1, got {num_neighbors}."
        )
    data, query_points = known_arrays(data, query_points)
    if isinstance(data.shape[0], int):  # else symbolic, and taken to be enough
        num_neighbors = min(num_neighbors, data.shape[0])
    to_all = jax.vmap(metric, in_axes=(None, 0))
    distances = jax.vmap(to_all, in_axes=(0, None))(query_points, data)
    distances = jax.lax.stop_gradient(distances)
    _, indices = jax.lax.top_k(-distances, num_neighbors)
    # Computed again, for the neighbours alone: then no gradient meets the infinite
    # distances of free places.
    neighbors = data[indices]
    neg_distances = -jax.vmap(to_all)(query_points, neighbors)
    return KNNQueryResult(
        neighbors=neighbors,
        neighbor_indices=indices,
        neighbor_neg_distances=neg_distances,
    )
