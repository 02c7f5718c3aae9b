"""Noise on actions and priors."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from rlax._core.arrays import at_least_single
from rlax._core.contracts import shapes
from rlax._core.errors import check_above, check_range
from rlax._core.gradients import safe_sqrt
from rlax._core.types import known_arrays

Array = jax.Array


def _normal(key: Array, like: Array) -> Array:
    """Standard normal noise; half precision gets the float32 draw, rounded."""
    dtype = at_least_single(like.dtype)
    return jax.random.normal(key, like.shape, dtype).astype(like.dtype)


@shapes("action[...]")
def add_gaussian_noise(key: Array, action: ArrayLike, stddev: ArrayLike) -> Array:
    """Adds independent Gaussian noise to a continuous action.

    Args:
      key: A random key.
      action: `[A]`, or `[..., A]` for a batch.
      stddev: Standard deviation, not negative: one number, or an array that broadcasts.

    Returns:
      Of the action's shape.

    Raises:
      ContractError: If stddev is negative.

    Example:
      >>> rlax.add_gaussian_noise(jax.random.key(0), [0.0, 0.0], 0.1).shape
      (2,)
    """
    check_range("add_gaussian_noise", "stddev", stddev, 0, jnp.inf)
    (action,) = known_arrays(action)
    return action + _normal(key, action) * stddev


@shapes("action[D], noise_tm1[D]")
def add_ornstein_uhlenbeck_noise(
    key: Array,
    action: ArrayLike,
    noise_tm1: ArrayLike,
    damping: float,
    stddev: ArrayLike,
) -> Array:
    """Adds noise that is correlated in time to a continuous action.

        noise[t] = (1 - damping) noise[t-1] + stddev ε

    Args:
      key: A random key.
      action: `[A]`.
      noise_tm1: The noise of the step before, `[A]`: the last result minus its action.
      damping: In [0, 1]; 1 forgets at once.
      stddev: Standard deviation of the new noise ε, not negative.

    Returns:
      `[A]`.

    Raises:
      ContractError: If damping is out of [0, 1], or stddev negative.

    Source: Lillicrap et al. 2016, Continuous Control with Deep Reinforcement Learning,
    arXiv 1509.02971, section 7.

    Example:
      >>> key, damping = jax.random.key(0), 0.25
      >>> print(rlax.add_ornstein_uhlenbeck_noise(key, [2.0], [1.0], damping, 0.0))
      [2.75]
    """
    check_range("add_ornstein_uhlenbeck_noise", "damping", damping, 0, 1)
    check_range("add_ornstein_uhlenbeck_noise", "stddev", stddev, 0, jnp.inf)
    action, noise_tm1 = known_arrays(action, noise_tm1)
    fresh = _normal(key, action) * stddev
    return action + (1 - damping) * noise_tm1 + fresh


@shapes("prior:real[B A]")
def add_dirichlet_noise(
    key: Array, prior: ArrayLike, dirichlet_alpha: float, dirichlet_fraction: float
) -> Array:
    """Mixes Dirichlet noise into a policy.

        (1 - fraction) prior + fraction Dirichlet(alpha)

    Args:
      key: A random key.
      prior: Action probabilities, `[B, A]`.
      dirichlet_alpha: Concentration, above 0; small values pick few actions.
      dirichlet_fraction: Weight of the noise, in [0, 1].

    Returns:
      `[B, A]`.

    Raises:
      ContractError: If dirichlet_alpha is negative, or dirichlet_fraction out of
        [0, 1].

    Source: Silver et al. 2017, Mastering the Game of Go without Human Knowledge.

    Example:
      >>> mixed = rlax.add_dirichlet_noise(jax.random.key(0), [[0.5, 0.5]], 0.3, 0.25)
      >>> print(mixed.sum().round(2))
      1.0
    """
    check_range("add_dirichlet_noise", "dirichlet_alpha", dirichlet_alpha, 0, jnp.inf)
    check_range("add_dirichlet_noise", "dirichlet_fraction", dirichlet_fraction, 0, 1)
    (prior,) = known_arrays(prior)
    batch, actions = prior.shape
    dtype = at_least_single(prior.dtype)  # as in _normal
    alpha = jnp.full((actions,), dirichlet_alpha, dtype)
    noise = jax.random.dirichlet(key, alpha, (batch,), dtype).astype(prior.dtype)
    return (1 - dirichlet_fraction) * prior + dirichlet_fraction * noise


@shapes("noise_tm1[D], theta:positive[], sigma:positive[], dt:positive[], mean[]|[D]")
def ornstein_uhlenbeck_step(
    key: Array,
    noise_tm1: ArrayLike,
    theta: ArrayLike = 0.15,
    sigma: ArrayLike = 0.2,
    dt: ArrayLike = 0.01,
    mean: ArrayLike = 0.0,
) -> Array:
    """Moves noise that returns to its mean by one step of time.

        n + θ (mean - n) dt + σ √(dt) ε,    ε ~ N(0, 1)

    Args:
      key: A random key.
      noise_tm1: n, the noise of the step before, `[D]`.
      theta: θ, how fast it returns, not negative, `[]`.
      sigma: σ, not negative, `[]`.
      dt: Length of the step, not negative, `[]`.
      mean: One number or `[D]`.

    Returns:
      The noise of this step, `[D]`.

    Gradient:
      Reaches all floats.

    Raises:
      ContractError: If theta, sigma or dt is negative.

    Source: Lillicrap et al. 2016, Continuous Control with Deep Reinforcement Learning,
    arXiv 1509.02971, section 7.

    Example:
      >>> print(rlax.ornstein_uhlenbeck_step(jax.random.key(0), [2.0], 0.5, 0.0, 1.0))
      [1.]
    """
    noise_tm1, theta, sigma, dt, mean = known_arrays(noise_tm1, theta, sigma, dt, mean)
    fresh = jax.random.normal(key, noise_tm1.shape, noise_tm1.dtype)
    drift = theta * (mean - noise_tm1) * dt
    return noise_tm1 + drift + sigma * safe_sqrt(dt) * fresh


@shapes("stddev:positive[], distance:positive[], target_distance:positive[]")
def adapt_parameter_noise(
    stddev: ArrayLike,
    distance: ArrayLike,
    target_distance: ArrayLike,
    factor: float = 1.01,
) -> Array:
    """Adapts the noise on a policy's parameters to how far it moves the actions.

        stddev factor where distance <= target_distance, else stddev / factor

    Args:
      stddev: Standard deviation of the noise on the parameters, `[]`.
      distance: Between the actions with and without the noise, `[]`.
      target_distance: The distance wanted, `[]`.
      factor: Above 0.

    Returns:
      The new standard deviation, `[]`.

    Gradient:
      Reaches stddev.

    Raises:
      ContractError: If an argument is negative, or factor not above 0.

    Source: Plappert et al. 2018, Parameter Space Noise for Exploration, arXiv
    1706.01905, equation 8.

    Example:
      >>> print(rlax.adapt_parameter_noise(1.0, 0.1, 0.2, factor=2.0))
      2.0
    """
    check_above("adapt_parameter_noise", "factor", factor)
    stddev, distance, wanted = known_arrays(stddev, distance, target_distance)
    return jnp.where(distance <= wanted, stddev * factor, stddev / factor)
