"""`WhisperConfig`: what a `Whisper` is made of, checked."""

import dataclasses
from typing import ClassVar

from haiku.nets.encoder_decoder_config import check_start, with_values
from haiku.nets.transformer_config import TransformerConfig

__all__ = ["WhisperConfig"]


@dataclasses.dataclass(frozen=True)
class WhisperConfig(TransformerConfig):
    """What a :class:`Whisper` is made of.

    Args:
      vocab_size: Number of tokens.
      model_size: Size of the hidden state, ``D``.
      num_layers: Number of the encoder's blocks.
      num_heads: Heads of the encoder's attention.
      num_mels: Features of a frame, such as the bands of a mel spectrogram.
      num_positions: Positions of the encoder, each of two frames.
      num_decoder_layers: Number of the decoder's blocks. Default: `num_layers`.
      num_decoder_heads: Heads of the decoder's attention. Default: `num_heads`.
      hidden_size: Units of the encoder's MLP. Default: ``4 * model_size``.
      decoder_hidden_size: Units of the decoder's MLP. Default: `hidden_size`.
      max_length: Number of the decoder's learned positions; its longest text.
      activation: Of the MLPs, as in :class:`DecoderConfig`.
      norm_eps: Added to the mean of squares.
      tied: Whether the head's weights are the embeddings.
      head: ``"tokens"`` or None.
      start_token: The first of the decoder's tokens, where a text begins.
      dropout: Rate, where `apply` gets a key.
      source: As in :class:`DecoderConfig`.

    Raises:
      ValueError: A size isn't a positive integer, sizes don't fit each other, or an
        option is none of its choices.

    Example:
      >>> config = hk.nets.WhisperConfig(
      ...     vocab_size=100, model_size=16, num_layers=2, num_heads=4)
      >>> config.num_decoder_layers, config.decoder_hidden_size
      (2, 64)
    """

    vocab_size: int
    model_size: int
    num_layers: int
    num_heads: int
    num_mels: int = 80
    num_positions: int = 1500
    num_decoder_layers: int | None = None
    num_decoder_heads: int | None = None
    hidden_size: int | None = None
    decoder_hidden_size: int | None = None
    max_length: int = 448
    activation: str = "gelu"
    norm_eps: float = 1e-5
    tied: bool = True
    head: str | None = "tokens"
    start_token: int = 0
    dropout: float = 0.0
    source: str | None = dataclasses.field(default=None, compare=False, repr=False)

    key_bias: ClassVar[bool | None] = False
    position: ClassVar[str | None] = "learned"
    _choices: ClassVar[dict[str, tuple]] = {"head": ("tokens", None)}
    _sizes: ClassVar[tuple[str, ...]] = (
        *("num_mels", "num_positions", "num_decoder_layers"),
        *("num_decoder_heads", "decoder_hidden_size"),
    )

    def __post_init__(self):
        super().__post_init__()
        defaults = {
            "num_decoder_layers": self.num_layers,
            "num_decoder_heads": self.num_heads,
            "decoder_hidden_size": self.hidden_size,
        }
        for name, value in defaults.items():
            if getattr(self, name) is None:
                object.__setattr__(self, name, value)
        if self.model_size % 2 or self.model_size < 4:
            raise ValueError(
                f"model_size {self.model_size} of hk.nets.WhisperConfig must be even "
                "and at least 4: half of the encoder's positions are sines."
            )
        if self.model_size % self.num_decoder_heads:  # type: ignore[operator]
            raise ValueError(
                f"model_size {self.model_size} of hk.nets.WhisperConfig isn't a "
                f"multiple of num_decoder_heads {self.num_decoder_heads}."
            )
        check_start(self, self.start_token)

    @property
    def of_decoder(self) -> TransformerConfig:
        """The config that the decoder's blocks read."""
        heads = self.num_decoder_heads
        return with_values(
            self,
            num_layers=self.num_decoder_layers,
            num_heads=heads,
            head_size=self.model_size // heads,  # type: ignore[operator]
            hidden_size=self.decoder_hidden_size,
            causal=True,
        )
