"""`EncoderDecoderConfig`: what an `EncoderDecoder` is made of, checked."""

import copy
import dataclasses
from typing import Any, ClassVar, TypeVar

from haiku.nets.transformer_config import TransformerConfig

__all__ = ["EncoderDecoderConfig"]

_Config = TypeVar("_Config", bound=TransformerConfig)


@dataclasses.dataclass(frozen=True)
class EncoderDecoderConfig(TransformerConfig):
    """What an :class:`EncoderDecoder` is made of; the defaults make a T5.

    Args:
      vocab_size: Number of tokens.
      model_size: Size of the hidden state, ``D``.
      num_layers: Number of the encoder's blocks.
      num_heads: Heads of the attention.
      num_decoder_layers: Number of the decoder's blocks. Default: `num_layers`.
      head_size: Size of a head. Default: ``model_size / num_heads``.
      hidden_size: Units of the MLP. Default: ``4 * model_size``.
      activation: As in :class:`DecoderConfig`.
      gated: Whether the MLP has gates, as :class:`GatedMLP`.
      norm: ``"rms"``, ``"rms_offset"`` or ``"layer"``; before attention and MLP.
      norm_eps: Added to the mean of squares.
      relative_buckets: Number of ranges of relative positions; in the encoder half of
        them on either side.
      relative_distance: From this distance on, all are in the last range.
      attention_bias: Whether the maps to queries, keys and values have biases.
      output_bias: Whether the map from the heads has one.
      mlp_bias: Whether the MLP's maps have biases.
      scale: Factor of attention's logits.
      tied: Whether the head's weights are the embeddings.
      head_scale: Factor of the hidden state before the head. T5 has
        ``model_size ** -0.5``, T5 1.1 none. Default: none.
      head: ``"tokens"`` or None.
      start_token: The first of the decoder's tokens, where a text begins.
      dropout: Rate, where `apply` gets a key.
      source: As in :class:`DecoderConfig`.

    Raises:
      ValueError: A size isn't a positive integer, sizes don't fit each other, or an
        option is none of its choices.

    Example:
      >>> config = hk.nets.EncoderDecoderConfig(
      ...     vocab_size=100, model_size=16, num_layers=2, num_heads=4)
      >>> config.num_decoder_layers, config.head_size
      (2, 4)
    """

    vocab_size: int
    model_size: int
    num_layers: int
    num_heads: int
    num_decoder_layers: int | None = None
    head_size: int | None = None
    hidden_size: int | None = None
    activation: str = "relu"
    gated: bool = False
    norm: str = "rms"
    norm_eps: float = 1e-6
    relative_buckets: int = 32
    relative_distance: int = 128
    attention_bias: bool = False
    output_bias: bool = False
    mlp_bias: bool = False
    scale: float | None = 1.0
    tied: bool = True
    head_scale: float | None = None
    head: str | None = "tokens"
    start_token: int = 0
    dropout: float = 0.0
    source: str | None = dataclasses.field(default=None, compare=False, repr=False)

    position: ClassVar[str | None] = "relative"
    _choices: ClassVar[dict[str, tuple]] = {
        "head": ("tokens", None),
        "position": ("relative",),
    }
    _sizes: ClassVar[tuple[str, ...]] = ("num_decoder_layers",)

    def __post_init__(self):
        super().__post_init__()
        if self.num_decoder_layers is None:
            object.__setattr__(self, "num_decoder_layers", self.num_layers)
        check_start(self, self.start_token)

    @property
    def of_decoder(self) -> TransformerConfig:
        """The config that the decoder's blocks read."""
        return with_values(self, num_layers=self.num_decoder_layers, causal=True)


def with_values(config: _Config, **values: Any) -> _Config:
    """A copy of a config with other values, which aren't checked again."""
    other = copy.copy(config)
    for name, value in values.items():
        object.__setattr__(other, name, value)
    return other


def check_start(config: TransformerConfig, token: Any) -> None:
    """Raises unless the token with which a text begins can be one."""
    if type(token) is not int or token < 0:
        raise ValueError(
            f"start_token of hk.nets.{type(config).__name__} must be a token, an "
            f"integer of at least 0, got {token!r}."
        )
