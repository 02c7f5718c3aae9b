"""The next value: greedy, expected, or selected by other values.

The value of the action taken is `pick(q_t, a_t)`.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from rlax._core.arrays import pick
from rlax._core.types import known_arrays


def greedy_value(q_t: ArrayLike) -> jax.Array:
    """max_a q[a]."""
    return jnp.max(q_t, axis=-1)


def expected_value(q_t: ArrayLike, probs_t: ArrayLike) -> jax.Array:
    """Σ_a π(a) q[a]."""
    q_t, probs_t = known_arrays(q_t, probs_t)
    return jnp.sum(q_t * probs_t, axis=-1)


def soft_value(
    probs: ArrayLike, log_probs: ArrayLike, q: ArrayLike, temperature: ArrayLike
) -> jax.Array:
    """Σ_a π(a) (q[a] - τ log π(a)), of `probabilities`."""
    log_probs, q = known_arrays(log_probs, q)
    return expected_value(q - temperature * log_probs, probs)


def selected_value(q_t: ArrayLike, selector_t: ArrayLike) -> jax.Array:
    """q[argmax selector], and NaN where the selector contains NaN."""
    chosen = pick(q_t, greedy_action(selector_t))
    return jnp.where(jnp.isnan(selector_t).any(-1), jnp.nan, chosen)


def greedy_action(selector: ArrayLike) -> jax.Array:
    """argmax_a, the first of equals."""
    return jnp.argmax(selector, axis=-1)
