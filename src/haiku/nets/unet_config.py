"""`UNetConfig`: what a `UNet` is made of, checked."""

import dataclasses
import numbers
from collections.abc import Callable
from typing import Any

from haiku.nets.transformer_config import ACTIVATIONS, TransformerConfig

__all__ = ["UNetConfig"]


@dataclasses.dataclass(frozen=True)
class UNetConfig:
    """What a :class:`UNet` is made of; the defaults make that of DDPM.

    An option "per level" is one value for all levels, or a tuple with one for each, the
    largest images first.

    Args:
      sizes: Channels inside, for each level; from one to the next images are halved.
      channels: Channels of the images.
      out_channels: Channels of the output. Default: `channels`.
      layers_per_block: Residual blocks on the way down, per level; there is one more on
        the way up.
      attention: What follows each residual block, per level: ``"self"``, pixels attend
        to each other; ``"cross"``, transformer blocks in which they attend to each
        other and to a context; None, nothing.
      mid: What lies between the two residual blocks in the middle: ``"self"``,
        ``"cross"``, or neither (``"plain"``). None leaves the middle out.
      num_heads: Heads of the attention, per level; the middle has those of the last
        level. Default: by `head_size`, or one.
      head_size: Size of a head in all levels, instead of `num_heads`.
      context_size: Size of the vectors of the context, for ``"cross"``.
      transformer_layers: Transformer blocks after each residual block, per level; the
        middle has as many as the last level.
      only_cross: Whether pixels attend to the context alone, and not to each other, per
        level. It doesn't change the middle.
      linear_maps: Whether the maps around transformer blocks are :class:`Linear`. As
        convolutions with a kernel of size 1 they compute the same.
      time_size: Size of the embedding of timesteps. Default: ``4 * sizes[0]``.
      scale_shift: Whether timesteps scale and shift after the second norm of a residual
        block, as in ADM. By default they are added before it.
      groups: Of each :class:`GroupNorm`.
      norm_eps: Added to its variance, except before transformer blocks, where it is
        1e-6.
      activation: Of the residual blocks, as in :class:`DecoderConfig`.
      outer_activation: Of the embedding of timesteps, and before the last convolution.
        Default: `activation`.
      cosines_first: Whether the cosines of timesteps come before the sines.
      endpoint: Whether the last of their frequencies is 1 / 10000 exactly.
      downsample_padding: Zeros before the first pixel where images are halved: 1, or 0
        as in DDPM's program. One follows the last pixel.
      centered: Whether images in [0, 1] are first moved to [-1, 1].
      dropout: Rate, where `apply` gets a key.
      source: As in :class:`DecoderConfig`.

    Raises:
      ValueError: A size isn't a positive integer, sizes don't fit each other, a tuple
        has another length than `sizes`, or an option is none of its choices.

    Example:
      >>> config = hk.nets.UNetConfig(
      ...     (32, 64), attention=(None, "self"), head_size=32, groups=8)
      >>> config.num_heads, config.time_size
      ((1, 2), 128)
    """

    sizes: tuple[int, ...]
    channels: int = 3
    out_channels: int | None = None
    layers_per_block: Any = 2
    attention: Any = None
    mid: str | None = "self"
    num_heads: Any = None
    head_size: int | None = None
    context_size: int | None = None
    transformer_layers: Any = 1
    only_cross: Any = False
    linear_maps: bool = False
    time_size: int | None = None
    scale_shift: bool = False
    groups: int = 32
    norm_eps: float = 1e-5
    activation: str = "silu"
    outer_activation: str | None = None
    cosines_first: bool = True
    endpoint: bool = False
    downsample_padding: int = 1
    centered: bool = False
    dropout: float = 0.0
    source: str | None = dataclasses.field(default=None, compare=False, repr=False)

    def __post_init__(self):
        def put(name, value):
            object.__setattr__(self, name, value)

        if not isinstance(self.sizes, (tuple, list)) or not 0 < len(self.sizes) <= 16:
            raise ValueError(
                f"sizes {_WHERE} must be a tuple of 1 to 16 integers, one for each "
                f"level, got {self.sizes!r}."
            )
        for name, (fits, wanted) in _PER_LEVEL.items():
            if name != "num_heads" or self.num_heads is not None:
                put(name, self._per_level(name, fits, wanted))
        for name in "channels", "groups":
            _check(name, getattr(self, name), _is_size, _A_SIZE)
        for name in "out_channels", "head_size", "context_size", "time_size":
            _check(name, getattr(self, name), lambda x: x is None or _is_size(x), _SOME)
        put("out_channels", self.out_channels or self.channels)
        put("time_size", self.time_size or 4 * self.sizes[0])
        put("outer_activation", self.outer_activation or self.activation)
        for name, choices in _CHOICES.items():
            value = getattr(self, name)
            if not isinstance(value, (str, int, type(None))) or value not in choices:
                raise ValueError(
                    f"{name} {_WHERE} must be one of {choices}, got {value!r}."
                )
        for name, (least, below) in _NUMBERS.items():
            _check(
                name,
                getattr(self, name),
                lambda x, a=least, b=below: _is_number(x) and a <= x < b,
                f"a number of at least {least} and below {below}",
            )
        self._check_sizes()
        put("num_heads", self._heads())
        if self.crosses and self.context_size is None:
            raise ValueError(
                f"attention or mid {_WHERE} is 'cross': give context_size."
            )

    def _per_level(self, name: str, fits: Callable[[Any], bool], wanted: str) -> tuple:
        value, levels = getattr(self, name), len(self.sizes)
        several = isinstance(value, (tuple, list))
        if several and len(value) != levels:
            raise ValueError(
                f"{name} {_WHERE} must be one for all levels, or one for each of the "
                f"{levels} of sizes, got {len(value)}: {value!r}."
            )
        values = tuple(value) if several else (value,) * levels
        for x in values:
            _check(name, x, fits, wanted)
        return values

    def _check_sizes(self) -> None:
        for size in self.sizes:
            if size % self.groups:
                raise ValueError(
                    f"groups {self.groups} {_WHERE} must divide each of sizes, "
                    f"{self.sizes}."
                )
        least = 4 if self.endpoint else 2
        if self.sizes[0] % 2 or self.sizes[0] < least:
            raise ValueError(
                f"The first of sizes {_WHERE} must be even and at least {least}, got "
                f"{self.sizes[0]}: half of an embedding of timesteps are cosines."
            )

    def _heads(self) -> tuple[int, ...]:
        if self.head_size is not None and self.num_heads is not None:
            given = self.num_heads == self._by_head_size(self.head_size)
            if not given:
                raise ValueError(
                    f"num_heads and head_size {_WHERE} are both given: leave one out."
                )
            return self.num_heads
        heads = self.num_heads or (1,) * len(self.sizes)
        if self.head_size is not None:
            heads = self._by_head_size(self.head_size)
        attend = [kind is not None for kind in self.attention]
        attend[-1] |= self.mid in ("self", "cross")
        for attends, number, size in zip(attend, heads, self.sizes):
            wrong = size % number or self.head_size and size % self.head_size
            if attends and wrong:
                name = "num_heads" if self.head_size is None else "head_size"
                raise ValueError(
                    f"{name} {getattr(self, name)} {_WHERE} must divide sizes, "
                    f"{self.sizes}, in levels with attention."
                )
        return heads

    def _by_head_size(self, head_size: int) -> tuple[int, ...]:
        return tuple(max(size // head_size, 1) for size in self.sizes)

    @property
    def crosses(self) -> bool:
        """Whether it reads a context."""
        return "cross" in (*self.attention, self.mid)


@dataclasses.dataclass(frozen=True)
class BlocksConfig(TransformerConfig):
    """The transformer blocks between two maps of a U-Net."""

    model_size: int
    num_layers: int
    num_heads: int
    dropout: float = 0.0
    head_size: int | None = None
    hidden_size: int | None = None
    gated: bool = True
    norm_eps: float = 1e-5
    attention_bias: bool = False


def blocks_of(config: UNetConfig, level: int) -> BlocksConfig:
    """Those after a residual block of a level."""
    layers, heads = config.transformer_layers[level], config.num_heads[level]
    return BlocksConfig(config.sizes[level], layers, heads, config.dropout)


def _is_size(x: Any) -> bool:
    whole = isinstance(x, numbers.Integral) and not isinstance(x, bool)
    return whole and 1 <= int(x) < 2**31


def _is_number(x: Any) -> bool:
    return isinstance(x, numbers.Real) and not isinstance(x, bool)


def _is_flag(x: Any) -> bool:
    return isinstance(x, bool)


def _check(name: str, value: Any, fits: Callable[[Any], bool], wanted: str) -> None:
    if not fits(value):
        raise ValueError(f"{name} {_WHERE} must be {wanted}, got {value!r}.")


_WHERE = "of hk.nets.UNetConfig"
_A_SIZE = "an integer of at least 1 and below 2**31"
_SOME = f"{_A_SIZE}, or None"
_KINDS = ("self", "cross", None)
_PER_LEVEL: dict[str, tuple[Callable[[Any], bool], str]] = {
    "sizes": (_is_size, _A_SIZE),
    "layers_per_block": (_is_size, _A_SIZE),
    "attention": (
        lambda x: isinstance(x, (str, type(None))) and x in _KINDS,
        f"one of {_KINDS}",
    ),
    "num_heads": (_is_size, _A_SIZE),
    "transformer_layers": (_is_size, _A_SIZE),
    "only_cross": (_is_flag, "True or False"),
}
_CHOICES: dict[str, tuple] = {
    "mid": ("self", "cross", "plain", None),
    "activation": tuple(ACTIVATIONS),
    "outer_activation": tuple(ACTIVATIONS),
    "downsample_padding": (0, 1),
    **dict.fromkeys(
        ("linear_maps", "scale_shift", "cosines_first", "endpoint", "centered"),
        (True, False),
    ),
}
_NUMBERS = {"norm_eps": (0, float("inf")), "dropout": (0, 1)}
