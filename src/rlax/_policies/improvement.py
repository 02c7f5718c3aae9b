"""Policies that are better than a prior: from a search, or from advantages."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from rlax._core.contracts import shapes
from rlax._core.errors import check_range
from rlax._core.types import known_arrays

Array = jax.Array


@shapes("prior_logits[A], q_t[A], visits:amount[A], v_t[]")
def gumbel_improved_policy(
    prior_logits: ArrayLike,
    q_t: ArrayLike,
    visits: ArrayLike,
    v_t: ArrayLike,
    *,
    value_scale: float = 0.1,
    visit_offset: float = 50.0,
    rescale: bool = True,
    mixed_value: bool = True,
    epsilon: float = 1e-8,
) -> Array:
    """Computes the policy that a search with few simulations has found.

        softmax(logits + σ(q)),    σ(q) = (visit_offset + max visits) value_scale q

    Args:
      prior_logits: Logits of the network's policy, -inf where invalid, `[A]`.
      q_t: Values that the search found, `[A]`; not read where there is no visit.
      visits: How often the search visited each action, integers or floats, `[A]`.
      v_t: The network's value of the state, `[]`.
      value_scale: Factor in σ, not negative.
      visit_offset: Summand in σ, not negative.
      rescale: Whether values are moved to [0, 1] first.
      mixed_value: An action without a visit has the value (v + n q_π) / (1 + n), where
        n counts visits and q_π is the mean value of visited actions under the prior.
        False: v.
      epsilon: The smallest range that rescaling divides by, not negative.

    Returns:
      Probabilities, `[A]`; the prior's if no action was visited.

    Gradient:
      Reaches all floats: stop it where this is a target.

    Raises:
      ContractError: If visits, value_scale, visit_offset or epsilon is negative.

    Source: Danihelka et al. 2022, Policy improvement by planning with Gumbel (ICLR),
    section 4 and appendix D.

    Example:
      >>> improved = rlax.gumbel_improved_policy
      >>> print(improved([0.0, 0.0], [1.0, 0.0], visits=[99, 99], v_t=0.5).round(2))
      [1. 0.]
    """
    for name, value in {
        "value_scale": value_scale,
        "visit_offset": visit_offset,
        "epsilon": epsilon,
    }.items():
        check_range("gumbel_improved_policy", name, value, 0, jnp.inf)
    prior_logits, q, visits, v = known_arrays(prior_logits, q_t, visits, v_t)
    visited = visits > 0
    q = jnp.where(visited, q, 0)
    if mixed_value:
        n = jnp.sum(visits)
        v = (v + n * _mean_visited(prior_logits, q, visited)) / (1 + n)
    q = jnp.where(visited, q, v)
    if rescale:
        low, high = jnp.min(q), jnp.max(q)
        least = jnp.maximum(high - low, epsilon)
        # Half precision rounds 1e-8 to 0.
        q = (q - low) / jnp.maximum(least, jnp.finfo(q.dtype).tiny)
    return jax.nn.softmax(
        prior_logits + (visit_offset + jnp.max(visits)) * value_scale * q
    )


def _mean_visited(prior_logits: Array, q: Array, visited: Array) -> Array:
    """The mean value of the visited actions under the prior; 0 if there are none."""
    lowest = jnp.finfo(q.dtype).min
    logits = jnp.where(visited, jnp.maximum(prior_logits, lowest), lowest)
    weight = jnp.where(visited, jnp.exp(logits - jnp.max(logits)), 0)
    return jnp.sum(weight * q) / jnp.where(jnp.any(visited), jnp.sum(weight), 1)


@shapes("prior_logits[A], adv_t[A]")
def cmpo_policy(
    prior_logits: ArrayLike, adv_t: ArrayLike, *, clip: float = 1.0
) -> Array:
    """Computes a policy near a prior that prefers actions of large advantage.

        softmax(logits + clip(adv, -c, c))

    Its loss: `categorical_cross_entropy(cmpo_policy(...), logits)`.

    Args:
      prior_logits: Logits of the prior, -inf where invalid, `[A]`.
      adv_t: Advantage of each action, `[A]`.
      clip: c, the limit of advantages, not negative.

    Returns:
      Probabilities, `[A]`.

    Gradient:
      None.

    Raises:
      ContractError: If clip is negative.

    Source: Hessel et al. 2021, Muesli: Combining Improvements in Policy Optimization,
    arXiv 2104.06159.

    Example:
      >>> print(rlax.cmpo_policy([0.0, 0.0], [9.0, -9.0]).round(2))
      [0.88 0.12]
    """
    check_range("cmpo_policy", "clip", clip, 0, jnp.inf)
    prior_logits, adv_t = known_arrays(prior_logits, adv_t)
    improved = jax.nn.softmax(prior_logits + jnp.clip(adv_t, -clip, clip))
    return jax.lax.stop_gradient(improved)
