"""Policies from a fixed data set: weighted imitation, and TD3 that stays near it."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from rlax._core.arrays import at_least_single
from rlax._core.contracts import shapes
from rlax._core.errors import check_above, check_choice, check_range
from rlax._core.ratios import finite_exp
from rlax._core.types import known_arrays

Array = jax.Array


@shapes("log_pi_t[...], adv_t[...]")
def advantage_weighted_policy_loss(
    log_pi_t: ArrayLike,
    adv_t: ArrayLike,
    temperature: float = 1.0,
    *,
    weight: str = "exp",
    max_weight: float = 100.0,
) -> Array:
    """Computes a loss that imitates actions, good ones more.

        -w log π(a),    w = min(e^(adv / τ), c)

    Args:
      log_pi_t: Log probability of the action in the data, `[...]`.
      adv_t: Its advantage, `[...]`.
      temperature: τ, above 0; IQL's β is 1 / τ.
      weight: "exp", as above. "binary": 1 where adv is above 0, else 0.
      max_weight: c, the upper limit of "exp", not negative.

    Returns:
      `[...]`.

    Gradient:
      Reaches log_pi_t.

    Raises:
      ContractError: If temperature isn't above 0, max_weight is negative, or weight has
        another name.

    Source: Peng et al. 2019, Advantage-Weighted Regression, arXiv 1910.00177; Wang et
    al. 2020, Critic Regularized Regression, arXiv 2006.15134 (both: max_weight 20);
    Kostrikov et al. 2022, arXiv 2110.06169.

    Example:
      >>> print(rlax.advantage_weighted_policy_loss([-1.0, -1.0], [0.0, 9.0]))
      [  1. 100.]
    """
    op = "advantage_weighted_policy_loss"
    check_above(op, "temperature", temperature)
    check_range(op, "max_weight", max_weight, 0, jnp.inf)
    check_choice(op, "weight", weight, ("exp", "binary"))
    log_pi_t, adv_t = known_arrays(log_pi_t, jax.lax.stop_gradient(adv_t))
    if weight == "binary":
        # An advantage of NaN is neither, and stays.
        return jnp.where(adv_t > 0, -log_pi_t, jnp.where(adv_t <= 0, 0, adv_t))
    return -jnp.minimum(finite_exp(adv_t / temperature), max_weight) * log_pi_t


@shapes("q_t[B], a_pi_t[B D], a_t[B D]", empty=False)
def td3_bc_policy_loss(
    q_t: ArrayLike, a_pi_t: ArrayLike, a_t: ArrayLike, alpha: float = 2.5
) -> Array:
    """Computes TD3's policy loss with a term that stays near the actions of the data.

        -λ mean q + mean (a_π - a)²,    λ = α / mean |q|

    Args:
      q_t: Values of the policy's actions in a minibatch, `[B]`.
      a_pi_t: The policy's actions, `[B, D]`.
      a_t: The actions in the data, `[B, D]`.
      alpha: α, not negative.

    Returns:
      The loss of the minibatch, `[]`.

    Gradient:
      Reaches q_t and a_pi_t; λ is stopped.

    Raises:
      ContractError: If alpha is negative, or B or D is 0.

    Source: Fujimoto and Gu 2021, A Minimalist Approach to Offline Reinforcement
    Learning, arXiv 2106.06860.

    Example:
      >>> print(rlax.td3_bc_policy_loss([2.0], [[1.0, 0.0]], [[0.0, 0.0]]))
      -2.0
    """
    check_range("td3_bc_policy_loss", "alpha", alpha, 0, jnp.inf)
    return value_and_distance(q_t, a_pi_t, a_t, alpha, 1.0, normalize=True)


def value_and_distance(
    q_t: ArrayLike,
    a_pi_t: ArrayLike,
    a_t: ArrayLike,
    value_weight: float,
    distance_weight: float,
    *,
    normalize: bool,
) -> Array:
    """A policy loss of a minibatch: minus values, and the distance to other actions.

    Args:
      q_t: Values of the policy's actions, `[B]`.
      a_pi_t: The policy's actions, `[B, D]`.
      a_t: Actions to stay near, `[B, D]`.
      value_weight: Of the mean value.
      distance_weight: Of the mean squared distance.
      normalize: Whether to divide value_weight by the mean size of the values.

    Returns:
      `[]`.

    Gradient:
      Reaches q_t and a_pi_t.
    """
    q_t, a_pi_t = known_arrays(q_t, a_pi_t)
    # Half precision can hold neither 1e-8 nor its inverse.
    q = q_t.astype(at_least_single(q_t.dtype))
    value = value_weight * jnp.mean(q)
    if normalize:
        size = jnp.mean(jnp.abs(jax.lax.stop_gradient(q)))
        value = value / jnp.maximum(size, 1e-8)
    distance = jnp.mean(jnp.square(a_pi_t - jax.lax.stop_gradient(a_t)))
    return distance_weight * distance - value.astype(q_t.dtype)
