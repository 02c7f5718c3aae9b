"""`CLIPConfig`: what a `CLIP` is made of, checked."""

import dataclasses

from haiku.nets.encoder_config import EncoderConfig
from haiku.nets.vision_transformer_config import VisionTransformerConfig

__all__ = ["CLIPConfig"]


@dataclasses.dataclass(frozen=True)
class CLIPConfig:
    """What a :class:`CLIP` is made of; the defaults of both sides make a CLIP.

    Args:
      vision: The :class:`VisionTransformerConfig` of the images, with a pooler.
      text: The :class:`EncoderConfig` of the texts.
      projection_size: Size of the embeddings, ``E``.
      image_projection: Whether a map leads from the pooled image to its embedding.
      projection_bias: Whether the maps to the embeddings have biases.
      pooling: The token that stands for its text: the ``"end"`` token, or the
        ``"last"``, padding or not.
      end_token: The end token, whose first place counts. Default: the largest number in
        a text.
      logit_bias: Whether the logits have a learned bias.
      source: As in :class:`DecoderConfig`.

    Raises:
      ValueError: A side has a head, the images no pooler, sizes don't fit each other,
        or an option is none of its choices.

    Example:
      >>> config = hk.nets.CLIPConfig(
      ...     hk.nets.VisionTransformerConfig(32, 8, 16, 2, 4, pooler="first"),
      ...     hk.nets.EncoderConfig(100, 16, 2, 4, causal=True, norm_position="pre"),
      ...     projection_size=8)
      >>> config.vision.grid, config.text.vocab_size
      ((4, 4), 100)
    """

    vision: VisionTransformerConfig
    text: EncoderConfig
    projection_size: int = 512
    image_projection: bool = True
    projection_bias: bool = False
    pooling: str = "end"
    end_token: int | None = None
    logit_bias: bool = False
    source: str | None = dataclasses.field(default=None, compare=False, repr=False)

    def __post_init__(self):
        where = "of hk.nets.CLIPConfig"
        for name, kind in (
            ("vision", VisionTransformerConfig),
            ("text", EncoderConfig),
        ):
            side = getattr(self, name)
            if not isinstance(side, kind) or side.head is not None:
                raise ValueError(
                    f"{name} {where} must be a hk.nets.{kind.__name__} without a head, "
                    f"got {side!r}."
                )
        for name in "projection_size", "end_token":
            value, least = getattr(self, name), int(name == "projection_size")
            if name == "end_token" and value is None:
                continue
            if type(value) is not int or not least <= value < 2**31:
                raise ValueError(
                    f"{name} {where} must be an integer of at least {least} and below "
                    f"2**31, got {value!r}."
                )
        if self.pooling not in ("end", "last"):
            raise ValueError(
                f"pooling {where} must be one of ('end', 'last'), got {self.pooling!r}."
            )
        if self.vision.pooler is None:
            raise ValueError(
                f"vision {where} has no pooler: build it with pooler='first', or "
                "'attention' without a class token."
            )
        size = self.vision.pooler_size or self.vision.model_size
        if not self.image_projection and size != self.projection_size:
            raise ValueError(
                f"projection_size {self.projection_size} {where} must be the size of "
                f"the pooled image, {size}, or write image_projection=True."
            )
