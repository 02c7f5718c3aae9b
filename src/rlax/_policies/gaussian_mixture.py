"""Mixtures of Gaussians over continuous actions."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from rlax._core.contracts import shapes
from rlax._core.types import known_arrays
from rlax._policies.continuous import normal_log_density

Array = jax.Array

_CONTRACT = "logits:real[K], mu:real[K D], sigma:positive[K D]"


class GaussianMixture(NamedTuple):
    """The functions of `gaussian_mixture`.

    Attributes:
      sample: (key, logits, mu, sigma) -> an action `[D]`.
      logprob: (sample, logits, mu, sigma) -> log density `[]`.
      mean: (logits, mu, sigma) -> `[D]`.

    Example:
      >>> mu, sigma = jnp.array([[0.0], [2.0]]), jnp.ones((2, 1))
      >>> print(rlax.gaussian_mixture().mean([0.0, 0.0], mu, sigma))
      [1.]
    """

    sample: Callable[..., Array]
    logprob: Callable[..., Array]
    mean: Callable[..., Array]


@shapes(_CONTRACT, "gaussian_mixture().sample")
def _sample(key: Array, logits: ArrayLike, mu: ArrayLike, sigma: ArrayLike) -> Array:
    mu, sigma = known_arrays(mu, sigma)
    of_component, of_noise = jax.random.split(key)
    component = jax.random.categorical(of_component, logits)
    noise = jax.random.normal(of_noise, mu.shape[1:], mu.dtype)
    return mu[component] + sigma[component] * noise


@shapes(
    "sample:real[D]," + _CONTRACT.replace("positive", "above"),
    "gaussian_mixture().logprob",
)
def _logprob(
    sample: ArrayLike, logits: ArrayLike, mu: ArrayLike, sigma: ArrayLike
) -> Array:
    (sample,) = known_arrays(sample)
    each = jnp.sum(normal_log_density(sample[None], mu, sigma), axis=-1)
    return jax.nn.logsumexp(jax.nn.log_softmax(logits) + each)


@shapes(_CONTRACT, "gaussian_mixture().mean")
def _mean(logits: ArrayLike, mu: ArrayLike, sigma: ArrayLike) -> Array:
    (mu,) = known_arrays(mu)
    return jnp.sum(jax.nn.softmax(logits)[:, None] * mu, axis=0)


def gaussian_mixture() -> GaussianMixture:
    """Makes the mixture of K Gaussians of independent dimensions.

        log Σ_k softmax(logits)[k] Π_d N(x[d]; μ[k, d], σ[k, d])

    Returns:
      A `GaussianMixture`: functions of logits `[K]`, mu `[K, D]` and the standard
      deviations sigma `[K, D]`, above 0. A sample passes a gradient to the mu and
      sigma of its component.

    Raises:
      ContractError: If sigma is negative; for a density also if it is 0.

    Source: Bishop 1994, Mixture Density Networks.

    Example:
      >>> mu, sigma = jnp.zeros((2, 1)), jnp.ones((2, 1))
      >>> log_p = rlax.gaussian_mixture().logprob([0.0], [0.0, 0.0], mu, sigma)
      >>> print(f"{log_p:.2f}")
      -0.92
    """
    return GaussianMixture(_sample, _logprob, _mean)
