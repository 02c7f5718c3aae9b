"""Divergences and ratios between policies."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from rlax._core import ratios
from rlax._core.arrays import fresh, pick
from rlax._core.contracts import shapes
from rlax._core.errors import check_choice, check_range
from rlax._core.probabilities import kl_divergence
from rlax._core.types import known_arrays

Array = jax.Array


@shapes("pi_logits_t:real[... A], mu_logits_t:real[... A], a_t:index(A)[...]")
def categorical_importance_sampling_ratios(
    pi_logits_t: ArrayLike, mu_logits_t: ArrayLike, a_t: ArrayLike
) -> Array:
    """Computes π(a) / μ(a) from the logits of both policies.

    Args:
      pi_logits_t: Logits of the target policy, `[..., A]`.
      mu_logits_t: Logits of the behaviour policy, `[..., A]`.
      a_t: Action taken, in 0 .. A - 1, `[...]`; out of range gives NaN under jit.

    Returns:
      `[...]`.

    Gradient:
      Reaches the logits of both.

    Example:
      >>> ratios = rlax.categorical_importance_sampling_ratios
      >>> print(ratios([0.0, 0.0], jnp.log(jnp.array([0.25, 0.75])), 0).round(2))
      2.0
    """
    log_pi = pick(jax.nn.log_softmax(pi_logits_t), a_t)
    return jnp.exp(log_pi - pick(jax.nn.log_softmax(mu_logits_t), a_t))


@shapes("p_logits:real[... A], q_logits:real[... A]")
def categorical_kl_divergence(
    p_logits: ArrayLike, q_logits: ArrayLike, temperature: float = 1.0
) -> Array:
    """Computes KL(p || q) of two categorical distributions.

    Args:
      p_logits: `[..., A]`.
      q_logits: `[..., A]`.
      temperature: Divides both logits, above 0.

    Returns:
      `[...]`; an action of probability 0 under p adds 0.

    Gradient:
      Reaches the logits of both.

    Raises:
      ContractError: If temperature is negative.

    Source: Kullback and Leibler 1951, On Information and Sufficiency, doi
    10.1214/aoms/1177729694.

    Example:
      >>> print(rlax.categorical_kl_divergence([0.0, 0.0], [0.0, 1.0]).round(2))
      0.12
    """
    check_range("categorical_kl_divergence", "temperature", temperature, 0, jnp.inf)
    return kl_divergence(p_logits / temperature, q_logits / temperature)


@shapes(
    "mu_0:real[... D], sigma_0:real[]|[... D], mu_1:real[... D], sigma_1:real[]|[... D]"
)
def multivariate_normal_kl_divergence(
    mu_0: ArrayLike, sigma_0: ArrayLike, mu_1: ArrayLike, sigma_1: ArrayLike
) -> Array:
    """Computes KL(N(mu_0, sigma_0²) || N(mu_1, sigma_1²)) of diagonal Gaussians.

    Args:
      mu_0: `[..., D]`.
      sigma_0: Standard deviation, one number or `[..., D]`, above 0.
      mu_1: `[..., D]`.
      sigma_1: As sigma_0.

    Returns:
      `[...]`.

    Gradient:
      Reaches all inputs.

    Example:
      >>> print(rlax.multivariate_normal_kl_divergence([0.0], 1.0, [1.0], 1.0))
      0.5
    """
    mu_0, sigma_0, mu_1, sigma_1 = known_arrays(mu_0, sigma_0, mu_1, sigma_1)
    ratio = sigma_0 / sigma_1
    distance = (mu_1 - mu_0) / sigma_1
    per_dimension = jnp.square(ratio) + jnp.square(distance) - 1 - 2 * jnp.log(ratio)
    return 0.5 * jnp.sum(per_dimension, axis=-1)


def entropy_of(probs: Array) -> Array:
    """-Σ p log p over the last axis."""
    # log 1 in place of log 0, whose gradient would be infinite.
    return -jnp.sum(probs * jnp.log(jnp.where(probs == 0, 1, probs)), axis=-1)


@jax.custom_jvp
def _k3(d: Array) -> Array:
    """exp(-d) - 1 + d, which would lose its digits near 0 if written so.

    As `finite_exp`, it ends near the largest number of the dtype, with gradient 0.
    """
    lowest = -ratios.largest_exponent(d.dtype)
    d = jnp.where(d < lowest, lowest, d)
    near = jnp.abs(d) < 0.05
    x = jnp.where(near, d, 0)
    series = 1.0
    for n in range(6, 2, -1):
        series = 1 - x / n * series
    return jnp.where(near, 0.5 * jnp.square(x) * series, jnp.expm1(-d) + d)


@_k3.defjvp
def _k3_jvp(primals, tangents):
    (d,), (d_dot,) = primals, tangents
    slope = jnp.where(d < -ratios.largest_exponent(d.dtype), 0, -jnp.expm1(-d))
    return _k3(d), slope * d_dot


# Of d = log p(x) - log q(x), x drawn from p.
_SAMPLED_KL = {
    "k1": lambda d: d,
    "k2": lambda d: 0.5 * jnp.square(d),
    "k3": lambda d: _k3(fresh(d)),
    "abs": jnp.abs,
}


@shapes("log_p[...], log_q[...]")
def sampled_kl_divergence(
    log_p: ArrayLike,
    log_q: ArrayLike,
    estimator: str = "k3",
    *,
    gradient_estimator: str | None = None,
) -> Array:
    """Estimates KL(p || q) from one sample of p.

        k1 = d,    k2 = ½ d²,    k3 = exp(-d) - 1 + d,    d = log p - log q

    The mean of k1 and of k3 over samples is the divergence. k3 is never negative. The
    mean gradient of k2 is that of the divergence where p is the policy that sampled.

    Args:
      log_p: Log probability of the sample under the policy that drew it, `[...]`.
      log_q: Its log probability under the other policy, `[...]`.
      estimator: "k1", "k2", "k3" or "abs", which is |d|.
      gradient_estimator: The estimator whose gradient the result has. Default:
        `estimator`.

    Returns:
      `[...]`.

    Gradient:
      Reaches log_p and log_q.

    Raises:
      ContractError: If an estimator has another name.

    Source: Schulman 2020, Approximating KL Divergence; on gradients: Tang and Munos
    2025, On a few pitfalls in KL divergence gradient estimation for RL, arXiv
    2506.09477.

    Example:
      >>> print(rlax.sampled_kl_divergence(log_p=0.0, log_q=-1.0).round(2))
      0.37
    """
    log_p, log_q = known_arrays(log_p, log_q)
    d = log_p - log_q
    value = sampled_kl("sampled_kl_divergence", d, estimator)
    if gradient_estimator is None:
        return value
    other = sampled_kl(
        "sampled_kl_divergence", d, gradient_estimator, "gradient_estimator"
    )
    change = other - jax.lax.stop_gradient(other)  # 0, with the gradient of the other
    return jax.lax.stop_gradient(value) + change


def sampled_kl(
    op: str, log_ratio: Array, estimator: str, name: str = "estimator"
) -> Array:
    """One-sample estimates of KL(p || q) from samples of p.

        k1 = d,    k2 = ½ d²,    k3 = exp(-d) - 1 + d,    abs = |d|

    Args:
      op: The calling op, for errors.
      log_ratio: d = log p(x) - log q(x), `[...]`.
      estimator: "k1", "k2", "k3" or "abs".
      name: The argument that holds the estimator, for errors.

    Returns:
      `[...]`.

    Gradient:
      Reaches log_ratio.

    Source: Schulman 2020, Approximating KL Divergence.
    """
    check_choice(op, name, estimator, _SAMPLED_KL)
    return _SAMPLED_KL[estimator](log_ratio)
