"""`DecoderConfig`: what a `Decoder` is made of, checked."""

import dataclasses
from typing import ClassVar

from haiku._layers.rotary import Rotary
from haiku.nets.experts_config import ExpertsConfig
from haiku.nets.transformer_config import TransformerConfig

__all__ = ["DecoderConfig"]


@dataclasses.dataclass(frozen=True)
class DecoderConfig(TransformerConfig):
    """What a :class:`Decoder` is made of; the defaults make a Llama.

    Args:
      vocab_size: Number of tokens.
      model_size: Size of the hidden state, ``D``.
      num_layers: Number of blocks.
      num_heads: Heads of the queries.
      num_kv_heads: Heads of keys and values. Default: `num_heads`.
      head_size: Size of a head. Default: ``model_size / num_heads``.
      hidden_size: Units of the MLP. Default: ``4 * model_size``, or as many as the
        experts have, if all layers have them.
      max_length: Number of learned positions; the longest text of training.
      activation: ``"silu"``, ``"gelu"``, ``"gelu_tanh"``, ``"relu"``,
        ``"relu_squared"`` or ``"quick_gelu"``.
      gated: Whether the MLP has gates, as :class:`GatedMLP`.
      norm: ``"rms"``, ``"rms_offset"`` (scales by 1 plus the parameter, as Gemma) or
        ``"layer"``.
      norm_position: Norms before attention and MLP (``"pre"``), after them
        (``"post"``), ``"both"``, or of the sum with what went in (``"sum"``).
      norm_eps: Added to the mean of squares.
      position: ``"rotary"``, ``"learned"``, ``"alibi"`` or None.
      rotary: The :class:`Rotary` of all layers.
      windows: How many steps a layer sees: one entry per layer, a size or None, or one
        entry for all. Default: all steps.
      local_rotary: The :class:`Rotary` of layers with a window. Default: `rotary`.
      qk_norm: Norms of queries and keys: ``"head"``, ``"all"`` or None.
      attention_bias: Whether the maps to queries, keys and values have biases.
      output_bias: Whether the map from the heads has one.
      mlp_bias: Whether the MLP's maps have biases.
      scale: Factor of attention's logits. Default: ``1 / sqrt(head_size)``.
      attention_soft_cap: Squashes attention's logits.
      final_soft_cap: Squashes the logits of tokens.
      sinks: Whether each head learns a logit for attending to nothing.
      tied: Whether the head's weights are the embeddings.
      embedding_scale: Factor of the embeddings.
      experts: The :class:`ExpertsConfig` of experts in place of MLPs. Default: none.
      head: ``"tokens"``, ``"classes"`` (of the last token) or None.
      num_classes: For ``head="classes"``.
      dropout: Rate, where `apply` gets a key.
      remat: Whether the backward pass computes each block again, which saves memory.
      unroll: How many blocks that are alike are compiled as one step of a loop. More
        make a larger program, which takes longer to compile and runs a little faster.
      source: The config.json that it was read from, whose other keys are kept when the
        model is saved. Two configs that differ in it alone are equal.

    Raises:
      ValueError: A size isn't a positive integer, sizes don't fit each other, or an
        option is none of its choices.

    Example:
      >>> config = hk.nets.DecoderConfig(
      ...     vocab_size=100, model_size=16, num_layers=2, num_heads=4, num_kv_heads=2)
      >>> config.head_size, config.hidden_size
      (4, 64)
    """

    vocab_size: int
    model_size: int
    num_layers: int
    num_heads: int
    num_kv_heads: int | None = None
    head_size: int | None = None
    hidden_size: int | None = None
    max_length: int = 2048
    activation: str = "silu"
    gated: bool = True
    norm: str = "rms"
    norm_position: str = "pre"
    norm_eps: float = 1e-6
    position: str | None = "rotary"
    rotary: Rotary = Rotary()
    windows: tuple[int | None, ...] | None = None
    local_rotary: Rotary | None = None
    qk_norm: str | None = None
    attention_bias: bool = False
    output_bias: bool = False
    mlp_bias: bool = False
    scale: float | None = None
    attention_soft_cap: float | None = None
    final_soft_cap: float | None = None
    sinks: bool = False
    tied: bool = False
    embedding_scale: float | None = None
    experts: ExpertsConfig | None = None
    head: str | None = "tokens"
    num_classes: int | None = None
    dropout: float = 0.0
    remat: bool = False
    unroll: int = 1
    source: str | None = dataclasses.field(default=None, compare=False, repr=False)

    causal: ClassVar[bool] = True
    _choices: ClassVar[dict[str, tuple]] = {"head": ("tokens", "classes", None)}

    def __post_init__(self):
        super().__post_init__()
        if self.head == "classes" and self.num_classes is None:
            raise ValueError(
                "head='classes' of hk.nets.DecoderConfig needs num_classes."
            )
