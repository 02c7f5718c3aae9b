"""Positions as vectors: learned ones, sines, and random Fourier features."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from haiku._core import Module, get_parameter, get_state
from haiku._layers.inputs import as_array, at_least_single, shapes_broadcast
from haiku.initializers import Initializer, RandomNormal, TruncatedNormal

__all__ = ["FourierFeatures", "LearnedPositions", "sinusoidal_positions"]


class LearnedPositions(Module):
    """Adds a learned vector for each position.

        y[t] = x[t] + embeddings[t]

    Args:
      max_length: Number of positions.
      w_init: Initializer of the vectors. Default: a truncated normal with standard
        deviation 0.02.
      name: Name of the module.

    Parameters:
      ``embeddings`` ``[max_length, D]``.

    Raises:
      ValueError: `max_length` is below 1.

    Source:
      Gehring et al., 2017, Convolutional Sequence to Sequence Learning,
      arXiv:1705.03122.

    Example:
      >>> x = jnp.ones([2, 5, 8])
      >>> model = hk.bind(hk.LearnedPositions, max_length=16).init(0, x)
      >>> model(x).shape, model.params["learned_positions"]["embeddings"].shape
      ((2, 5, 8), (16, 8))
    """

    def __init__(
        self,
        max_length: int,
        *,
        w_init: Initializer | None = None,
        name: str | None = None,
    ):
        super().__init__(name=name)
        if max_length < 1:
            raise ValueError(
                f"max_length of {self.module_name!r} must be at least 1, got "
                f"{max_length}."
            )
        self.max_length = max_length
        self.w_init = w_init or TruncatedNormal(0.02)

    def __call__(self, x: jax.Array, positions: jax.Array | None = None) -> jax.Array:
        """Adds the vectors.

        Args:
          x: ``[..., T, D]``.
          positions: Integers in ``[0, max_length)`` that broadcast to ``[..., T]``.
            Default: from 0 to ``T - 1``.

        Returns:
          An array with the shape of `x`; NaN at positions outside, where they are only
          known when the program runs.

        Raises:
          ValueError: `x` has fewer than two axes, there are more steps than
            positions, or `positions` aren't integers, don't fit or are outside.
        """
        x = as_array(x)
        if len(x.shape) < 2:
            raise ValueError(
                f"{self.module_name!r} needs an array of shape [..., T, D], got "
                f"{x.shape}."
            )
        steps, size = x.shape[-2:]
        shape = [self.max_length, size]
        embeddings = get_parameter("embeddings", shape, x.dtype, init=self.w_init)
        if positions is not None:
            added = self._chosen(embeddings, jnp.asarray(positions), x.shape)
        elif jax.export.is_symbolic_dim(steps):
            added = self._chosen(embeddings, jnp.arange(steps), x.shape)
        elif steps > self.max_length:
            raise ValueError(
                f"{self.module_name!r} has {self.max_length} positions, got {steps} "
                f"steps in {x.shape}: pass fewer, or build it with a larger max_length."
            )
        else:
            added = embeddings[:steps]
        return x + jnp.broadcast_to(added, x.shape)

    def _chosen(self, embeddings, positions, shape):
        if not jnp.issubdtype(positions.dtype, jnp.integer):
            raise ValueError(
                f"positions of {self.module_name!r} must be integers, got "
                f"{positions.dtype}."
            )
        fits = len(positions.shape) < len(shape)
        if not (fits and shapes_broadcast(positions.shape, shape[:-1])):
            raise ValueError(
                f"positions of {self.module_name!r} must broadcast to [..., T] = "
                f"{list(shape[:-1])}, got {list(positions.shape)}."
            )
        outside = (positions < 0) | (positions >= self.max_length)
        if not isinstance(outside, Tracer) and outside.any():
            raise ValueError(
                f"{self.module_name!r} has the positions 0 to {self.max_length - 1}, "
                f"got {positions[outside][0]}: build it with a larger max_length."
            )
        chosen = jnp.asarray(embeddings)[jnp.clip(positions, 0, self.max_length - 1)]
        outside = jnp.broadcast_to(jnp.expand_dims(outside, -1), chosen.shape)
        return jnp.where(outside, jnp.nan, chosen)


def sinusoidal_positions(
    positions: int | jax.Array,
    size: int,
    *,
    interleaved: bool = True,
    endpoint: bool = False,
    cosines_first: bool = False,
    base: float = 10000.0,
    dtype: Any = jnp.float32,
) -> jax.Array:
    """Positions as sines and cosines of `size / 2` frequencies.

        y[t, 2 i] = sin(t f[i]),  y[t, 2 i + 1] = cos(t f[i])
        f[i] = base ** (-i / n),  n = size / 2,  or n = size / 2 - 1 with the endpoint

    By default as Vaswani et al. have it. Others:

    ============================== ===============================================
    Whisper's encoder, DDPM        ``interleaved=False, endpoint=True``
    DiT, ADM: diffusion timesteps  ``interleaved=False, cosines_first=True``
    ============================== ===============================================

    Args:
      positions: The number of positions, which are 0 to ``T - 1``; or an array of
        them, integers or floats ``[...]``, for instance timesteps ``[B]``.
      size: Size of the vectors, even.
      interleaved: Whether a sine and the cosine of its frequency are neighbours; else
        all sines come first, then all cosines.
      endpoint: Whether the last frequency is ``1 / base`` exactly.
      cosines_first: Whether cosines come before sines.
      base: Ratio between the first frequency, 1, and the end.
      dtype: Dtype of the result.

    Returns:
      ``[T, size]``, or ``[..., size]``.

    Raises:
      ValueError: `size` is odd or too small, or `base` isn't above 0.

    Source:
      Vaswani et al., 2017, Attention Is All You Need, arXiv:1706.03762, section 3.5.

    Example:
      >>> print(hk.sinusoidal_positions(2, 4).round(1))
      [[0.  1.  0.  1. ]
       [0.8 0.5 0.  1. ]]
    """
    least = 4 if endpoint else 2
    if size < least or size % 2:
        raise ValueError(
            "size of hk.sinusoidal_positions must be an even number, at least "
            f"{least}, got {size}: half are sines, half cosines."
        )
    if not base > 0:
        raise ValueError(f"base of hk.sinusoidal_positions must be above 0: {base}.")
    wide = at_least_single(dtype)
    if isinstance(positions, (jax.Array, np.ndarray, list, tuple)):
        at = jnp.asarray(positions).astype(wide)
    else:
        at = jnp.arange(positions, dtype=wide)
    half = size // 2
    # Logarithms are rounded as in PyTorch's code, or at a timestep of 1000 a difference
    # in the last bit is one of 1e-4 radians.
    logs = np.arange(half, dtype=wide) * np.asarray(-math.log(base), wide)
    logs = logs / np.asarray(half - 1 if endpoint else half, wide)
    frequencies = jnp.asarray(np.exp(logs.astype(np.float64)), wide)
    angles = _outer(at, frequencies)
    pair = [jnp.sin(angles), jnp.cos(angles)]
    pair = pair[::-1] if cosines_first else pair
    if interleaved:
        return jnp.stack(pair, axis=-1).reshape(*at.shape, size).astype(dtype)
    return jnp.concatenate(pair, axis=-1).astype(dtype)


def _outer(x, y):
    shape = (*x.shape, y.shape[0])
    return jnp.broadcast_to(x[..., None], shape) * jnp.broadcast_to(y, shape)


class FourierFeatures(Module):
    """Coordinates as cosines and sines of random frequencies.

        y = [cos(2 π x w), sin(2 π x w)],    w ~ Normal(0, scale²)

    Networks of coordinates learn fine detail from them, and diffusion models take
    noise levels so: for one number per example pass ``x[:, None]``. Angles are computed
    in single precision at least.

    Args:
      size: Size of the output, even: half are cosines, half sines.
      scale: Standard deviation of the frequencies; larger ones let finer detail
        through.
      learned: Whether training changes the frequencies. Otherwise they are state.
      name: Name of the module.

    Parameters:
      ``w`` ``[D, size / 2]`` if learned.

    State:
      ``w`` if not.

    Raises:
      ValueError: `size` is odd or below 2, or `scale` isn't above 0.

    Gradient:
      Reaches `x`, and ``w`` if learned.

    Source:
      Tancik et al., 2020, Fourier Features Let Networks Learn High Frequency Functions
      in Low Dimensional Domains, arXiv:2006.10739, section 4.

    Example:
      >>> points = jnp.array([[0.0, 0.0], [0.5, 0.25]])
      >>> model = hk.bind(hk.FourierFeatures, 6, scale=10.0).init(0, points)
      >>> model(points)[0]
      Array([1., 1., 1., 0., 0., 0.], dtype=float32)
    """

    def __init__(
        self, size: int, scale: float, learned: bool = False, name: str | None = None
    ):
        super().__init__(name=name)
        if size < 2 or size % 2:
            raise ValueError(
                f"size of {self.module_name!r} must be an even number, at least 2, got "
                f"{size}: half are cosines, half sines."
            )
        if not scale > 0:
            raise ValueError(
                f"scale of {self.module_name!r} must be above 0, got {scale}."
            )
        self.size = size
        self.scale = scale
        self.learned = learned

    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps coordinates ``[..., D]``, numbers, to features ``[..., size]``.

        Raises:
          ValueError: `x` is a scalar.
        """
        x = as_array(x)
        if not x.shape:
            raise ValueError(
                f"{self.module_name!r} needs coordinates of shape [..., D], got a "
                "scalar: pass x[None]."
            )
        is_float = jnp.issubdtype(x.dtype, jnp.floating)
        dtype = x.dtype if is_float else jnp.float32
        shape, init = [x.shape[-1], self.size // 2], RandomNormal(self.scale)
        get = get_parameter if self.learned else get_state
        wide = at_least_single(dtype)
        w = get("w", shape, dtype, init=init).astype(wide)
        precision = jax.lax.Precision.HIGHEST
        angles = 2 * math.pi * jnp.dot(x.astype(wide), w, precision=precision)
        y = jnp.concatenate([jnp.cos(angles), jnp.sin(angles)], axis=-1)
        return y.astype(dtype)
