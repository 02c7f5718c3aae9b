"""Quantile levels that are drawn (IQN) or learned (FQF)."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from rlax._core.arrays import at_least_single
from rlax._core.contracts import shapes
from rlax._core.errors import whole_number
from rlax._core.types import known_arrays

Array = jax.Array


@shapes("tau:unit[...]")
def quantile_embedding(
    tau: ArrayLike, num_cosines: int = 64, *, first: int = 0
) -> Array:
    """Embeds quantile levels as cosines, which a network takes.

        cos(π i τ),    i = first .. first + num_cosines - 1

    Args:
      tau: Levels in [0, 1], `[...]`.
      num_cosines: How many, at least 1.
      first: The first i, not negative: 0 in the paper, 1 in Dopamine.

    Returns:
      `[..., num_cosines]`.

    Gradient:
      Reaches tau.

    Raises:
      ContractError: If num_cosines is below 1, or first negative.

    Source: Dabney et al. 2018, Implicit Quantile Networks for Distributional
    Reinforcement Learning, arXiv 1806.06923, equation 4.

    Example:
      >>> print(rlax.quantile_embedding(0.5, 3).round(2))
      [ 1. -0. -1.]
    """
    op = "quantile_embedding"
    num_cosines = whole_number(op, "num_cosines", num_cosines)
    first = whole_number(op, "first", first, least=0)
    (tau,) = known_arrays(tau)
    dtype, wide = tau.dtype, at_least_single(tau.dtype)
    i = jnp.arange(first, first + num_cosines, dtype=wide)
    i, tau = i.reshape((1,) * tau.ndim + (-1,)), tau.astype(wide)[..., None]
    # Large angles would round: whole turns come off multiples of 1/4096, exactly.
    coarse = jnp.round(4096 * tau) / 4096
    turns = i * coarse - 2 * jnp.round(i * coarse / 2) + i * (tau - coarse)
    return jnp.cos(jnp.pi * turns).astype(dtype)


@shapes("logits[K]")
def fqf_fractions(logits: ArrayLike) -> tuple[Array, Array]:
    """Computes quantile levels, and those half way between, from a network's logits.

        τ[i] = Σ_(j<i) softmax(logits)[j],    τ̂[i] = (τ[i] + τ[i+1]) / 2

    Args:
      logits: `[K]`.

    Returns:
      (τ from 0 to exactly 1, `[K + 1]`; τ̂, `[K]`).

    Gradient:
      Reaches logits.

    Source: Yang et al. 2019, Fully Parameterized Quantile Function for Distributional
    Reinforcement Learning, arXiv 1911.02140, section 3.1.

    Example:
      >>> tau, tau_hat = rlax.fqf_fractions([0.0, 0.0])
      >>> print(tau, tau_hat)
      [0.  0.5 1. ] [0.25 0.75]
    """
    (logits,) = known_arrays(logits)
    wide = at_least_single(logits.dtype)
    inner = jnp.cumsum(jax.nn.softmax(logits.astype(wide)))[:-1]
    ends = jnp.zeros(1, wide), jnp.ones(1, wide)
    tau = jnp.concatenate([ends[0], jnp.minimum(inner, 1), ends[1]])
    tau_hat = (tau[:-1] + tau[1:]) / 2
    return tau.astype(logits.dtype), tau_hat.astype(logits.dtype)


@shapes("tau:unit[K+1], q_tau[K-1], q_tau_hat[K]")
def fqf_fraction_loss(tau: ArrayLike, q_tau: ArrayLike, q_tau_hat: ArrayLike) -> Array:
    """Computes a loss whose gradient moves quantile levels to where they fit best.

        Σ_(0<i<K) τ[i] (2 q(τ[i]) - q(τ̂[i]) - q(τ̂[i-1]))

    Its gradient is that of the Wasserstein distance between the quantile function and
    its steps; its value means nothing.

    Args:
      tau: Levels from 0 to 1 of `fqf_fractions`, `[K + 1]`.
      q_tau: Quantiles at the inner levels τ[1] .. τ[K-1], `[K - 1]`.
      q_tau_hat: Quantiles at the levels τ̂, `[K]`.

    Returns:
      The loss, `[]`.

    Gradient:
      Reaches tau.

    Source: Yang et al. 2019, arXiv 1911.02140, proposition 1 and equation 9.

    Example:
      >>> print(rlax.fqf_fraction_loss([0.0, 0.5, 1.0], [2.0], [1.0, 4.0]))
      -0.5
    """
    tau, q_tau, q_tau_hat = known_arrays(tau, q_tau, q_tau_hat)
    slope = 2 * q_tau - q_tau_hat[1:] - q_tau_hat[:-1]
    return jnp.sum(tau[1:-1] * jax.lax.stop_gradient(slope))
