"""`EncoderConfig`: what an `Encoder` is made of, checked."""

import dataclasses
from typing import ClassVar

from haiku._layers.rotary import Rotary
from haiku.nets.transformer_config import TransformerConfig

__all__ = ["EncoderConfig"]


@dataclasses.dataclass(frozen=True)
class EncoderConfig(TransformerConfig):
    """What an :class:`Encoder` is made of; the defaults make a BERT without a head.

    Args:
      vocab_size: Number of tokens.
      model_size: Size of the hidden state, ``D``.
      num_layers: Number of blocks.
      num_heads: Heads of the attention.
      head_size: Size of a head. Default: ``model_size / num_heads``.
      hidden_size: Units of the MLP. Default: ``4 * model_size``.
      max_length: Number of learned positions; the longest text of training.
      token_types: Number of token types, such as question and answer. Default: none.
      activation: As in :class:`DecoderConfig`.
      gated: Whether the MLP has gates, as :class:`GatedMLP`.
      norm: ``"layer"``, ``"rms"`` or ``"rms_offset"``.
      norm_position: Norms of the sum with what went in (``"sum"``), before attention
        and MLP (``"pre"``), after them (``"post"``), or both.
      norm_eps: Added to the mean of squares.
      norm_offset: Whether layer norms have offsets.
      embedding_norm: Whether a norm follows the embeddings.
      first_norm: Whether the first layer has a norm before its attention.
      causal: Whether a token sees only itself and earlier ones.
      position: ``"learned"``, ``"rotary"``, ``"alibi"``, ``"relative"`` (as T5: a
        learned logit per head for each range of distances, in all layers alike) or
        None.
      position_offset: Rows of the table of positions that stand before the first.
      rotary: The :class:`Rotary` of all layers.
      windows: How many steps a layer sees, half of them on either side: one entry per
        layer, a size or None, or one entry for all. Default: all steps.
      local_rotary: The :class:`Rotary` of layers with a window. Default: `rotary`.
      relative_buckets: Number of ranges of relative positions, half of them on either
        side.
      relative_distance: From this distance on, all are in the last range.
      attention_bias: Whether the maps to queries, keys and values have biases.
      output_bias: Whether the map from the heads has one.
      mlp_bias: Whether the MLP's maps have biases.
      scale: Factor of attention's logits. Default: ``1 / sqrt(head_size)``.
      pooler: Whether a layer with tanh reads the first token, for classes and
        :meth:`Encoder.pooled`.
      pooling: What classes read: the ``"first"`` token or the ``"mean"`` of all.
      transform: Whether the head begins with a layer, activation and norm.
      transform_bias: Whether that layer has a bias.
      tied: Whether the head's weights are the embeddings.
      head: ``"tokens"``, ``"classes"`` (of the text), ``"token_classes"`` or None.
      num_classes: For classes.
      dropout: Rate, where `apply` gets a key.
      remat: Whether the backward pass computes each block again, which saves memory.
      unroll: How many blocks that are alike are compiled as one step of a loop. More
        make a larger program, which takes longer to compile and runs a little faster.
      source: As in :class:`DecoderConfig`.

    Raises:
      ValueError: A size isn't a positive integer, sizes don't fit each other, or an
        option is none of its choices.

    Example:
      >>> config = hk.nets.EncoderConfig(
      ...     vocab_size=100, model_size=16, num_layers=2, num_heads=4)
      >>> config.head_size, config.hidden_size
      (4, 64)
    """

    vocab_size: int
    model_size: int
    num_layers: int
    num_heads: int
    head_size: int | None = None
    hidden_size: int | None = None
    max_length: int = 512
    token_types: int | None = None
    activation: str = "gelu"
    gated: bool = False
    norm: str = "layer"
    norm_position: str = "sum"
    norm_eps: float = 1e-12
    norm_offset: bool = True
    embedding_norm: bool = True
    first_norm: bool = True
    causal: bool = False
    position: str | None = "learned"
    position_offset: int = 0
    rotary: Rotary = Rotary()
    windows: tuple[int | None, ...] | None = None
    local_rotary: Rotary | None = None
    relative_buckets: int = 32
    relative_distance: int = 128
    attention_bias: bool = True
    output_bias: bool = True
    mlp_bias: bool = True
    scale: float | None = None
    pooler: bool = False
    pooling: str = "first"
    transform: bool = False
    transform_bias: bool = True
    tied: bool = False
    head: str | None = None
    num_classes: int | None = None
    dropout: float = 0.0
    remat: bool = False
    unroll: int = 1
    source: str | None = dataclasses.field(default=None, compare=False, repr=False)

    _choices: ClassVar[dict[str, tuple]] = {
        "head": ("tokens", "classes", "token_classes", None),
        "pooling": ("first", "mean"),
        "position": ("learned", "rotary", "alibi", "relative", None),
    }
    _sizes: ClassVar[tuple[str, ...]] = ("token_types",)

    def __post_init__(self):
        super().__post_init__()
        offset = self.position_offset
        if type(offset) is not int or offset < 0:
            raise ValueError(
                "position_offset of hk.nets.EncoderConfig must be an integer of at "
                f"least 0, got {offset!r}."
            )
        if self.head in ("classes", "token_classes") and self.num_classes is None:
            raise ValueError(
                f"head={self.head!r} of hk.nets.EncoderConfig needs num_classes."
            )
        if self.pooler and self.head in ("tokens", "token_classes"):
            raise ValueError(
                f"head={self.head!r} of hk.nets.EncoderConfig doesn't read a pooler: "
                "build it with pooler=False."
            )
