"""Probabilities and their logarithms from logits; a logit of -inf counts 0."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

Array = jax.Array


def probabilities(logits: ArrayLike) -> tuple[Array, Array]:
    """softmax(logits) and its logarithm, with 0 in place of -inf.

    So p log p, and its gradient, is 0 where p is 0.

    Args:
      logits: `[..., A]`.

    Returns:
      (p, log p), `[..., A]` each.
    """
    log_p = jax.nn.log_softmax(logits)
    return jnp.exp(log_p), jnp.where(jnp.isneginf(log_p), 0, log_p)


def kl_divergence(p_logits: ArrayLike, q_logits: ArrayLike) -> Array:
    """KL(p || q) of the last axis; an action of probability 0 under p adds 0."""
    log_p, log_q = jax.nn.log_softmax(p_logits), jax.nn.log_softmax(q_logits)
    # Where both are -inf their difference would be NaN.
    gone = jnp.isneginf(log_p)
    difference = jnp.where(gone, 0, log_p) - jnp.where(gone, 0, log_q)
    return jnp.sum(jnp.exp(log_p) * difference, axis=-1)
