"""`DiTConfig`: what a `DiT` is made of, checked."""

import dataclasses
from typing import Any, ClassVar

from haiku.nets.transformer_config import TransformerConfig
from haiku.nets.vision_transformer_config import size_pair

__all__ = ["DiTConfig"]


@dataclasses.dataclass(frozen=True)
class DiTConfig(TransformerConfig):
    """What a :class:`DiT` is made of; the defaults are the paper's.

    Args:
      image_size: Height and width of the images of training, one number or a pair;
        positions are counted in their patches.
      patch_size: Height and width of a patch, one number or a pair.
      model_size: Size of the hidden state, ``D``, a multiple of 4.
      num_layers: Number of blocks.
      num_heads: Heads of the attention.
      num_classes: Number of labels, without the one that means none.
      channels: Channels of the images; latents of the paper's autoencoder have 4.
      out_channels: Channels of the output: ``2 * channels`` to learn the variances too.
        Default: `channels`.
      hidden_size: Units of the MLP. Default: ``4 * model_size``.
      activation: As in :class:`DecoderConfig`.
      gated: Whether the MLP has gates, as :class:`GatedMLP`.
      norm_eps: Added to the variance by the norm before the MLP; others add 1e-6.
      norm_affine: Whether the norm before the MLP has a scale and an offset of its own,
        before those of the condition.
      attention_bias: Whether the maps to queries, keys and values have biases.
      shared_condition: Whether all blocks have the same embeddings of timesteps and
        labels. Otherwise each has its own, and the last norm those of the first block.
      dropout: Rate, where `apply` gets a key.
      source: As in :class:`DecoderConfig`.

    Raises:
      ValueError: A size isn't a positive integer, sizes don't fit each other, or an
        option is none of its choices.

    Example:
      >>> config = hk.nets.DiTConfig(
      ...     image_size=32, patch_size=2, model_size=384, num_layers=12, num_heads=6)
      >>> config.grid, config.out_channels, config.hidden_size
      ((16, 16), 4, 1536)
    """

    image_size: Any
    patch_size: Any
    model_size: int
    num_layers: int
    num_heads: int
    num_classes: int = 1000
    channels: int = 4
    out_channels: int | None = None
    hidden_size: int | None = None
    activation: str = "gelu_tanh"
    gated: bool = False
    norm_eps: float = 1e-6
    norm_affine: bool = False
    attention_bias: bool = True
    shared_condition: bool = True
    dropout: float = 0.0
    source: str | None = dataclasses.field(default=None, compare=False, repr=False)

    _sizes: ClassVar[tuple[str, ...]] = ("channels", "out_channels")

    def __post_init__(self):
        super().__post_init__()
        where = "of hk.nets.DiTConfig"
        for name in "image_size", "patch_size":
            pair = size_pair(f"{name} {where}", getattr(self, name))
            object.__setattr__(self, name, pair)
        if self.out_channels is None:
            object.__setattr__(self, "out_channels", self.channels)
        if not all(self.grid):
            raise ValueError(
                f"image_size {self.image_size} {where} is below patch_size "
                f"{self.patch_size}."
            )
        if self.model_size % 4:
            raise ValueError(
                f"model_size {where} must be a multiple of 4, got {self.model_size}: "
                "a quarter each are sines and cosines of a patch's row and column."
            )

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of patches in an image of training."""
        (height, width), (h, w) = self.image_size, self.patch_size
        return height // h, width // w
