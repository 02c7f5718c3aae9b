"""UPGO: returns that follow what went better than expected."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from rlax._core.arrays import align
from rlax._core.errors import check
from rlax._returns import streams
from rlax._returns.multistep import lambda_returns_of

Array = jax.Array


@streams.stream_op("r_t[T ...], discount_t:unit[T ...]|[T], v_t[T ...]")
def upgo_returns(
    r_t: ArrayLike,
    discount_t: ArrayLike,
    v_t: ArrayLike,
    stop_target_gradients: bool = False,
    *,
    mask_t: ArrayLike | None = None,
    truncation_t: ArrayLike | None = None,
    bootstrap_t: ArrayLike | None = None,
    parallel: bool | None = None,
) -> Array:
    """Follows a trajectory as long as it does no worse than the values say.

        G[t] = r[t] + γ[t] (G[t+1] if r[t+1] + γ[t+1] v[t+1] >= v[t] else v[t])

    `lambda_returns` with a λ of 1 or 0. The last step bootstraps from v[T-1].

    Args:
      r_t: Reward for arriving at step t, `[T, ...]`; further axes are batch.
      discount_t: Discount per step, in [0, 1]; 0 ends the episode. `[T, ...]`.
      v_t: Value of the state at step t, `[T, ...]`.
      stop_target_gradients: Whether to stop the gradient through the returns.
      mask_t: As in `lambda_returns`.
      truncation_t: As in `lambda_returns`.
      bootstrap_t: As in `lambda_returns`.
      parallel: As in `lambda_returns`.

    Returns:
      The return at every step, `[T, ...]`; 0 where mask_t is false.

    Gradient:
      Reaches all inputs, unless stopped; not through the comparison.

    Raises:
      ContractError: If T is 0.

    Source: Vinyals et al. 2019, Grandmaster level in StarCraft II using multi-agent
    reinforcement learning, doi 10.1038/s41586-019-1724-z, Methods.

    Example:
      >>> print(rlax.upgo_returns([0.0, 1.0, -5.0], [1.0, 1.0, 1.0], [0.0, 0.0, 0.0]))
      [ 1.  1. -5.]
    """
    stream = streams.stream_of(r_t, mask_t, truncation_t, bootstrap_t, parallel)
    r, v = jnp.asarray(r_t), stream.bootstrap_values(v_t)
    check(r.shape[0] != 0, "upgo_returns: r_t must hold at least one step.")
    better = (r + align(discount_t, r) * v)[1:] >= v[:-1]
    follow = jnp.concatenate([better, jnp.ones_like(r[:1], bool)]).astype(r.dtype)
    return lambda_returns_of(
        stream, r_t, discount_t, v_t, follow, stop_target_gradients
    )
