"""Scalings: how rotary position embeddings reach longer texts than in training.

    hk.Rotary(base=500000.0, scaling=hk.rotary.Llama3(factor=8.0, original_length=8192))

A scaling changes the frequencies of a :class:`Rotary`, and perhaps the size of what it
turns. `Dynamic` and `LongRoPE` depend on the length of the text; they take the largest
position plus one. With a cache, a text that grows beyond the length of training is
another computation than the same text at once: the keys are turned by today's
frequencies, but what the layers below made of earlier steps stays.
"""

import math
from dataclasses import dataclass
from typing import Protocol

import jax
import jax.numpy as jnp
import numpy as np

__all__ = [
    "Dynamic",
    "Linear",
    "Llama3",
    "LongRoPE",
    "Scaling",
    "YaRN",
]


class Scaling(Protocol):
    """How a :class:`Rotary` reaches longer texts than it was trained on.

    Example:
      >>> isinstance(hk.rotary.Linear(2.0).by_length, bool)
      True
    """

    @property
    def by_length(self) -> bool:
        """Whether the frequencies depend on the length of the text."""
        ...

    def frequencies(
        self, base: float, size: int, length: int | jax.Array | None
    ) -> tuple[jax.Array | np.ndarray, float | jax.Array]:
        """The frequencies ``[size / 2]``, and the factor of what is turned."""
        ...


def plain_frequencies(base: float | jax.Array, size: int) -> np.ndarray | jax.Array:
    """Frequencies ``base ** (-2 i / size)``."""
    exponents = np.arange(0, size, 2, dtype=np.float32) / size
    if isinstance(base, jax.Array):
        return base ** -jnp.asarray(exponents)
    return (float(base) ** -exponents.astype(float)).astype(np.float32)


def _check(scaling: object, **above: float) -> None:
    """Raises unless each number is above the limit that is given for its name."""
    for name, limit in above.items():
        value = getattr(scaling, name)
        if not value > limit:
            raise ValueError(
                f"{name} of hk.rotary.{type(scaling).__name__} must be above {limit}, "
                f"got {value}."
            )


@dataclass(frozen=True)
class Linear:
    """Divides all positions by a factor.

    Args:
      factor: How many times longer the texts are; at least 1.

    Raises:
      ValueError: `factor` is below 1.

    Source:
      Chen et al., 2023, Extending Context Window of Large Language Models via
      Positional Interpolation, arXiv:2306.15595.

    Example:
      >>> frequencies, _ = hk.Rotary(scaling=hk.rotary.Linear(4.0)).frequencies(2)
      >>> float(frequencies[0])
      0.25
    """

    factor: float
    by_length = False

    def __post_init__(self):
        _check_factor(self)

    def frequencies(self, base, size, length=None):
        """The frequencies ``[size / 2]``, and a factor of 1."""
        return plain_frequencies(base, size) / np.float32(self.factor), 1.0


def _check_factor(scaling: object) -> None:
    factor = scaling.factor  # type: ignore[attr-defined]
    if not factor >= 1:
        raise ValueError(
            f"factor of hk.rotary.{type(scaling).__name__} must be at least 1, got "
            f"{factor}: how many times longer the texts are."
        )


@dataclass(frozen=True)
class Dynamic:
    """Raises the base once the text is longer than those of training.

        base' = base (factor L / L_0 - factor + 1) ** (d / (d - 2)),    if L > L_0

    with the length ``L`` of the text and ``L_0 = original_length``.

    Args:
      factor: Strength; at least 1.
      original_length: Length of the texts of training.

    Raises:
      ValueError: `factor` is below 1 or `original_length` not above 0.

    Source:
      Known as NTK-aware dynamic scaling; Peng et al., 2023, YaRN, arXiv:2309.00071,
      section 3.1 and appendix B.1.

    Example:
      >>> rotary = hk.Rotary(scaling=hk.rotary.Dynamic(2.0, original_length=64))
      >>> short, _ = rotary.frequencies(8, length=64)
      >>> long, _ = rotary.frequencies(8, length=128)
      >>> bool((long[1:] < short[1:]).all())
      True
    """

    factor: float
    original_length: int
    by_length = True

    def __post_init__(self):
        _check_factor(self)
        _check(self, original_length=0)

    def frequencies(self, base, size, length=None):
        """The frequencies ``[size / 2]`` for a length, and a factor of 1."""
        if length is None or size <= 2:  # one frequency is 1 whatever the base
            return plain_frequencies(base, size), 1.0
        longer = jnp.maximum(jnp.asarray(length, jnp.float32), self.original_length)
        growth = self.factor * longer / self.original_length - (self.factor - 1)
        return plain_frequencies(base * growth ** (size / (size - 2)), size), 1.0


@dataclass(frozen=True)
class YaRN:
    """Divides slow frequencies by the factor, keeps fast ones, blends between.

    A frequency that turns more than `beta_fast` times within `original_length` is kept,
    one that turns fewer than `beta_slow` times is divided.

    Args:
      factor: How many times longer the texts are; at least 1.
      original_length: Length of the texts of training.
      beta_fast: Turns above which a frequency is kept.
      beta_slow: Turns below which it is divided.
      attention_factor: Factor of what is turned. Default: ``0.1 m ln(factor) + 1`` at
        ``m = mscale``, over the same at ``m = mscale_all_dim``, if both are given;
        else at ``m = 1``.
      mscale: See `attention_factor`.
      mscale_all_dim: See `attention_factor`.
      truncate: Whether to round the ends of the blend to whole frequencies.

    Raises:
      ValueError: `factor` is below 1, or a length or number of turns not above 0.

    Source:
      Peng et al., 2023, YaRN, arXiv:2309.00071, equations 17 to 23.

    Example:
      >>> rotary = hk.Rotary(scaling=hk.rotary.YaRN(4.0, original_length=32))
      >>> _, attention_factor = rotary.frequencies(16)
      >>> round(attention_factor, 4)
      1.1386
    """

    factor: float
    original_length: int
    beta_fast: float = 32
    beta_slow: float = 1
    attention_factor: float | None = None
    mscale: float | None = None
    mscale_all_dim: float | None = None
    truncate: bool = True
    by_length = False

    def __post_init__(self):
        _check_factor(self)
        _check(self, original_length=0, beta_fast=0, beta_slow=0)

    def frequencies(self, base, size, length=None):
        """The frequencies ``[size / 2]``, and the attention factor."""

        def place(turns):
            """Which frequency turns that often, as a fraction of places."""
            ratio = self.original_length / (turns * 2 * math.pi)
            return size * math.log(ratio) / (2 * math.log(base))

        low, high = place(self.beta_fast), place(self.beta_slow)
        if self.truncate:
            low, high = math.floor(low), math.ceil(high)
        low, high = max(low, 0), min(high, size - 1)
        if low == high:
            high += 0.001
        ramp = np.clip((np.arange(size // 2) - low) / (high - low), 0, 1)
        plain = plain_frequencies(base, size)
        blended = plain / self.factor * ramp + plain * (1 - ramp)
        return blended.astype(np.float32), self._attention_factor()

    def _attention_factor(self) -> float:
        if self.attention_factor is not None:
            return self.attention_factor

        def size(m):
            return 0.1 * m * math.log(self.factor) + 1 if self.factor > 1 else 1.0

        if self.mscale and self.mscale_all_dim:
            return size(self.mscale) / size(self.mscale_all_dim)
        return size(1.0)


@dataclass(frozen=True)
class Llama3:
    """Divides slow frequencies by the factor, keeps fast ones, blends between.

    A frequency whose wave is longer than ``original_length / low_factor`` is divided,
    one whose wave is shorter than ``original_length / high_factor`` is kept.

    Args:
      factor: How many times longer the texts are; at least 1.
      original_length: Length of the texts of training.
      low_factor: Waves per text below which a frequency is divided.
      high_factor: Waves per text above which it is kept; above `low_factor`.

    Raises:
      ValueError: `factor` is below 1, `original_length` not above 0, or `high_factor`
        not above `low_factor`.

    Source:
      Grattafiori et al., 2024, The Llama 3 Herd of Models, arXiv:2407.21783; the blend
      is that of the published models.

    Example:
      >>> rotary = hk.Rotary(scaling=hk.rotary.Llama3(8.0, original_length=8192))
      >>> plain, scaled = hk.Rotary().frequencies(64)[0], rotary.frequencies(64)[0]
      >>> float(plain[0] / scaled[0]), float(plain[-1] / scaled[-1])
      (1.0, 8.0)
    """

    factor: float
    original_length: int
    low_factor: float = 1
    high_factor: float = 4
    by_length = False

    def __post_init__(self):
        _check_factor(self)
        _check(self, original_length=0, high_factor=self.low_factor)

    def frequencies(self, base, size, length=None):
        """The frequencies ``[size / 2]``, and a factor of 1."""
        plain = plain_frequencies(base, size)
        waves = self.original_length * plain / (2 * math.pi)  # in a text of training
        kept = (waves - self.low_factor) / (self.high_factor - self.low_factor)
        kept = np.clip(kept, 0, 1)
        blended = plain / self.factor * (1 - kept) + plain * kept
        return blended.astype(np.float32), 1.0


@dataclass(frozen=True)
class LongRoPE:
    """Divides each frequency by a searched factor, others for long texts.

    Args:
      short_factors: A factor for each frequency, up to `original_length`.
      long_factors: Those for longer texts.
      original_length: Length of the texts of training.
      max_length: Length of the longest texts.
      attention_factor: Factor of what is turned. Default:
        ``sqrt(1 + ln(max_length / original_length) / ln(original_length))``.

    Raises:
      ValueError: The factors differ in number or aren't above 0, or a length isn't
        above 1.

    Source:
      Ding et al., 2024, LongRoPE, arXiv:2402.13753.

    Example:
      >>> scaling = hk.rotary.LongRoPE((1.0, 1.0), (1.0, 4.0), 32, 128)
      >>> rotary = hk.Rotary(scaling=scaling)
      >>> short, _ = rotary.frequencies(4, length=32)
      >>> long, _ = rotary.frequencies(4, length=33)
      >>> print(short / long)
      [1. 4.]
    """

    short_factors: tuple[float, ...]
    long_factors: tuple[float, ...]
    original_length: int
    max_length: int
    attention_factor: float | None = None
    by_length = True

    def __post_init__(self):
        for name in "short_factors", "long_factors":
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if len(self.short_factors) != len(self.long_factors):
            raise ValueError(
                "hk.rotary.LongRoPE needs as many short_factors as long_factors, got "
                f"{len(self.short_factors)} and {len(self.long_factors)}."
            )
        if not min((*self.short_factors, *self.long_factors), default=0) > 0:
            raise ValueError("Factors of hk.rotary.LongRoPE must be above 0.")
        _check(self, original_length=1, max_length=1)

    def frequencies(self, base, size, length=None):
        """The frequencies ``[size / 2]`` for a length, and the attention factor."""
        if len(self.short_factors) != size // 2:
            raise ValueError(
                f"hk.rotary.LongRoPE has {len(self.short_factors)} factors, but there "
                f"are {size // 2} frequencies: one for every two of the {size} turned "
                "elements of a head."
            )
        plain = plain_frequencies(base, size)
        short, long = (
            (plain / np.asarray(factors)).astype(np.float32)
            for factors in (self.short_factors, self.long_factors)
        )
        if length is None:
            return short, self._attention_factor()
        is_long = jnp.asarray(length) > self.original_length
        return jnp.where(is_long, long, short), self._attention_factor()

    def _attention_factor(self) -> float:
        if self.attention_factor is not None:
            return self.attention_factor
        growth = self.max_length / self.original_length
        if growth <= 1:
            return 1.0
        return math.sqrt(1 + math.log(growth) / math.log(self.original_length))


def __dir__() -> list[str]:
    return __all__
