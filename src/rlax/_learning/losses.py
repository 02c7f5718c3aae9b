"""Losses of predictions against targets, elementwise except the cross entropy."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from rlax._core.contracts import shapes
from rlax._core.errors import check_range
from rlax._core.types import known_arrays

Array = jax.Array


@shapes("predictions[...], targets?[...]")
def l2_loss(predictions: ArrayLike, targets: ArrayLike | None = None) -> Array:
    """Computes half the squared error, ½ (predictions - targets)².

    Args:
      predictions: `[...]`.
      targets: `[...]`. Default: zeros, which regularises.

    Returns:
      `[...]`.

    Gradient:
      Reaches predictions and targets.

    Example:
      >>> print(rlax.l2_loss([1.0, 3.0], [1.0, 1.0]))
      [0. 2.]
    """
    (error,) = known_arrays(predictions)
    if targets is not None:
        error = error - known_arrays(targets)[0]
    return 0.5 * jnp.square(error)


@shapes("predictions:real[...], targets:real[...]")
def expectile_loss(
    predictions: ArrayLike, targets: ArrayLike, expectile: float
) -> Array:
    """Computes a squared error with a different weight for each sign.

        |expectile - 1{δ < 0}| δ²,    δ = targets - predictions

    Args:
      predictions: `[...]`.
      targets: `[...]`.
      expectile: Weight of targets above predictions, in [0, 1]; 0.5 is the l2 loss.

    Returns:
      `[...]`.

    Gradient:
      Reaches predictions and targets.

    Raises:
      ContractError: If expectile is out of [0, 1].

    Source: Kostrikov et al. 2022, Offline Reinforcement Learning with Implicit
    Q-Learning, arXiv 2110.06169.

    Example:
      >>> print(rlax.expectile_loss([0.0, 0.0], [-1.0, 1.0], expectile=0.75))
      [0.25 0.75]
    """
    check_range("expectile_loss", "expectile", expectile, 0, 1)
    predictions, targets = known_arrays(predictions, targets)
    return asymmetric_square(targets - predictions, expectile)


def asymmetric_square(delta: Array, expectile: ArrayLike) -> Array:
    """δ², weighted by the expectile above 0 and by the rest below."""
    (expectile,) = known_arrays(expectile)
    weight = jnp.where(delta > 0, expectile, 1 - expectile)
    return weight * jnp.square(delta)


@shapes("predictions[...], targets[...]")
def likelihood(predictions: ArrayLike, targets: ArrayLike) -> Array:
    """Computes the probability that predictions give to binary targets.

        predictions^targets (1 - predictions)^(1 - targets)

    Args:
      predictions: Probabilities of 1, `[...]`.
      targets: 0 or 1, `[...]`.

    Returns:
      `[...]`.

    Gradient:
      Reaches predictions and targets.

    Example:
      >>> print(rlax.likelihood([0.5, 0.25], [1.0, 0.0]))
      [0.5  0.75]
    """
    predictions, targets = known_arrays(predictions, targets)
    return predictions**targets * (1 - predictions) ** (1 - targets)


@shapes("predictions[...], targets[...]")
def log_loss(predictions: ArrayLike, targets: ArrayLike) -> Array:
    """Computes -log likelihood of binary targets.

    Args:
      predictions: Probabilities of 1, `[...]`.
      targets: 0 or 1, `[...]`.

    Returns:
      `[...]`; NaN where a prediction isn't a probability.

    Gradient:
      Reaches predictions and targets.

    Example:
      >>> print(rlax.log_loss([0.5, 0.25], [1.0, 0.0]).round(2))
      [0.69 0.29]
    """
    return -jnp.log(likelihood(predictions, targets))


@shapes("x[...]")
def huber_loss(x: ArrayLike, delta: float = 1.0) -> Array:
    """Computes ½ x² near 0 and delta (|x| - ½ delta) beyond delta.

    Args:
      x: `[...]`.
      delta: Where the loss turns linear, not negative.

    Returns:
      `[...]`.

    Gradient:
      x clipped to [-delta, delta].

    Raises:
      ContractError: If delta is negative.

    Source: Huber 1964, Robust Estimation of a Location Parameter, doi
    10.1214/aoms/1177703732.

    Example:
      >>> print(rlax.huber_loss([0.5, 3.0], delta=1.0))
      [0.125 2.5  ]
    """
    check_range("huber_loss", "delta", delta, 0, jnp.inf)
    size = jnp.abs(x)
    near = jnp.minimum(size, delta)
    return 0.5 * jnp.square(near) + delta * (size - near)


@shapes("labels:real[... A], logits:real[... A]")
def categorical_cross_entropy(labels: ArrayLike, logits: ArrayLike) -> Array:
    """Computes -Σ labels log softmax(logits), with labels divided by their sum.

    Args:
      labels: Probabilities, not all 0, `[..., A]`.
      logits: `[..., A]`.

    Returns:
      `[...]`; a label of 0 at a logit of -inf adds 0.

    Gradient:
      Reaches labels and logits.

    Example:
      >>> print(rlax.categorical_cross_entropy([0.0, 1.0], [0.0, 0.0]).round(2))
      0.69
    """
    (labels,) = known_arrays(labels)
    return cross_entropy(labels / jnp.sum(labels, axis=-1, keepdims=True), logits)


def cross_entropy(labels: Array, logits: ArrayLike) -> Array:
    """-Σ labels log softmax(logits); a label of 0 at a logit of -inf adds 0."""
    log = jax.nn.log_softmax(logits)
    log = jnp.where((labels == 0) & jnp.isneginf(log), 0, log)
    return -jnp.sum(labels * log, axis=-1)
