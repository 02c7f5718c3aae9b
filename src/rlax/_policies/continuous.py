"""Gaussian distributions over continuous actions."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from rlax._core.contracts import shapes
from rlax._core.errors import ContractError, check_range
from rlax._core.types import known_arrays
from rlax._policies.divergences import multivariate_normal_kl_divergence

Array = jax.Array

_LOG_2PI = math.log(2 * math.pi)
_CONTRACT = "mu:real[... D], sigma:real[]|[... D]"


class ActionSpec(Protocol):
    """The bounds of actions, as dm_env's bounded specs hold them."""

    @property
    def minimum(self) -> ArrayLike:
        """Lower bounds, one number or `[D]`."""
        ...

    @property
    def maximum(self) -> ArrayLike:
        """Upper bounds, one number or `[D]`."""
        ...


class ContinuousDistribution(NamedTuple):
    """The functions of one family of distributions over actions `[..., D]`.

    Attributes:
      sample: (key, mu, sigma) -> actions.
      prob: (sample, mu, sigma) -> density.
      logprob: (sample, mu, sigma) -> log density.
      entropy: (mu, sigma) -> entropy.
      kl_to_standard_normal: (mu, sigma) -> KL to N(0, 1).
      kl: (mu_0, sigma_0, mu_1, sigma_1) -> KL of the first to the second.
    """

    sample: Callable[..., Array]
    prob: Callable[..., Array]
    logprob: Callable[..., Array]
    entropy: Callable[..., Array]
    kl_to_standard_normal: Callable[..., Array]
    kl: Callable[..., Array]


@shapes(_CONTRACT, "a Gaussian's sample")
def _normal_sample(key: Array, mu: ArrayLike, sigma: ArrayLike) -> Array:
    mu, sigma = known_arrays(mu, sigma)
    dtype = jnp.result_type(mu, sigma)
    return mu + sigma * jax.random.normal(key, mu.shape, dtype)


@shapes(
    "sample:real[... D], mu:real[... D], sigma:real[]|[... D]", "a Gaussian's logprob"
)
def _normal_logprob(sample: ArrayLike, mu: ArrayLike, sigma: ArrayLike) -> Array:
    (sample,) = known_arrays(sample)
    per_dimension = normal_log_density(sample, mu, sigma)
    return jnp.sum(jnp.broadcast_to(per_dimension, sample.shape), axis=-1)


def normal_log_density(x: ArrayLike, mu: ArrayLike, sigma: ArrayLike) -> Array:
    """Log N(x; mu, sigma²), elementwise."""
    x, mu, sigma = known_arrays(x, mu, sigma)
    return -0.5 * (jnp.square((x - mu) / sigma) + 2 * jnp.log(sigma) + _LOG_2PI)


@shapes(_CONTRACT, "a Gaussian's entropy")
def _normal_entropy(mu: ArrayLike, sigma: ArrayLike) -> Array:
    mu, sigma = known_arrays(mu, sigma)
    per_dimension = 0.5 * (1 + _LOG_2PI) + jnp.log(jnp.broadcast_to(sigma, mu.shape))
    return jnp.sum(per_dimension, axis=-1)


@shapes(_CONTRACT, "a Gaussian's kl_to_standard_normal")
def _kl_to_standard_normal(mu: ArrayLike, sigma: ArrayLike) -> Array:
    ones = jnp.ones_like(mu)
    return multivariate_normal_kl_divergence(mu, sigma, 0 * ones, ones)


def gaussian_diagonal(sigma: ArrayLike | None = None) -> ContinuousDistribution:
    """Makes the Gaussian of independent dimensions.

    Args:
      sigma: Standard deviation, above 0: one number or `[..., D]`. Default: passed to
        each function.

    Returns:
      A `ContinuousDistribution`; a sigma passed to its functions takes precedence.

    Raises:
      ContractError: If sigma is negative.
      TypeError: If sigma is given neither here nor to a function.

    Example:
      >>> print(rlax.gaussian_diagonal(1.0).kl([1.0], None, [0.0], None))
      0.5
    """
    fixed = sigma
    check_range("gaussian_diagonal", "sigma", fixed, 0, jnp.inf)

    def known(sigma: ArrayLike | None) -> ArrayLike:
        sigma = fixed if sigma is None else sigma
        if sigma is None:
            raise TypeError(
                "gaussian_diagonal: sigma is missing; write gaussian_diagonal(0.5) or "
                "pass sigma=0.5 to its functions."
            )
        check_range("gaussian_diagonal", "sigma", sigma, 0, jnp.inf)
        return sigma

    def sample(key: Array, mu: ArrayLike, sigma: ArrayLike | None = None) -> Array:
        return _normal_sample(key, mu, known(sigma))

    def prob(sample: ArrayLike, mu: ArrayLike, sigma: ArrayLike | None = None) -> Array:
        return jnp.exp(logprob(sample, mu, sigma))

    def logprob(
        sample: ArrayLike, mu: ArrayLike, sigma: ArrayLike | None = None
    ) -> Array:
        return _normal_logprob(sample, mu, known(sigma))

    def entropy(mu: ArrayLike, sigma: ArrayLike | None = None) -> Array:
        return _normal_entropy(mu, known(sigma))

    def kl_to_standard_normal(mu: ArrayLike, sigma: ArrayLike | None = None) -> Array:
        return _kl_to_standard_normal(mu, known(sigma))

    def kl(
        mu_0: ArrayLike, sigma_0: ArrayLike, mu_1: ArrayLike, sigma_1: ArrayLike
    ) -> Array:
        return multivariate_normal_kl_divergence(
            mu_0, known(sigma_0), mu_1, known(sigma_1)
        )

    return ContinuousDistribution(
        sample, prob, logprob, entropy, kl_to_standard_normal, kl
    )


def squashed_gaussian(
    sigma_min: float = -4, sigma_max: float = 0.0
) -> ContinuousDistribution:
    """Makes a Gaussian whose samples tanh squashes into the bounds of the actions.

    Its functions take a network's outputs: the mean is tanh(mu), and tanh(sigma) is
    scaled to a log standard deviation in [sigma_min, sigma_max].

    Args:
      sigma_min: Lower bound of the logarithm of the standard deviation.
      sigma_max: Upper bound of it.

    Returns:
      A `ContinuousDistribution`. The last argument of its sample, prob and logprob is
      an action_spec with `minimum` and `maximum`; None stands for [-1, 1]. Entropy and
      divergences are those of the Gaussian before squashing.

    Raises:
      ContractError: If sigma_min exceeds sigma_max.

    Source: Haarnoja et al. 2018, Soft Actor-Critic, arXiv 1801.01290, appendix C.

    Example:
      >>> mu, sigma = jnp.zeros(3), jnp.zeros(3)
      >>> d = rlax.squashed_gaussian()
      >>> d.sample(jax.random.key(0), mu, sigma, None).shape
      (3,)
    """
    if sigma_min > sigma_max:
        raise ContractError(
            f"squashed_gaussian: sigma_min must not exceed sigma_max, got {sigma_min} "
            f"and {sigma_max}."
        )

    def mean(mu: ArrayLike) -> Array:
        return jnp.tanh(jnp.asarray(mu))

    def deviation(sigma: ArrayLike) -> Array:
        unit = 0.5 * (jnp.tanh(jnp.asarray(sigma)) + 1)
        return jnp.exp(sigma_min + (sigma_max - sigma_min) * unit)

    def bounds(action_spec: ActionSpec | None, like: Array) -> tuple[Array, Array]:
        """Half the range of the actions, and their minimum."""
        if action_spec is None:
            return jnp.ones((), like.dtype), -jnp.ones((), like.dtype)
        low, high = (
            jnp.asarray(x, like.dtype).reshape(
                (1,) * (like.ndim - jnp.ndim(x)) + jnp.shape(x)
            )
            for x in (action_spec.minimum, action_spec.maximum)
        )
        return 0.5 * (high - low), low

    def sample(
        key: Array, mu: ArrayLike, sigma: ArrayLike, action_spec: ActionSpec | None
    ) -> Array:
        action = jnp.tanh(_normal_sample(key, mean(mu), deviation(sigma)))
        half, low = bounds(action_spec, action)
        return half * (action + 1) + low

    def prob(
        sample: ArrayLike,
        mu: ArrayLike,
        sigma: ArrayLike,
        action_spec: ActionSpec | None,
    ) -> Array:
        return jnp.exp(logprob(sample, mu, sigma, action_spec))

    def logprob(
        sample: ArrayLike,
        mu: ArrayLike,
        sigma: ArrayLike,
        action_spec: ActionSpec | None,
    ) -> Array:
        sample = jnp.asarray(sample)
        if not jnp.issubdtype(sample.dtype, jnp.floating):
            sample = sample.astype(float)
        half, low = bounds(action_spec, sample)
        raw = jnp.arctanh((sample - low) / half - 1)
        # log of d action / d raw: half the range times 1 - tanh², without underflow.
        log_slope = 2 * (math.log(2) - raw - jax.nn.softplus(-2 * raw)) + jnp.log(half)
        return _normal_logprob(raw, mean(mu), deviation(sigma)) - jnp.sum(
            jnp.broadcast_to(log_slope, raw.shape), axis=-1
        )

    def entropy(mu: ArrayLike, sigma: ArrayLike) -> Array:
        return _normal_entropy(mean(mu), deviation(sigma))

    def kl_to_standard_normal(mu: ArrayLike, sigma: ArrayLike) -> Array:
        return _kl_to_standard_normal(mean(mu), deviation(sigma))

    def kl(
        mu_0: ArrayLike, sigma_0: ArrayLike, mu_1: ArrayLike, sigma_1: ArrayLike
    ) -> Array:
        return multivariate_normal_kl_divergence(
            mean(mu_0), deviation(sigma_0), mean(mu_1), deviation(sigma_1)
        )

    return ContinuousDistribution(
        sample, prob, logprob, entropy, kl_to_standard_normal, kl
    )
