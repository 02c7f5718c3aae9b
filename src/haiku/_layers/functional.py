"""Functions without parameters: dropout, categorical samples, one-hot vectors."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.core import Tracer

__all__ = ["dropout", "multinomial", "one_hot"]


def dropout(
    rng: Any,
    rate: float | jax.Array,
    x: jax.Array,
    broadcast_dims: Sequence[int] = (),
) -> jax.Array:
    """Sets random elements to zero and scales the others up to keep the mean.

        y = keep x / (1 - rate),  keep ~ Bernoulli(1 - rate)

    Args:
      rng: A key.
      rate: Probability in [0, 1) that an element is dropped.
      x: Array of any shape.
      broadcast_dims: Axes along which elements are kept or dropped together.

    Returns:
      An array with the shape of `x`.

    Raises:
      ValueError: `rate` is outside [0, 1), or `x` lacks an axis of `broadcast_dims`.
      TypeError: `rng` is None.

    Source:
      Srivastava et al., 2014, Dropout: A Simple Way to Prevent Neural Networks from
      Overfitting, JMLR 15.

    Example:
      >>> def f(x, is_training):
      ...     return hk.dropout(hk.next_rng_key(), 0.1 if is_training else 0.0, x)
    """
    # A traced rate can't be checked.
    known = not isinstance(rate, Tracer)
    if known and not 0 <= rate < 1:
        raise ValueError(
            f"rate must be in [0, 1). Got: {rate}. It is the probability that an "
            "element is dropped, 0.1 for a tenth of them."
        )
    if known and rate == 0:
        return x
    if rng is None:
        raise TypeError(
            "hk.dropout needs a key, got None: pass hk.next_rng_key(), and a key to "
            "apply."
        )
    mask_shape = list(x.shape)
    for dim in broadcast_dims:
        if not -x.ndim <= dim < x.ndim:
            raise ValueError(
                f"Broadcast dimension does not exist. Got dimension {dim} for shape "
                f"{list(x.shape)}, whose axes are {-x.ndim} to {x.ndim - 1}."
            )
        mask_shape[dim] = 1
    keep_rate = 1.0 - rate
    keep = jax.random.bernoulli(rng, keep_rate, shape=tuple(mask_shape))
    return jnp.where(jnp.broadcast_to(keep, x.shape), x / keep_rate, 0)


def multinomial(rng: Any, logits: jax.Array, num_samples: int) -> jax.Array:
    """Draws samples from categorical distributions.

    Args:
      rng: A key.
      logits: Unnormalised log probabilities, ``[..., A]``.
      num_samples: Number of samples, ``N``.

    Returns:
      Integers in ``[0, A)``, ``[..., N]``.

    Raises:
      ValueError: `logits` is a scalar.

    Example:
      >>> logits = jnp.log(jnp.array([0.7, 0.0, 0.3]))
      >>> draws = hk.multinomial(jax.random.key(0), logits, num_samples=1000)
      >>> print((jnp.bincount(draws, length=3) / 1000).round(1))
      [0.7 0.  0.3]
    """
    if jnp.ndim(logits) < 1:
        raise ValueError(
            "hk.multinomial needs logits of shape [..., classes], one per class, got a "
            "scalar."
        )
    samples = jax.random.categorical(
        rng, logits, shape=(num_samples, *logits.shape[:-1])
    )
    return jnp.moveaxis(samples, 0, -1)


def one_hot(x: Any, num_classes: int, dtype: Any = jnp.float32) -> jax.Array:
    """Turns each index into a vector of zeros with a single one.

    Args:
      x: Indices of any shape. An index outside ``[0, num_classes)`` gives only zeros.
      num_classes: Length of the new last axis.
      dtype: Dtype of the result.

    Returns:
      ``[..., num_classes]``.

    Example:
      >>> print(hk.one_hot(jnp.array([0, 2]), 3))
      [[1. 0. 0.]
       [0. 0. 1.]]
    """
    return jax.nn.one_hot(x, num_classes, dtype=dtype)
