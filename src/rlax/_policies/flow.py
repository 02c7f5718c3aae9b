"""Policies that a flow generates: its loss, its actions, and one step in its place."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from rlax._core.contracts import shapes
from rlax._core.errors import check, check_choice, check_range, whole_number
from rlax._core.types import known_arrays
from rlax._policies.offline import value_and_distance

Array = jax.Array

_REDUCTIONS = {"mean": jnp.mean, "sum": jnp.sum}


@shapes("velocity[D], x_0[D], x_1[D]", empty=False)
def flow_matching_loss(
    velocity: ArrayLike, x_0: ArrayLike, x_1: ArrayLike, *, reduction: str = "mean"
) -> Array:
    """Computes the error of a velocity field on the straight line from noise to data.

        mean (v - (x_1 - x_0))²

    Args:
      velocity: What the network returned for (1 - t) x_0 + t x_1 at time t, `[D]`.
      x_0: Noise, `[D]`.
      x_1: Data, such as an action, `[D]`.
      reduction: "mean" or "sum" over D.

    Returns:
      The loss, `[]`.

    Gradient:
      Reaches velocity.

    Raises:
      ContractError: If the reduction has another name, or D is 0.

    Source: Lipman et al. 2023, Flow Matching for Generative Modeling, arXiv 2210.02747.

    Example:
      >>> print(rlax.flow_matching_loss([1.0, 3.0], x_0=[0.0, 0.0], x_1=[1.0, 1.0]))
      2.0
    """
    check_choice("flow_matching_loss", "reduction", reduction, _REDUCTIONS)
    velocity, x_0, x_1 = known_arrays(velocity, x_0, x_1)
    x_0, x_1 = jax.lax.stop_gradient((x_0, x_1))
    return _REDUCTIONS[reduction](jnp.square(velocity - (x_1 - x_0)))


@shapes("x_0[D]", empty=False)
def flow_actions(
    velocity_fn: Callable[[Array, Array], Array], x_0: ArrayLike, num_steps: int = 10
) -> Array:
    """Moves noise along a velocity field to an action, in Euler's steps.

        x ← x + v(x, i / n) / n,    i = 0 .. n - 1

    Args:
      velocity_fn: (x `[D]`, time `[]`) -> velocity `[D]`.
      x_0: Noise, `[D]`.
      num_steps: n, at least 1.

    Returns:
      The action, `[D]`.

    Gradient:
      Reaches x_0 and what velocity_fn holds, through all steps.

    Raises:
      ContractError: If num_steps isn't a whole number of at least 1, D is 0, or the
        velocity has another shape.

    Source: Park et al. 2025, Flow Q-Learning, arXiv 2502.02538.

    Example:
      >>> print(rlax.flow_actions(lambda x, time: 2 * time + 0 * x, jnp.zeros(2), 4))
      [0.75 0.75]
    """
    num_steps = whole_number("flow_actions", "num_steps", num_steps)
    (x_0,) = known_arrays(x_0)

    def step(x: Array, time: Array) -> tuple[Array, None]:
        velocity = jnp.asarray(velocity_fn(x, time))
        check(
            velocity.shape == x.shape,
            f"flow_actions: velocity_fn must return the shape of x, {list(x.shape)}, "
            f"got {list(velocity.shape)}.",
        )
        return x + (velocity / num_steps).astype(x.dtype), None

    times = jnp.asarray(np.arange(num_steps) / num_steps, x_0.dtype)
    return jax.lax.scan(step, x_0, times)[0]


@shapes("q_t[B], a_pi_t[B D], a_flow_t[B D]", empty=False)
def fql_policy_loss(
    q_t: ArrayLike,
    a_pi_t: ArrayLike,
    a_flow_t: ArrayLike,
    alpha: float = 10.0,
    *,
    normalize_q: bool = False,
) -> Array:
    """Computes the loss of a one-step policy that imitates a flow and raises values.

        α mean (a_π - a_flow)² - λ mean q

    Args:
      q_t: Values of the one-step policy's actions in a minibatch, `[B]`.
      a_pi_t: Its actions, `[B, D]`.
      a_flow_t: `flow_actions` from the same noise, `[B, D]`.
      alpha: α, not negative.
      normalize_q: Whether λ is 1 / mean |q| instead of 1.

    Returns:
      The loss of the minibatch, `[]`.

    Gradient:
      Reaches q_t and a_pi_t; λ is stopped.

    Raises:
      ContractError: If alpha is negative, or B or D is 0.

    Source: Park et al. 2025, Flow Q-Learning, arXiv 2502.02538.

    Example:
      >>> print(rlax.fql_policy_loss([2.0], [[1.0, 0.0]], [[0.0, 0.0]]))
      3.0
    """
    check_range("fql_policy_loss", "alpha", alpha, 0, jnp.inf)
    return value_and_distance(q_t, a_pi_t, a_flow_t, 1.0, alpha, normalize=normalize_q)
