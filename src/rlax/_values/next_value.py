"""Which next value: greedy, expected, or selected by other values.

That of an action which was taken is `pick(q_t, a_t)`.
"""

import jax
import jax.numpy as jnp

from rlax._core.arrays import pick


def greedy_value(q_t: jax.Array) -> jax.Array:
    """max_a q[a]."""
    return jnp.max(q_t, axis=-1)


def expected_value(q_t: jax.Array, probs_t: jax.Array) -> jax.Array:
    """Σ_a π(a) q[a]."""
    return jnp.sum(q_t * probs_t, axis=-1)


def selected_value(q_t: jax.Array, selector_t: jax.Array) -> jax.Array:
    """q[argmax selector], and NaN where the selector holds one."""
    chosen = pick(q_t, greedy_action(selector_t))
    return jnp.where(jnp.isnan(selector_t).any(-1), jnp.nan, chosen)


def greedy_action(selector: jax.Array) -> jax.Array:
    """argmax_a, the first of equals."""
    return jnp.argmax(selector, axis=-1)
