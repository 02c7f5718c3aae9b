"""The von Mises distribution over angles."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.special import i0e, i1e
from jax.typing import ArrayLike

from rlax._core.arrays import at_least_single, fresh
from rlax._core.contracts import shapes
from rlax._core.types import known_arrays

Array = jax.Array

_LOG_2PI = math.log(2 * math.pi)


def _is_large(concentration: Array) -> tuple[Array, float]:
    """Where a series in 1 / κ is exact, as the ratio of Bessel functions is near 1."""
    limit = 500.0 if concentration.dtype == jnp.float64 else 16.0
    return concentration > limit, limit


class VonMises(NamedTuple):
    """The functions of `von_mises`.

    Attributes:
      sample: (key, loc, concentration) -> angles in [-π, π] `[...]`.
      logprob: (sample, loc, concentration) -> log density `[...]`.
      entropy: (loc, concentration) -> entropy `[...]`.

    Example:
      >>> print(f"{rlax.von_mises().entropy(0.0, 0.0):.2f}")  # log 2π
      1.84
    """

    sample: Callable[..., Array]
    logprob: Callable[..., Array]
    entropy: Callable[..., Array]


@jax.custom_jvp
def _log_i0e(concentration: Array) -> Array:
    """log(e^-κ I_0(κ))."""
    large, limit = _is_large(concentration)
    x = 1 / (8 * jnp.where(large, concentration, limit))
    series = x * (1 + x * (9 / 2 + x * (225 / 6 + x * (11025 / 24 + x * 893025 / 120))))
    small = jnp.log(i0e(jnp.where(large, 1, concentration)))
    return jnp.where(large, jnp.log1p(series) + 0.5 * jnp.log(4 * x / math.pi), small)


@jax.custom_jvp
def _mean_loss(concentration: Array) -> Array:
    """1 - I_1(κ) / I_0(κ), one minus the mean of cos(x - μ)."""
    large, limit = _is_large(concentration)
    x = 1 / jnp.where(large, concentration, limit)
    series = x * (1 / 2 + x * (1 / 8 + x * (1 / 8 + x * (25 / 128 + x * 13 / 32))))
    safe = jnp.where(large, 1, concentration)
    return jnp.where(large, series, 1 - i1e(safe) / i0e(safe))


@_log_i0e.defjvp
def _log_i0e_jvp(primals, tangents):
    return _log_i0e(*primals), -_mean_loss(*primals) * tangents[0]


@_mean_loss.defjvp
def _mean_loss_jvp(primals, tangents):
    (k,) = primals
    loss = _mean_loss(k)
    mean = 1 - loss
    # -d(I_1 / I_0) / dκ = (I_1 / I_0) / κ + (I_1 / I_0)² - 1
    positive = jnp.where(k > 0, k, 1)
    large, limit = _is_large(k)
    x = 1 / jnp.where(large, k, limit)
    series = -x * x * (1 / 2 + x * (1 / 4 + x * (3 / 8 + x * (25 / 32 + x * 65 / 32))))
    exact = jnp.where(k > 0, mean / positive, 0.5) + jnp.square(mean) - 1
    return loss, jnp.where(large, series, exact) * tangents[0]


def von_mises() -> VonMises:
    """Makes the von Mises distribution, a bell curve over angles.

        log p(x) = κ (cos(x - μ) - 1) - log(2π e^-κ I_0(κ))

    Returns:
      A `VonMises`: functions of loc μ and concentration κ, not negative, `[...]` each,
      elementwise. Up to a concentration of 1e4 and beyond they don't overflow.
      Samples pass a gradient to loc alone.

    Raises:
      ContractError: If concentration is negative.

    Source: von Mises 1918; samples: Best and Fisher 1979, Efficient Simulation of the
    von Mises Distribution, doi 10.2307/2346732.

    Example:
      >>> print(f"{rlax.von_mises().logprob(0.0, 0.0, 1.0):.2f}")
      -1.07
    """
    contract = "sample:real[...], loc:real[...], concentration:positive[...]"

    @shapes("loc:real[...], concentration:positive[...]", "von_mises().sample")
    def sample(key: Array, loc: ArrayLike, concentration: ArrayLike) -> Array:
        loc, concentration = known_arrays(loc, concentration)
        k = concentration.astype(at_least_single(concentration.dtype))
        angle = _offsets(key, jax.lax.stop_gradient(k)).astype(loc.dtype)
        return jnp.mod(loc + angle + math.pi, 2 * math.pi) - math.pi

    @shapes(contract, "von_mises().logprob")
    def logprob(sample: ArrayLike, loc: ArrayLike, concentration: ArrayLike) -> Array:
        sample, loc, concentration = known_arrays(sample, loc, concentration)
        wide = at_least_single(sample.dtype)
        k = fresh(concentration).astype(wide)
        # cos x - 1, which would round near 0.
        lost = -2 * jnp.square(jnp.sin((sample - loc).astype(wide) / 2))
        return (k * lost - _LOG_2PI - _log_i0e(k)).astype(sample.dtype)

    @shapes("loc:real[...], concentration:positive[...]", "von_mises().entropy")
    def entropy(loc: ArrayLike, concentration: ArrayLike) -> Array:
        loc, concentration = known_arrays(loc, concentration)
        k = fresh(concentration).astype(at_least_single(concentration.dtype))
        value = k * _mean_loss(k) + _LOG_2PI + _log_i0e(k)
        return value.astype(concentration.dtype)

    return VonMises(sample, logprob, entropy)


def _offsets(key: Array, concentration: Array) -> Array:
    """Angles around 0, accepted from a wrapped Cauchy distribution."""
    drawn = concentration <= 1e6  # a Gaussian beyond; NaN would never be accepted
    key, key_normal = jax.random.split(key)
    gaussian = jax.random.normal(key_normal, concentration.shape, concentration.dtype)
    gaussian = gaussian * jax.lax.rsqrt(jnp.where(drawn, 1, concentration))
    # At 0 there is no wrapped Cauchy distribution to draw from.
    k = jnp.clip(jnp.where(drawn, concentration, 1), 1e-6)
    root = 1 + jnp.sqrt(1 + 4 * jnp.square(k))
    rho = (root - jnp.sqrt(2 * root)) / (2 * k)
    # s - 1, of the proposal's parameter s; any s is exact, so small κ may be rough.
    excess = jnp.where(k < 0.1, 1 / k + k - 1, jnp.square(1 - rho) / (2 * rho))

    def propose(carry: tuple) -> tuple:
        key, angle, done = carry
        key, *keys = jax.random.split(key, 4)
        turn, height, side = (jax.random.uniform(i, k.shape, k.dtype) for i in keys)
        z = jnp.cos(jnp.pi * turn)
        lost = excess * (1 - z) / (excess + 1 + z)  # 1 - cos of the angle
        c = k * (excess + lost)
        accepted = jnp.log(c) + 1 - c >= jnp.log(1 - height)
        size = 2 * jnp.arcsin(jnp.sqrt(jnp.clip(lost / 2, 0, 1)))
        new = jnp.where(side < 0.5, -size, size)
        return key, jnp.where(done, angle, new), done | accepted

    start = (key, gaussian, ~drawn)
    return jax.lax.while_loop(lambda carry: ~carry[2].all(), propose, start)[1]
