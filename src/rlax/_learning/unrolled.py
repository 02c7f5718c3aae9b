"""Training a model that is unrolled from one state, as MuZero's."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from rlax._core import arrays
from rlax._core.contracts import shapes
from rlax._core.errors import check_range
from rlax._core.masks import zero_masked
from rlax._core.types import ArrayTree
from rlax._learning.losses import cross_entropy

Array = jax.Array


@jax.custom_jvp
def _scaled(x: ArrayLike, scale: ArrayLike) -> ArrayLike:
    return x


@_scaled.defjvp
def _scaled_jvp(primals, tangents):
    x_dot = tangents[0]
    return primals[0], x_dot * jnp.asarray(primals[1], x_dot.dtype)


def scale_gradient(x: ArrayTree, scale: ArrayLike) -> ArrayTree:
    """Returns its input unchanged, and multiplies the gradient that flows back to it.

    Args:
      x: An array or a tree of arrays.
      scale: Factor of the gradient; ½ at each step of an unrolled model, say.

    Returns:
      x.

    Gradient:
      Reaches x, times scale.

    Source: Schrittwieser et al. 2020, Mastering Atari, Go, Chess and Shogi by Planning
    with a Learned Model, arXiv 1911.08265, appendix G.

    Example:
      >>> print(jax.grad(lambda x: 5 * rlax.scale_gradient(x, 0.5))(2.0))
      2.5
    """

    def scaled(leaf: ArrayLike) -> ArrayLike:
        if jnp.issubdtype(jnp.result_type(leaf), jnp.inexact):
            return _scaled(arrays.fresh(leaf), jax.lax.stop_gradient(scale))
        return leaf

    return jax.tree.map(scaled, x)


@shapes(
    "policy_logits[T+1 A], policy_targets[T+1 A], value_logits[T+1 V],"
    "value_targets[T+1 V], reward_logits[T M], reward_targets[T M], mask_t?:mask[T+1]",
    empty=False,
)
def muzero_loss(
    policy_logits: ArrayLike,
    policy_targets: ArrayLike,
    value_logits: ArrayLike,
    value_targets: ArrayLike,
    reward_logits: ArrayLike,
    reward_targets: ArrayLike,
    *,
    mask_t: ArrayLike | None = None,
    value_weight: float = 0.25,
    reward_weight: float = 1.0,
) -> Array:
    """Computes the loss of a model that is unrolled for T steps.

        p[0] + w_v v[0] + mean_k (p[k] + w_v v[k] + w_r r[k-1]),    k = 1 .. T

    where p, v, r are cross entropies -Σ target log softmax(logits).

    Args:
      policy_logits: Of the first state and after each step, `[T + 1, A]`.
      policy_targets: Probabilities, such as visits of a search, `[T + 1, A]`. They are
        not divided by their sum: zeros, for an absorbing state, give 0.
      value_logits: As policy_logits, over the bins of values, `[T + 1, V]`.
      value_targets: Probabilities of bins, `[T + 1, V]`.
      reward_logits: Of each step, over the bins of rewards, `[T, M]`.
      reward_targets: Probabilities of bins, `[T, M]`.
      mask_t: True at the states that count, `[T + 1]`, with the step that leads to
        them. NaN at others reaches neither loss nor gradient. Default: all.
      value_weight: w_v, not negative.
      reward_weight: w_r, not negative.

    Returns:
      The loss, `[]`.

    Gradient:
      Reaches the logits.

    Raises:
      ContractError: If a weight is negative, or T is 0.

    Source: Schrittwieser et al. 2020, arXiv 1911.08265, equation 1 and appendix G;
    value_weight: Schrittwieser et al. 2021, Online and Offline Reinforcement Learning
    by Planning with a Learned Model, arXiv 2104.06294.

    Example:
      >>> logits, targets = jnp.zeros((3, 2)), jnp.array([[1.0, 0.0]] * 3)
      >>> rewards = logits[1:], targets[1:]
      >>> loss = rlax.muzero_loss(*[logits, targets] * 2, *rewards, reward_weight=0.0)
      >>> print((loss / jnp.log(2.0)).round(2))
      2.5
    """
    check_range("muzero_loss", "value_weight", value_weight, 0, jnp.inf)
    check_range("muzero_loss", "reward_weight", reward_weight, 0, jnp.inf)

    def loss(logits, targets, mask):
        targets = jax.lax.stop_gradient(zero_masked(targets, mask))
        return cross_entropy(targets, zero_masked(logits, mask))

    policy = loss(policy_logits, policy_targets, mask_t)
    value = loss(value_logits, value_targets, mask_t)
    arrived = None if mask_t is None else mask_t[1:]  # pyright: ignore
    reward = loss(reward_logits, reward_targets, arrived)
    states = policy + value_weight * value
    return states[0] + jnp.mean(states[1:] + reward_weight * reward)
