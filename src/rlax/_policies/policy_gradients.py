"""Policy gradient losses."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from rlax._core.arrays import align, pick
from rlax._core.contracts import shapes
from rlax._core.errors import check_range
from rlax._core.gradients import stop_gradient_if
from rlax._core.masks import masked_mean, zero_masked
from rlax._policies.divergences import entropy_of

Array = jax.Array

_MASK = ", mask_t?:mask[T ...]|[T]"


@shapes("a_t[D], dqda_t[D]")
def dpg_loss(
    a_t: ArrayLike,
    dqda_t: ArrayLike,
    dqda_clipping: float | None = None,
    use_stop_gradient: bool = True,
) -> Array:
    """Computes a loss whose gradient moves an action up the critic's gradient.

        ½ (a + clip(dq/da) - a)²

    Args:
      a_t: The actor's action, `[A]`.
      dqda_t: Gradient of the critic with respect to it, `[A]`.
      dqda_clipping: Largest norm of that gradient, not negative. Default: none.
      use_stop_gradient: Whether to stop the gradient through the target a + dq/da.

    Returns:
      The loss of every dimension, `[A]`.

    Gradient:
      Reaches a_t: -clip(dq/da).

    Raises:
      ContractError: If dqda_clipping is negative.

    Source: Silver et al. 2014, Deterministic Policy Gradient Algorithms; Lillicrap et
    al. 2016, arXiv 1509.02971.

    Example:
      >>> print(rlax.dpg_loss([0.0, 1.0], [3.0, 4.0]))
      [4.5 8. ]
    """
    if dqda_clipping is not None:
        check_range("dpg_loss", "dqda_clipping", dqda_clipping, 0, jnp.inf)
        square = jnp.sum(jnp.square(dqda_t), axis=-1)
        # Safe at 0, where the norm has no derivative.
        norm = jnp.sqrt(jnp.where(square == 0, 1, square))
        dqda_t = dqda_t * jnp.minimum(1, dqda_clipping / norm)
    target = stop_gradient_if(use_stop_gradient, dqda_t + a_t)
    return 0.5 * jnp.square(target - a_t)


@shapes("logits_t[T ... A], a_t:index(A)[T ...], adv_t[T ...], w_t[T ...]|[T]" + _MASK)
def policy_gradient_loss(
    logits_t: ArrayLike,
    a_t: ArrayLike,
    adv_t: ArrayLike,
    w_t: ArrayLike,
    use_stop_gradient: bool = True,
    *,
    mask_t: ArrayLike | None = None,
) -> Array:
    """Computes the policy gradient loss of a sequence.

        -mean_t w[t] adv[t] log π(a[t])

    Args:
      logits_t: Logits of the policy, `[T, ..., A]`; axes between are batch.
      a_t: Action taken, in 0 .. A - 1, `[T, ...]`; out of range gives NaN under jit.
      adv_t: Advantage of it, `[T, ...]`.
      w_t: Weight of each step, `[T, ...]` or `[T]`.
      use_stop_gradient: Whether to stop the gradient through adv_t.
      mask_t: True at the steps to average over, `[T, ...]` or `[T]`. NaN at others
        reaches neither loss nor gradient. Default: all.

    Returns:
      The loss, `[...]`.

    Gradient:
      Reaches logits_t and w_t; adv_t too unless stopped.

    Source: Williams 1992, Simple Statistical Gradient-following Algorithms.

    Example:
      >>> print(rlax.policy_gradient_loss([[0.0, 0.0]], [1], [2.0], [1.0]).round(2))
      1.39
    """
    steps = logits_t, a_t, adv_t, align(w_t, adv_t)
    logits_t, a_t, adv_t, w_t = (zero_masked(x, mask_t) for x in steps)
    log_pi = pick(jax.nn.log_softmax(logits_t), a_t)
    adv_t = stop_gradient_if(use_stop_gradient, adv_t)
    return masked_mean(-log_pi * adv_t * w_t, mask_t, axis=0)


@shapes("logits_t[T ... A], w_t[T ...]|[T]" + _MASK)
def entropy_loss(
    logits_t: ArrayLike, w_t: ArrayLike, *, mask_t: ArrayLike | None = None
) -> Array:
    """Computes minus the mean entropy of the policy over a sequence.

        -mean_t w[t] H(π[t])

    Args:
      logits_t: Logits of the policy, `[T, ..., A]`; axes between are batch.
      w_t: Weight of each step, `[T, ...]` or `[T]`.
      mask_t: As in `policy_gradient_loss`.

    Returns:
      The loss, `[...]`.

    Gradient:
      Reaches logits_t and w_t.

    Source: Mnih et al. 2016, Asynchronous Methods for Deep Reinforcement Learning,
    arXiv 1602.01783.

    Example:
      >>> print(rlax.entropy_loss([[0.0, 0.0]], [1.0]).round(2))
      -0.69
    """
    logits_t = zero_masked(logits_t, mask_t)
    entropy = entropy_of(jax.nn.softmax(logits_t))
    w_t = zero_masked(align(w_t, entropy), mask_t)
    return masked_mean(-entropy * w_t, mask_t, axis=0)


@shapes("logits_t[T ... A], q_t[T ... A]" + _MASK)
def qpg_loss(
    logits_t: ArrayLike,
    q_t: ArrayLike,
    use_stop_gradient: bool = True,
    *,
    mask_t: ArrayLike | None = None,
) -> Array:
    """Computes the policy gradient loss over all actions.

        -mean_t Σ_a π(a) adv(a),    adv(a) = q(a) - Σ_b π(b) q(b)

    Args:
      logits_t: Logits of the policy, `[B, ..., A]`; the mean is over the first axis.
      q_t: Action values, `[B, ..., A]`.
      use_stop_gradient: Whether to stop the gradient through the advantages.
      mask_t: As in `policy_gradient_loss`, with the first axis for T.

    Returns:
      The loss, `[...]`.

    Gradient:
      Reaches logits_t through π, never q_t. Unless the advantages are stopped, the
      gradient through them cancels it.

    Source: Srinivasan et al. 2018, Actor-Critic Policy Optimization in Partially
    Observable Multiagent Environments, arXiv 1810.09026, equation 5.

    Example:
      >>> print(jax.grad(rlax.qpg_loss)(jnp.zeros((1, 2)), jnp.array([[0.0, 1.0]])))
      [[ 0.25 -0.25]]
    """
    pi_t, adv_t = _advantages(logits_t, jax.lax.stop_gradient(q_t), mask_t)
    adv_t = stop_gradient_if(use_stop_gradient, adv_t)
    return masked_mean(-jnp.sum(pi_t * adv_t, axis=-1), mask_t, axis=0)


@shapes("logits_t[T ... A], q_t[T ... A]" + _MASK)
def rm_loss(
    logits_t: ArrayLike,
    q_t: ArrayLike,
    use_stop_gradient: bool = True,
    *,
    mask_t: ArrayLike | None = None,
) -> Array:
    """Computes the regret matching loss: the policy gradient of positive advantages.

        -mean_t Σ_a π(a) max(adv(a), 0)

    Args:
      logits_t: As in `qpg_loss`.
      q_t: As in `qpg_loss`.
      use_stop_gradient: As in `qpg_loss`.
      mask_t: As in `qpg_loss`.

    Returns:
      The loss, `[...]`.

    Gradient:
      Reaches logits_t through π, and through the advantages unless stopped; never q_t.

    Source: Srinivasan et al. 2018, arXiv 1810.09026, equation 7.

    Example:
      >>> print(jax.grad(rlax.rm_loss)(jnp.zeros((1, 2)), jnp.array([[0.0, 1.0]])))
      [[ 0.125 -0.125]]
    """
    pi_t, adv_t = _advantages(logits_t, jax.lax.stop_gradient(q_t), mask_t)
    regret_t = stop_gradient_if(use_stop_gradient, jax.nn.relu(adv_t))
    return masked_mean(-jnp.sum(pi_t * regret_t, axis=-1), mask_t, axis=0)


@shapes("logits_t[T ... A], q_t[T ... A]" + _MASK)
def rpg_loss(
    logits_t: ArrayLike,
    q_t: ArrayLike,
    use_stop_gradient: bool = True,
    *,
    mask_t: ArrayLike | None = None,
) -> Array:
    """Computes the regret policy gradient loss: the sum of positive regrets.

        mean_t Σ_a max(adv(a), 0)

    Args:
      logits_t: As in `qpg_loss`.
      q_t: As in `qpg_loss`.
      use_stop_gradient: Whether to stop the gradient through q_t.
      mask_t: As in `qpg_loss`.

    Returns:
      The loss, `[...]`.

    Gradient:
      Reaches logits_t; q_t too unless stopped.

    Source: Srinivasan et al. 2018, arXiv 1810.09026, equation 6.

    Example:
      >>> print(rlax.rpg_loss([[0.0, 0.0]], [[0.0, 1.0]]))
      0.5
    """
    _, adv_t = _advantages(logits_t, stop_gradient_if(use_stop_gradient, q_t), mask_t)
    return masked_mean(jnp.sum(jax.nn.relu(adv_t), axis=-1), mask_t, axis=0)


def _advantages(
    logits_t: ArrayLike, q_t: ArrayLike, mask_t: ArrayLike | None
) -> tuple[Array, Array]:
    """The policy and the advantage of every action, `[T, ..., A]` each."""
    logits_t, q_t = zero_masked(logits_t, mask_t), zero_masked(q_t, mask_t)
    pi_t = jax.nn.softmax(logits_t)
    return pi_t, q_t - jnp.sum(pi_t * q_t, axis=-1, keepdims=True)
