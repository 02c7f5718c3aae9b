"""`MambaConfig`: what a `Mamba` is made of, checked."""

import dataclasses
import math
import numbers
from typing import Any, ClassVar

__all__ = ["MambaConfig"]

_SIZES = (
    *("vocab_size", "model_size", "num_layers", "state_size", "expand", "conv_size"),
    *("time_step_rank", "head_size", "num_groups", "chunk_size"),
)
_CHOICES = {"version": (1, 2), "head": ("tokens", None)}


@dataclasses.dataclass(frozen=True)
class MambaConfig:
    """What a :class:`Mamba` is made of; the defaults make a Mamba of version 1.

    Args:
      vocab_size: Number of tokens.
      model_size: Size of the hidden state, ``D``.
      num_layers: Number of blocks.
      version: 1 for blocks of :class:`Mamba1`, 2 for :class:`Mamba2`.
      state_size: Size of the state of an inner feature. Default: 16, or 128 in
        version 2.
      expand: Inner features per feature, ``I = expand * D``.
      conv_size: Number of steps that a convolution sees.
      time_step_rank: Size of ``Δ``, in version 1. Default: a sixteenth of `model_size`,
        rounded up.
      head_size: Inner features in a head, in version 2. Default: 64.
      num_groups: How many ``B`` and ``C`` there are, in version 2. Default: 1.
      chunk_size: The most steps in a chunk, in version 2: changes cost, not numbers.
        Default: 256.
      time_step_limit: Bounds of ``δ``, in version 2. Default: 0 and infinity.
      time_step_min: Smallest time step at first.
      time_step_max: Largest time step at first.
      time_step_floor: Lower bound of time steps at first.
      with_bias: Whether the maps into and out of a mixer have biases.
      conv_bias: Whether the convolutions have one.
      norm_eps: Added to the mean of squares of norms.
      wide_residual: Whether the sum of the blocks' outputs is in at least single
        precision, whatever the dtype of the parameters.
      tied: Whether the head's weights are the embeddings.
      head: ``"tokens"`` or None.
      source: As in :class:`DecoderConfig`.

    Raises:
      ValueError: A size isn't a positive integer, sizes don't fit each other, or an
        option is none of its choices, or belongs to the other version.

    Example:
      >>> config = hk.nets.MambaConfig(
      ...     vocab_size=100, model_size=16, num_layers=2, version=2, head_size=8)
      >>> config.num_heads, config.state_size
      (4, 128)
    """

    vocab_size: int
    model_size: int
    num_layers: int
    version: int = 1
    state_size: int | None = None
    expand: int = 2
    conv_size: int = 4
    time_step_rank: int | None = None
    head_size: int | None = None
    num_groups: int | None = None
    chunk_size: int | None = None
    time_step_limit: tuple[float, float] | None = None
    time_step_min: float = 0.001
    time_step_max: float = 0.1
    time_step_floor: float = 1e-4
    with_bias: bool = False
    conv_bias: bool = True
    norm_eps: float = 1e-5
    wide_residual: bool = True
    tied: bool = True
    head: str | None = "tokens"
    source: str | None = dataclasses.field(default=None, compare=False, repr=False)

    _of_one: ClassVar[dict[str, int]] = {
        **{"time_step_rank": 1, "head_size": 2, "num_groups": 2},
        **{"chunk_size": 2, "time_step_limit": 2},
    }

    def __post_init__(self):
        where = "of hk.nets.MambaConfig"
        for name, choices in _CHOICES.items():
            value = getattr(self, name)
            if isinstance(value, bool) or value not in choices:
                raise ValueError(
                    f"{name} {where} must be one of {choices}, got {value!r}."
                )
        for name, version in self._of_one.items():
            value = getattr(self, name)
            if value is not None and version != self.version:
                raise ValueError(
                    f"{name} {where} belongs to version {version}, and this is version "
                    f"{self.version}: leave it out."
                )
        for name in _SIZES:
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, _size(f"{name} {where}", value))
        for name, value in self._defaults().items():
            if getattr(self, name) is None:
                object.__setattr__(self, name, value)
        self._check_numbers(where)
        if self.version == 1:
            return
        if self.inner_size % (self.head_size or 1):
            raise ValueError(
                f"head_size {self.head_size} {where} must divide expand * model_size, "
                f"{self.inner_size}."
            )
        if self.num_heads % (self.num_groups or 1):
            raise ValueError(
                f"num_groups {self.num_groups} {where} must divide the "
                f"{self.num_heads} heads."
            )

    def _defaults(self) -> dict[str, Any]:
        if self.version == 1:
            return {"state_size": 16, "time_step_rank": -(-self.model_size // 16)}
        return {
            **{"state_size": 128, "head_size": 64, "num_groups": 1, "chunk_size": 256},
            "time_step_limit": (0.0, math.inf),
        }

    def _check_numbers(self, where: str) -> None:
        for name in "time_step_min", "time_step_max", "time_step_floor", "norm_eps":
            value = getattr(self, name)
            least = 0.0 if name == "norm_eps" else math.ulp(0.0)
            if not _is_number(value) or not least <= value < math.inf:
                wanted = "of at least 0" if name == "norm_eps" else "above 0"
                raise ValueError(
                    f"{name} {where} must be a number {wanted}, got {value!r}."
                )
        if self.time_step_min > self.time_step_max:
            raise ValueError(
                f"time_step_min {where} must be at most time_step_max "
                f"{self.time_step_max}, got {self.time_step_min}."
            )
        limit = self.time_step_limit
        if limit is None:
            return
        pair = tuple(limit) if isinstance(limit, (tuple, list)) else ()
        if len(pair) != 2 or not all(map(_is_number, pair)) or not pair[0] <= pair[1]:
            raise ValueError(
                f"time_step_limit {where} must be two numbers, the smaller one first, "
                f"got {limit!r}."
            )
        object.__setattr__(self, "time_step_limit", (float(pair[0]), float(pair[1])))

    @property
    def inner_size(self) -> int:
        """Number of inner features of a mixer."""
        return self.expand * self.model_size

    @property
    def num_heads(self) -> int:
        """Heads of a mixer of version 2; 0 in version 1, which has none."""
        return self.inner_size // self.head_size if self.head_size else 0

    @property
    def kinds(self) -> tuple[int, ...]:
        """The kind of each layer: all are alike."""
        return (self.version,) * self.num_layers


def _size(what: str, value: Any) -> int:
    whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if not whole or value < 1:
        raise ValueError(f"{what} must be an integer of at least 1, got {value!r}.")
    return int(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)
