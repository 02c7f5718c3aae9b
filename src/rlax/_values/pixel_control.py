"""Rewards for changing pixels, or the features of a network."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from rlax._core import arrays
from rlax._core.contracts import shapes
from rlax._core.errors import ContractError, check_choice, check_range
from rlax._core.types import known_arrays
from rlax._values import sequences

Array = jax.Array


@shapes("observations:number[T+1 ... H W C]")
def pixel_control_rewards(observations: ArrayLike, cell_size: int) -> Array:
    """Averages the absolute change between frames over square cells.

    Args:
      observations: Frames, `[T + 1, ..., H, W, C]`; axes between are batch.
      cell_size: Side of a cell in pixels; divides H and W.

    Returns:
      `[T, ..., H / cell_size, W / cell_size]`.

    Raises:
      ContractError: If cell_size does not divide H and W.

    Source: Jaderberg et al. 2017, Reinforcement Learning with Unsupervised Auxiliary
    Tasks, arXiv 1611.05397.

    Example:
      >>> frames = jnp.arange(8.0).reshape(2, 2, 2, 1)
      >>> print(rlax.pixel_control_rewards(frames, cell_size=2))
      [[[4.]]]
    """
    (observations,) = known_arrays(observations)
    *lead, height, width, channels = observations.shape
    if cell_size < 1 or height % cell_size or width % cell_size:
        raise ContractError(
            f"pixel_control_rewards: cell_size must divide height and width of the "
            f"observations {list(observations.shape)}, got {cell_size}; crop first."
        )
    if not jnp.issubdtype(observations.dtype, jnp.floating):
        observations = observations.astype(jnp.float32)  # uint8 would wrap around
    change = jnp.abs(observations[1:] - observations[:-1])
    cells = change.reshape(
        lead[0] - 1,
        *lead[1:],
        height // cell_size,
        cell_size,
        width // cell_size,
        cell_size,
        channels,
    )
    return jnp.mean(cells, axis=(-4, -2, -1))


@shapes("features[T+1 ... D]")
def feature_control_rewards(
    features: ArrayLike,
    cumulant_type: str = "absolute_change",
    discount: float | None = None,
) -> Array:
    """Computes rewards for controlling the features of a network.

    Args:
      features: `[T + 1, ..., D]`; axes between are batch.
      cumulant_type: `feature` (f[t]), `absolute_change` (|f[t] - f[t-1]|), `increase`
        (f[t] - f[t-1]), `decrease` (f[t-1] - f[t]) or `potential`
        (discount f[t] - f[t-1]).
      discount: For `potential` alone, in [0, 1].

    Returns:
      `[T, ..., D]`.

    Raises:
      ContractError: If cumulant_type is none of these, or `potential` comes without
        a discount.

    Source: Jaderberg et al. 2017, arXiv 1611.05397.

    Example:
      >>> print(rlax.feature_control_rewards([[0.0], [2.0], [1.0]], "increase"))
      [[ 2.]
       [-1.]]
    """
    op = "feature_control_rewards"
    check_choice(op, "cumulant_type", cumulant_type, _CUMULANTS)
    if cumulant_type == "potential":
        if discount is None:
            raise ContractError(
                f"{op}: cumulant_type 'potential' needs a discount; pass discount=0.99."
            )
        check_range(op, "discount", discount, 0, 1)
    (features,) = known_arrays(features)
    return _CUMULANTS[cumulant_type](features[:-1], features[1:], discount)


# Of the features before and after a step.
_CUMULANTS = {
    "feature": lambda before, after, _: after,
    "absolute_change": lambda before, after, _: jnp.abs(after - before),
    "increase": lambda before, after, _: after - before,
    "decrease": lambda before, after, _: before - after,
    "potential": lambda before, after, discount: discount * after - before,
}


@shapes(
    "observations:number[T+1 ... H W C], actions:index(A)[T ...],"
    "action_values[T+1 ... Y X A],"
    "mask_t?:mask[T ...]|[T]|[T ... Y X], truncation_t?:mask[T ...]|[T]|[T ... Y X]"
)
def pixel_control_loss(
    observations: ArrayLike,
    actions: ArrayLike,
    action_values: ArrayLike,
    discount_factor: ArrayLike,
    cell_size: int,
    *,
    mask_t: ArrayLike | None = None,
    truncation_t: ArrayLike | None = None,
    parallel: bool | None = None,
) -> Array:
    """Computes the squared errors of the action values of every cell.

    Each cell is a separate stream with its own pixel control reward; its loss is ½ δ²,
    with δ the error of Q(λ) at λ = 1.

    Args:
      observations: Frames, `[T + 1, ..., H, W, C]`; axes between are batch.
      actions: Action taken before each step, in 0 .. A - 1, `[T, ...]`.
      action_values: Values of every cell and action, `[T + 1, ..., Y, X, A]`, with Y
        and X the cells along H and W.
      discount_factor: In [0, 1]: one number, `[T]`, or `[T, ...]`; 0 ends the episode.
      cell_size: Side of a cell in pixels; divides H and W.
      mask_t: True at valid steps, `[T, ...]` or `[T]`. Default: all.
      truncation_t: True where an episode was cut short, `[T, ...]` or `[T]`.
      parallel: Whether to compute all steps at once. Default: by backend and length.

    Returns:
      The loss of every step and cell, `[T, ..., Y, X]`.

    Gradient:
      Reaches action_values[:-1]; the targets are stopped.

    Raises:
      ContractError: If action_values do not fit the cells, or discount_factor is
        neither one number nor one for each step.

    Source: Jaderberg et al. 2017, arXiv 1611.05397.

    Example:
      >>> frames = jnp.zeros([2, 4, 4, 1]).at[1, :2, :2].set(1.0)  # a cell of four
      >>> values = jnp.zeros([2, 2, 2, 3])  # [T + 1, Y, X, A]
      >>> print(rlax.pixel_control_loss(frames, [0], values, 0.9, cell_size=2))
      [[[0.5 0. ]
        [0.  0. ]]]
    """
    check_range("pixel_control_loss", "discount_factor", discount_factor, 0, 1)
    actions, action_values = known_arrays(actions, action_values)
    rewards = pixel_control_rewards(observations, cell_size)
    if action_values.shape[1:-1] != rewards.shape[1:]:
        raise ContractError(
            f"pixel_control_loss: action_values {list(action_values.shape)} must hold "
            f"values [..., A] of the same cells as the rewards {list(rewards.shape)}, "
            "with one step more; pass another cell_size, or resize the values."
        )
    discount = jnp.asarray(discount_factor, rewards.dtype)
    if discount.shape not in ((), actions.shape[:1], actions.shape):
        raise ContractError(
            "pixel_control_loss: discount_factor must be one number, or of the shape "
            f"[T] = {list(actions.shape[:1])} or {list(actions.shape)}, got "
            f"{list(discount.shape)}."
        )

    def over_cells(x: ArrayLike) -> Array:
        return jnp.broadcast_to(arrays.align(jnp.asarray(x), rewards), rewards.shape)

    errors = sequences.q_lambda(
        action_values[:-1],
        over_cells(actions),
        rewards,
        over_cells(discount),
        action_values[1:],
        1.0,
        mask_t=None if mask_t is None else over_cells(mask_t),
        truncation_t=None if truncation_t is None else over_cells(truncation_t),
        parallel=parallel,
    )
    return 0.5 * jnp.square(errors)
