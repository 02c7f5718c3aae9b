"""`VisionTransformerConfig`: what a `VisionTransformer` is made of, checked."""

import dataclasses
import numbers
from typing import Any, ClassVar

from haiku.nets.transformer_config import TransformerConfig

__all__ = ["VisionTransformerConfig"]


@dataclasses.dataclass(frozen=True)
class VisionTransformerConfig(TransformerConfig):
    """What a :class:`VisionTransformer` is made of; the defaults make a ViT.

    Args:
      image_size: Height and width of the images of training, one number or a pair; each
        of their patches has a learned position.
      patch_size: Height and width of a patch, one number or a pair.
      model_size: Size of the hidden state, ``D``.
      num_layers: Number of blocks.
      num_heads: Heads of the attention.
      channels: Channels of the images.
      head_size: Size of a head. Default: ``model_size / num_heads``.
      hidden_size: Units of the MLP. Default: ``4 * model_size``.
      activation: As in :class:`DecoderConfig`.
      gated: Whether the MLP has gates, as :class:`GatedMLP`.
      norm: ``"layer"``, ``"rms"`` or ``"rms_offset"``.
      norm_eps: Added to the mean of squares.
      patch_bias: Whether the map of patches has a bias.
      class_token: Whether a learned token stands before the patches.
      registers: Number of learned tokens between that one and the patches.
      mask_token: Whether a learned token can stand for a patch.
      antialias: Whether positions are antialiased where an image has fewer patches than
        those of training.
      embedding_norm: Whether a norm follows the embeddings.
      layer_scale: Initial value of a :class:`LayerScale` after attention and MLP.
        Default: none.
      attention_bias: Whether the maps to queries, keys and values have biases.
      pooler: What :meth:`VisionTransformer.pooled` returns: the ``"first"`` token, tanh
        of a map of it (``"tanh"``), or the output of a block in which a learned query
        attends to all (``"attention"``). Default: no pooler.
      pooler_size: Size of the output of ``"tanh"``. Default: `model_size`.
      pooled_norm: Whether the last norm is that of the ``"first"`` token alone, and the
        hidden state has none.
      pooling: What classes read: the ``"first"`` token, the ``"mean"`` of the patches,
        or ``"both"`` joined.
      head: ``"classes"`` or None.
      num_classes: For classes.
      dropout: Rate, where `apply` gets a key.
      remat: Whether the backward pass computes each block again, which saves memory.
      unroll: How many blocks that are alike are compiled as one step of a loop. More
        make a larger program, which takes longer to compile and runs a little faster.
      stochastic_depth: Rate at which the last block leaves out its attention and its
        MLP, each by itself, where `apply` gets a key; that of the first is 0, and it
        grows evenly between, see :func:`stochastic_depth`.
      source: As in :class:`DecoderConfig`.

    Raises:
      ValueError: A size isn't a positive integer, sizes don't fit each other, or an
        option is none of its choices.

    Example:
      >>> config = hk.nets.VisionTransformerConfig(
      ...     image_size=32, patch_size=8, model_size=16, num_layers=2, num_heads=4)
      >>> config.grid, config.hidden_size
      ((4, 4), 64)
    """

    image_size: Any
    patch_size: Any
    model_size: int
    num_layers: int
    num_heads: int
    channels: int = 3
    head_size: int | None = None
    hidden_size: int | None = None
    activation: str = "gelu"
    gated: bool = False
    norm: str = "layer"
    norm_eps: float = 1e-12
    patch_bias: bool = True
    class_token: bool = True
    registers: int = 0
    mask_token: bool = False
    antialias: bool = False
    embedding_norm: bool = False
    layer_scale: float | None = None
    attention_bias: bool = True
    pooler: str | None = None
    pooler_size: int | None = None
    pooled_norm: bool = False
    pooling: str = "first"
    head: str | None = None
    num_classes: int | None = None
    dropout: float = 0.0
    remat: bool = False
    unroll: int = 1
    stochastic_depth: float = 0.0
    source: str | None = dataclasses.field(default=None, compare=False, repr=False)

    _choices: ClassVar[dict[str, tuple]] = {
        "head": ("classes", None),
        "pooler": ("first", "tanh", "attention", None),
        "pooling": ("first", "mean", "both"),
    }
    _sizes: ClassVar[tuple[str, ...]] = ("channels", "pooler_size")

    def __post_init__(self):
        super().__post_init__()
        where = "of hk.nets.VisionTransformerConfig"
        for name in "image_size", "patch_size":
            object.__setattr__(
                self, name, size_pair(f"{name} {where}", getattr(self, name))
            )
        if not all(self.grid):
            raise ValueError(
                f"image_size {self.image_size} {where} is below patch_size "
                f"{self.patch_size}."
            )
        if type(self.registers) is not int or self.registers < 0:
            raise ValueError(
                f"registers {where} must be an integer of at least 0, got "
                f"{self.registers!r}."
            )
        if self.pooler_size == self.model_size:
            object.__setattr__(self, "pooler_size", None)
        if self.pooler in ("first", "tanh") and not self.class_token:
            raise ValueError(f"pooler={self.pooler!r} {where} needs class_token=True.")
        if self.pooled_norm and self.pooler != "first":
            raise ValueError(f"pooled_norm=True {where} needs pooler='first'.")
        if self.head is None:
            return
        if self.num_classes is None:
            raise ValueError(f"head={self.head!r} {where} needs num_classes.")
        if self.pooling != "mean" and not self.class_token:
            raise ValueError(
                f"pooling={self.pooling!r} {where} needs class_token=True, or write "
                "pooling='mean'."
            )

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of patches in an image of training."""
        (height, width), (h, w) = self.image_size, self.patch_size
        return height // h, width // w


def size_pair(what: str, value: Any) -> tuple[int, int]:
    """A size as a pair, from one integer or two."""
    pair = value if isinstance(value, (tuple, list)) else (value, value)
    if len(pair) != 2 or not all(
        isinstance(x, numbers.Integral) and not isinstance(x, bool) and int(x) >= 1
        for x in pair
    ):
        raise ValueError(
            f"{what} must be one or two integers of at least 1, got {value!r}."
        )
    return int(pair[0]), int(pair[1])
