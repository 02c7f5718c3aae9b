"""Distributions over actions within bounds: the squashed Gaussian and the Beta."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import betaln, digamma
from jax.typing import ArrayLike

from rlax._core.arrays import at_least_single
from rlax._core.contracts import shapes
from rlax._core.errors import check, is_host
from rlax._core.types import known_arrays
from rlax._policies.continuous import normal_log_density

Array = jax.Array


def _check_bounds(op: str, min_action: ArrayLike, max_action: ArrayLike) -> None:
    if is_host(min_action) and is_host(max_action):
        check(
            bool(np.all(np.asarray(min_action) < np.asarray(max_action))),
            f"{op}: min_action must be below max_action, got {min_action} and "
            f"{max_action}.",
        )


def _bounds(low: ArrayLike, high: ArrayLike, like: Array) -> tuple[Array, Array]:
    """The lowest action and the range, with leading axes for like."""

    def aligned(x: ArrayLike) -> Array:
        x = jnp.asarray(x, like.dtype)
        return x.reshape((1,) * (like.ndim - x.ndim) + x.shape) if x.ndim else x

    low, high = aligned(low), aligned(high)
    return low, high - low


class TanhGaussian(NamedTuple):
    """The functions of `tanh_gaussian`.

    Attributes:
      sample: (key, mu, sigma) -> actions `[..., D]`.
      logprob: (sample, mu, sigma) -> log density `[...]`.
      sample_and_logprob: (key, mu, sigma) -> both, without the inverse of tanh.
      mode: (mu, sigma) -> the squashed mean `[..., D]`.

    Example:
      >>> print(rlax.tanh_gaussian(0.0, 2.0).mode([0.0], [1.0]))
      [1.]
    """

    sample: Callable[..., Array]
    logprob: Callable[..., Array]
    sample_and_logprob: Callable[..., tuple[Array, Array]]
    mode: Callable[..., Array]


def tanh_gaussian(
    min_action: ArrayLike = -1.0, max_action: ArrayLike = 1.0
) -> TanhGaussian:
    """Makes a Gaussian whose samples tanh squashes into the bounds of the actions.

        log p = Σ_d log N(u; μ, σ) - log(1 - tanh(u)²) - log((max - min) / 2)

    with u the inverse of tanh of the action scaled to [-1, 1]. log(1 - tanh(u)²) is
    computed as 2 (log 2 - u - softplus(-2 u)), which stays finite.

    Args:
      min_action: Lower bounds, one number or `[D]`.
      max_action: Upper bounds, one number or `[D]`.

    Returns:
      A `TanhGaussian`: functions of mu `[..., D]` and sigma `[]` or `[..., D]`, the
      mean and standard deviation before squashing. (`squashed_gaussian` squashes
      those too.) An action at a bound counts as one just within.

    Raises:
      ContractError: If min_action isn't below max_action, or sigma is negative; for a
        density also if it is 0.

    Source: Haarnoja et al. 2018, Soft Actor-Critic Algorithms and Applications, arXiv
    1812.05905, appendix C.

    Example:
      >>> policy = rlax.tanh_gaussian()
      >>> a, log_p = policy.sample_and_logprob(jax.random.key(0), jnp.zeros(3), 1.0)
      >>> a.shape, log_p.shape
      ((3,), ())
    """
    _check_bounds("tanh_gaussian", min_action, max_action)
    drawable = "mu:real[... D], sigma:positive[]|[... D]"
    dense = drawable.replace("positive", "above")  # without a spread, no density

    def squashed(raw: Array) -> Array:
        low, width = _bounds(min_action, max_action, raw)
        return low + width * (jnp.tanh(raw) + 1) / 2

    def drawn(key: Array, mu: ArrayLike, sigma: ArrayLike) -> Array:
        mu, sigma = known_arrays(mu, sigma)
        return mu + sigma * jax.random.normal(key, mu.shape, mu.dtype)

    def log_density(raw: Array, mu: ArrayLike, sigma: ArrayLike) -> Array:
        _, width = _bounds(min_action, max_action, raw)
        log_slope = 2 * (math.log(2) - raw - jax.nn.softplus(-2 * raw))
        log_slope = log_slope + jnp.log(width / 2)
        return jnp.sum(normal_log_density(raw, mu, sigma) - log_slope, axis=-1)

    @shapes(drawable, "tanh_gaussian().sample")
    def sample(key: Array, mu: ArrayLike, sigma: ArrayLike) -> Array:
        return squashed(drawn(key, mu, sigma))

    @shapes("sample:real[... D]," + dense, "tanh_gaussian().logprob")
    def logprob(sample: ArrayLike, mu: ArrayLike, sigma: ArrayLike) -> Array:
        (sample,) = known_arrays(sample)
        low, width = _bounds(min_action, max_action, sample)
        limit = 1 - float(jnp.finfo(sample.dtype).eps)
        unit = jnp.clip(2 * (sample - low) / width - 1, -limit, limit)
        return log_density(jnp.arctanh(unit), mu, sigma)

    @shapes(dense, "tanh_gaussian().sample_and_logprob")
    def sample_and_logprob(
        key: Array, mu: ArrayLike, sigma: ArrayLike
    ) -> tuple[Array, Array]:
        raw = drawn(key, mu, sigma)
        return squashed(raw), log_density(raw, mu, sigma)

    @shapes(drawable, "tanh_gaussian().mode")
    def mode(mu: ArrayLike, sigma: ArrayLike) -> Array:
        return squashed(known_arrays(mu)[0])

    return TanhGaussian(sample, logprob, sample_and_logprob, mode)


class ScaledBeta(NamedTuple):
    """The functions of `scaled_beta`.

    Attributes:
      sample: (key, alpha, beta) -> actions `[..., D]`.
      logprob: (sample, alpha, beta) -> log density `[...]`.
      entropy: (alpha, beta) -> entropy `[...]`.
      kl: (alpha_0, beta_0, alpha_1, beta_1) -> KL of the first to the second `[...]`.
      mean: (alpha, beta) -> `[..., D]`.

    Example:
      >>> print(rlax.scaled_beta().mean([1.0], [3.0]))
      [0.25]
    """

    sample: Callable[..., Array]
    logprob: Callable[..., Array]
    entropy: Callable[..., Array]
    kl: Callable[..., Array]
    mean: Callable[..., Array]


def scaled_beta(min_action: ArrayLike = 0.0, max_action: ArrayLike = 1.0) -> ScaledBeta:
    """Makes the Beta distribution of independent actions within bounds.

    Args:
      min_action: Lower bounds, one number or `[D]`.
      max_action: Upper bounds, one number or `[D]`.

    Returns:
      A `ScaledBeta`: functions of alpha and beta, above 0, `[..., D]`. Sums over D. An
      action at a bound counts as one just within.

    Raises:
      ContractError: If min_action isn't below max_action, or a parameter isn't above 0.

    Source: Chou, Maturana and Scherer 2017, Improving Stochastic Policy Gradients in
    Continuous Control with Deep Reinforcement Learning using the Beta Distribution.

    Example:
      >>> policy = rlax.scaled_beta(0.0, 2.0)
      >>> print(policy.entropy([1.0], [1.0]).round(2))  # log 2
      0.69
    """
    _check_bounds("scaled_beta", min_action, max_action)
    parameters = "alpha:above[... D], beta:above[... D]"

    def wide(*arrays: ArrayLike) -> tuple[list[Array], Array]:
        """The arrays in single precision at least, and one in the dtype to return."""
        known = known_arrays(*arrays)
        dtype = at_least_single(known[0].dtype)
        return [x.astype(dtype) for x in known], known[0]

    @shapes(parameters, "scaled_beta().sample")
    def sample(key: Array, alpha: ArrayLike, beta: ArrayLike) -> Array:
        (a, b), like = wide(alpha, beta)
        low, width = _bounds(min_action, max_action, a)
        return (low + width * jax.random.beta(key, a, b)).astype(like.dtype)

    @shapes("sample:real[... D]," + parameters, "scaled_beta().logprob")
    def logprob(sample: ArrayLike, alpha: ArrayLike, beta: ArrayLike) -> Array:
        (x, a, b), like = wide(sample, alpha, beta)
        low, width = _bounds(min_action, max_action, x)
        eps = float(jnp.finfo(x.dtype).eps)
        unit = jnp.clip((x - low) / width, eps, 1 - eps)
        each = (a - 1) * jnp.log(unit) + (b - 1) * jnp.log1p(-unit) - betaln(a, b)
        return jnp.sum(each - jnp.log(width), axis=-1).astype(like.dtype)

    @shapes(parameters, "scaled_beta().entropy")
    def entropy(alpha: ArrayLike, beta: ArrayLike) -> Array:
        (a, b), like = wide(alpha, beta)
        _, width = _bounds(min_action, max_action, a)
        each = betaln(a, b) - (a - 1) * digamma(a) - (b - 1) * digamma(b)
        each = each + (a + b - 2) * digamma(a + b) + jnp.log(width)
        return jnp.sum(each, axis=-1).astype(like.dtype)

    @shapes(
        "alpha_0:above[... D], beta_0:above[... D], alpha_1:above[... D],"
        "beta_1:above[... D]",
        "scaled_beta().kl",
    )
    def kl(
        alpha_0: ArrayLike, beta_0: ArrayLike, alpha_1: ArrayLike, beta_1: ArrayLike
    ) -> Array:
        (a0, b0, a1, b1), like = wide(alpha_0, beta_0, alpha_1, beta_1)
        each = betaln(a1, b1) - betaln(a0, b0)
        each = each + (a0 - a1) * digamma(a0) + (b0 - b1) * digamma(b0)
        each = each + (a1 - a0 + b1 - b0) * digamma(a0 + b0)
        return jnp.sum(each, axis=-1).astype(like.dtype)

    @shapes(parameters, "scaled_beta().mean")
    def mean(alpha: ArrayLike, beta: ArrayLike) -> Array:
        alpha, beta = known_arrays(alpha, beta)
        low, width = _bounds(min_action, max_action, alpha)
        return low + width * alpha / (alpha + beta)

    return ScaledBeta(sample, logprob, entropy, kl, mean)
