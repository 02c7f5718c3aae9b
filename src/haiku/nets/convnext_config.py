"""`ConvNeXtConfig`: what a `ConvNeXt` is made of, checked."""

import dataclasses
import math
import numbers
from typing import Any

from haiku.nets.transformer_config import ACTIVATIONS

__all__ = ["ConvNeXtConfig"]

_CHOICES = {
    "activation": tuple(ACTIVATIONS),
    "response_norm": (True, False),
    "head": ("classes", None),
}
_NUMBERS = {
    "norm_eps": (math.inf, "a number of at least 0"),
    "pooled_norm_eps": (math.inf, "a number of at least 0"),
    "stochastic_depth": (1.0, "a number in [0, 1)"),
    "layer_scale": (math.inf, "a number of at least 0, or None"),
}


@dataclasses.dataclass(frozen=True)
class ConvNeXtConfig:
    """What a :class:`ConvNeXt` is made of; the defaults make the first version.

    Args:
      model_sizes: Features in each stage, the last ``D``.
      num_layers: Number of blocks in each stage.
      patch_size: Height and width of a patch, one number or a pair.
      channels: Channels of the images.
      activation: As in :class:`DecoderConfig`.
      norm_eps: Added to the variance by all norms but the last.
      pooled_norm_eps: Added to the variance by the norm of the pooled features.
      layer_scale: Initial value of a :class:`LayerScale` at the end of each block. None
        for none.
      response_norm: Whether the MLPs normalise the response of their units to the
        image, as version 2 does.
      head: ``"classes"`` or None.
      num_classes: For classes.
      stochastic_depth: Rate of the last block, where `apply` gets a key; that of the
        first is 0, and it grows evenly between, see :func:`stochastic_depth`.
      source: As in :class:`DecoderConfig`.

    Raises:
      ValueError: A size isn't a positive integer, sizes don't fit each other, or an
        option is none of its choices.

    Example:
      >>> config = hk.nets.ConvNeXtConfig(
      ...     model_sizes=(96, 192, 384, 768), num_layers=(3, 3, 9, 3))
      >>> config.smallest_image
      (32, 32)
    """

    model_sizes: Any
    num_layers: Any
    patch_size: Any = 4
    channels: int = 3
    activation: str = "gelu"
    norm_eps: float = 1e-6
    pooled_norm_eps: float = 1e-12
    layer_scale: float | None = 1e-6
    response_norm: bool = False
    head: str | None = None
    num_classes: int | None = None
    stochastic_depth: float = 0.0
    source: str | None = dataclasses.field(default=None, compare=False, repr=False)

    def __post_init__(self):
        where = "of hk.nets.ConvNeXtConfig"
        for name in "model_sizes", "num_layers":
            sizes = _sizes(getattr(self, name))
            if not sizes:
                raise ValueError(
                    f"{name} {where} must be integers of at least 1, one for each "
                    f"stage, got {getattr(self, name)!r}."
                )
            object.__setattr__(self, name, sizes)
        if len(self.model_sizes) != len(self.num_layers):
            raise ValueError(
                f"model_sizes and num_layers {where} must have one entry for each "
                f"stage, got {len(self.model_sizes)} and {len(self.num_layers)}."
            )
        patch = self.patch_size
        sizes = _sizes(patch if isinstance(patch, (tuple, list)) else (patch, patch))
        if len(sizes) != 2:
            raise ValueError(
                f"patch_size {where} must be one or two integers of at least 1, got "
                f"{patch!r}."
            )
        object.__setattr__(self, "patch_size", sizes)
        if max(self.smallest_image) >= 2**31:
            raise ValueError(
                f"patches of {self.patch_size} and {len(self.num_layers)} stages "
                f"{where} are too much: each stage after the first halves the map, so "
                f"images would have to be of {self.smallest_image}."
            )
        self._check_options(where)

    def _check_options(self, where: str) -> None:
        for name in "channels", "num_classes":
            value = getattr(self, name)
            if not (_sizes((value,)) or (name == "num_classes" and value is None)):
                raise ValueError(
                    f"{name} {where} must be an integer of at least 1, got {value!r}."
                )
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise ValueError(
                    f"{name} {where} must be one of {choices}, got "
                    f"{getattr(self, name)!r}."
                )
        for name, (end, wanted) in _NUMBERS.items():
            value = getattr(self, name)
            optional = name == "layer_scale" and value is None
            if not (optional or _is_below(end, value)):
                raise ValueError(f"{name} {where} must be {wanted}, got {value!r}.")
        if self.head is not None and self.num_classes is None:
            raise ValueError(f"head={self.head!r} {where} needs num_classes.")

    @property
    def smallest_image(self) -> tuple[int, int]:
        """Height and width of the smallest images, whose last map has one place."""
        height, width = self.patch_size
        halved = 2 ** (len(self.model_sizes) - 1)
        return height * halved, width * halved


def _sizes(values: Any) -> tuple[int, ...]:
    """Integers of at least 1 as a tuple; an empty one if they are anything else."""
    if not isinstance(values, (tuple, list)) or not all(map(_is_size, values)):
        return ()
    return tuple(map(int, values))


def _is_size(value: Any) -> bool:
    return (
        isinstance(value, numbers.Integral) and _is_below(2**31, value) and value != 0
    )


def _is_below(end: float, value: Any) -> bool:
    return _is_number(value) and 0 <= value < end


def _is_number(value: Any) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)
