"""`Rotary`: positions by turning pairs of elements."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from haiku.rotary import Scaling, plain_frequencies

__all__ = ["Rotary"]


@dataclass(frozen=True)
class Rotary:
    """Turns pairs of elements by angles that grow with the position.

        (x_1, x_2) -> (x_1 cos a - x_2 sin a, x_1 sin a + x_2 cos a)
        a = position base ** (-2 i / d),    i = 0 .. d / 2 - 1

    The product of a query and a key that are turned so depends on the distance of
    their positions alone. Has no parameters.

    Args:
      base: Of the frequencies; above 1.
      fraction: How much of each head is turned, in (0, 1]: the first elements.
      scaling: One of :mod:`hk.rotary`'s, to reach longer texts. Default: none.
      interleaved: Whether neighbours are a pair; by default the elements ``i`` and
        ``i + d / 2`` are, as in Llama and most models of today.

    Raises:
      ValueError: `base` isn't above 1, or `fraction` outside (0, 1].

    Source:
      Su et al., 2021, RoFormer: Enhanced Transformer with Rotary Position Embedding,
      arXiv:2104.09864.

    Example:
      >>> x = jnp.ones([1, 1, 2])  # [T, H, D]
      >>> hk.Rotary()(x, positions=jnp.array([0]))
      Array([[[1., 1.]]], dtype=float32)
    """

    base: float = 10000.0
    fraction: float = 1.0
    scaling: Scaling | None = None
    interleaved: bool = False

    def __post_init__(self):
        if not self.base > 1:
            raise ValueError(f"base of hk.Rotary must be above 1, got {self.base}.")
        if not 0 < self.fraction <= 1:
            raise ValueError(
                f"fraction of hk.Rotary must be in (0, 1], got {self.fraction}: how "
                "much of each head is turned."
            )

    def frequencies(
        self, head_size: int, length: int | jax.Array | None = None
    ) -> tuple[jax.Array | np.ndarray, float | jax.Array]:
        """Returns the frequencies, and the factor of what is turned.

        Args:
          head_size: Size of a head.
          length: Length of the text, for scalings that depend on it. Default: at most
            that of training.

        Returns:
          Radians per position, float32 ``[D' / 2]`` with ``D'`` elements turned, and
          the factor.

        Raises:
          ValueError: ``D' = fraction * head_size`` isn't an even number of at least 2.
        """
        size = self._turned(head_size)
        if self.scaling is None:
            return plain_frequencies(self.base, size), 1.0
        return self.scaling.frequencies(self.base, size, length)

    def __call__(self, x: jax.Array, positions: jax.Array) -> jax.Array:
        """Turns queries or keys.

        Args:
          x: ``[..., T, H, D]``.
          positions: Positions ``[..., T]``, integers or floats; broadcast to the
            leading axes of `x`.

        Returns:
          An array with the shape and dtype of `x`. Angles are float32, their sines and
          cosines of the dtype of `x`.

        Raises:
          ValueError: `positions` don't fit `x`, or the size of the heads doesn't fit.
        """
        positions = jnp.asarray(positions)
        _check_positions(x, positions)
        length = jnp.max(positions, initial=-1) + 1 if self.by_length else None
        frequencies, factor = self.frequencies(x.shape[-1], length)
        size = 2 * len(frequencies)
        leading = (1,) * (x.ndim - 2 - positions.ndim) + positions.shape
        angles = positions.reshape(*leading, 1, 1).astype(jnp.float32)
        angles = angles * jnp.asarray(frequencies).reshape((1,) * (x.ndim - 1) + (-1,))
        cos, sin = ((f(angles) * factor).astype(x.dtype) for f in (jnp.cos, jnp.sin))
        turned, rest = x[..., :size], x[..., size:]
        if self.interleaved:
            one, other = turned[..., ::2], turned[..., 1::2]
        else:
            one, other = jnp.split(turned, 2, axis=-1)
        pair = one * cos - other * sin, one * sin + other * cos
        if self.interleaved:
            y = jnp.stack(pair, axis=-1).reshape(turned.shape)
        else:
            y = jnp.concatenate(pair, axis=-1)
        return jnp.concatenate([y, rest], axis=-1)

    @property
    def by_length(self) -> bool:
        """Whether the frequencies depend on the length of the text."""
        return self.scaling is not None and self.scaling.by_length

    def _turned(self, head_size: int) -> int:
        size = int(head_size * self.fraction)
        if size < 2 or size % 2:
            raise ValueError(
                f"hk.Rotary turns pairs: {self.fraction:g} of a head of {head_size} "
                f"must be an even number of elements, got {size}."
            )
        return size


def _check_positions(x: jax.Array, positions: jax.Array) -> None:
    leading = x.shape[:-2]
    fits = len(x.shape) >= 3 and len(positions.shape) <= len(leading)
    pairs = zip(reversed(leading), reversed(positions.shape))
    if not fits or any(m not in (1, n) for n, m in pairs):
        raise ValueError(
            "hk.Rotary needs x [..., T, H, D] and positions [..., T] that broadcast to "
            f"it, got {x.shape} and {positions.shape}."
        )
