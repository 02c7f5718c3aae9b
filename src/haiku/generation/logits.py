"""Rules that change logits before a token is drawn from them."""

from typing import Any

import jax
import jax.numpy as jnp
from jax.core import Tracer

__all__ = ["min_p", "repetition_penalty", "temperature", "top_k", "top_p"]


def temperature(logits: jax.Array, temperature: Any) -> jax.Array:
    """Divides logits: below 1 likely tokens become likelier, above 1 less so.

    Args:
      logits: ``[..., V]``.
      temperature: Above 0.

    Returns:
      ``logits / temperature``.

    Raises:
      ValueError: `temperature` isn't above 0.

    Example:
      >>> hk.generation.temperature(jnp.array([1.0, 2.0]), 0.5)
      Array([2., 4.], dtype=float32)
    """
    _check("temperature", temperature, "above 0", lambda x: x > 0)
    return logits / temperature


def top_k(logits: jax.Array, k: Any) -> jax.Array:
    """Keeps the `k` largest logits; the others become -inf.

    Args:
      logits: ``[..., V]``.
      k: At least 1; more than V keeps all. It may be traced.

    Returns:
      ``[..., V]``. Logits equal to the smallest that stays also stay.

    Raises:
      ValueError: `k` isn't at least 1.

    Source:
      Fan et al., 2018, Hierarchical Neural Story Generation, arXiv:1805.04833.

    Example:
      >>> hk.generation.top_k(jnp.array([1.0, 3.0, 2.0]), 2)
      Array([-inf,   3.,   2.], dtype=float32)
    """
    _check("k", k, "an integer of at least 1", lambda x: x >= 1 and x == int(x))
    ordered = jnp.sort(logits, axis=-1)  # ascending
    size = logits.shape[-1]
    place = jnp.clip(size - jnp.asarray(k), 0, size - 1)
    least = jnp.take(ordered, place, axis=-1)[..., None]
    return jnp.where(logits < least, -jnp.inf, logits)


def top_p(logits: jax.Array, p: Any) -> jax.Array:
    """Keeps the fewest, likeliest tokens whose probabilities add up to `p`.

    Args:
      logits: ``[..., V]``.
      p: Above 0, at most 1.

    Returns:
      ``[..., V]``, -inf at the other tokens. The likeliest token always stays, and
      tokens as likely as the last that stays.

    Raises:
      ValueError: `p` isn't above 0 and at most 1.

    Source:
      Holtzman et al., 2020, The Curious Case of Neural Text Degeneration,
      arXiv:1904.09751.

    Example:
      >>> hk.generation.top_p(jnp.log(jnp.array([0.5, 0.3, 0.2])), 0.7)
      Array([-0.6931472, -1.2039728,       -inf], dtype=float32)
    """
    _check("p", p, "above 0 and at most 1", lambda x: 0 < x <= 1)
    ordered = -jnp.sort(-logits, axis=-1)
    probabilities = jax.nn.softmax(ordered, axis=-1)
    before = jnp.cumsum(probabilities, axis=-1) - probabilities
    stays = (before < p).at[..., 0].set(True)
    least = jnp.min(jnp.where(stays, ordered, jnp.inf), axis=-1, keepdims=True)
    return jnp.where(logits < least, -jnp.inf, logits)


def min_p(logits: jax.Array, p: Any) -> jax.Array:
    """Keeps tokens at least `p` times as likely as the likeliest.

    Args:
      logits: ``[..., V]``.
      p: From 0 to 1.

    Returns:
      ``[..., V]``, -inf at the other tokens.

    Raises:
      ValueError: `p` isn't from 0 to 1.

    Source:
      Nguyen et al., 2024, Turning Up the Heat: Min-p Sampling for Creative and
      Coherent LLM Outputs, arXiv:2407.01082.

    Example:
      >>> hk.generation.min_p(jnp.log(jnp.array([0.6, 0.3, 0.1])), 0.4)
      Array([-0.5108256, -1.2039728,       -inf], dtype=float32)
    """
    _check("p", p, "from 0 to 1", lambda x: 0 <= x <= 1)
    largest = jnp.max(logits, axis=-1, keepdims=True)
    return jnp.where(logits < largest + jnp.log(p), -jnp.inf, logits)


def repetition_penalty(logits: jax.Array, seen: jax.Array, penalty: Any) -> jax.Array:
    """Makes tokens that stand in the text already less likely.

        y = x / penalty if x > 0 else x * penalty    where seen

    Args:
      logits: ``[..., V]``.
      seen: True at the tokens of the text so far, ``[..., V]``.
      penalty: Above 0; 1 changes nothing.

    Returns:
      ``[..., V]``.

    Raises:
      ValueError: `penalty` isn't above 0.

    Source:
      Keskar et al., 2019, CTRL, arXiv:1909.05858, section 4.1.

    Example:
      >>> seen = jnp.array([True, True, False])
      >>> hk.generation.repetition_penalty(jnp.array([2.0, -1.0, 2.0]), seen, 2.0)
      Array([ 1., -2.,  2.], dtype=float32)
    """
    _check("penalty", penalty, "above 0", lambda x: x > 0)
    less = jnp.where(logits > 0, logits / penalty, logits * penalty)
    return jnp.where(seen, less, logits)


def _check(name: str, value: Any, wanted: str, fits: Any) -> None:
    """Raises unless a number fits, where it is known."""
    if isinstance(value, Tracer):
        return
    if not isinstance(value, int | float | jnp.ndarray) and not hasattr(value, "dtype"):
        raise ValueError(f"{name} must be {wanted}, got {value!r}.")
    if isinstance(value, bool) or not fits(value):
        raise ValueError(f"{name} must be {wanted}, got {value}.")
