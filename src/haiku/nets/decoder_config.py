"""`DecoderConfig`: what a `Decoder` is made of, checked."""

import dataclasses
import numbers
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from haiku._layers.rotary import Rotary

__all__ = ["ACTIVATIONS", "DecoderConfig"]

ACTIVATIONS: dict[str, Callable[[jax.Array], jax.Array]] = {
    "silu": jax.nn.silu,
    "gelu": lambda x: jax.nn.gelu(x, approximate=False),
    "gelu_tanh": lambda x: jax.nn.gelu(x, approximate=True),
    "relu": jax.nn.relu,
    "relu_squared": lambda x: jnp.square(jax.nn.relu(x)),
    "quick_gelu": lambda x: x * jax.nn.sigmoid(1.702 * x),
}
_CHOICES = {
    "activation": tuple(ACTIVATIONS),
    "norm": ("rms", "rms_offset", "layer"),
    "norm_position": ("pre", "post", "both"),
    "position": ("rotary", "learned", "alibi", None),
    "qk_norm": ("head", "all", None),
    "head": ("tokens", "classes", None),
}
_SIZES = (
    *("vocab_size", "model_size", "num_layers", "num_heads", "num_kv_heads"),
    *("head_size", "hidden_size", "max_length", "num_classes"),
)
_NUMBERS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "norm_eps": (lambda x: x >= 0, "a number of at least 0"),
    "scale": (lambda x: x == x, "a number"),
    "attention_soft_cap": (lambda x: x > 0, "a number above 0"),
    "final_soft_cap": (lambda x: x > 0, "a number above 0"),
    "embedding_scale": (lambda x: x == x, "a number"),
    "dropout": (lambda x: 0 <= x < 1, "a number in [0, 1)"),
}


def _size(name: str, value: Any) -> int:
    whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if not whole or value < 1:
        raise ValueError(
            f"{name} of hk.nets.DecoderConfig must be an integer of at least 1, got "
            f"{value!r}."
        )
    return int(value)


def _windows(windows: Any, num_layers: int) -> tuple[int | None, ...] | None:
    """One entry per layer, or None if no layer has a window."""
    if windows is None:
        return None
    entries = tuple(windows) if isinstance(windows, (tuple, list)) else None
    if entries is None or len(entries) not in (1, num_layers):
        raise ValueError(
            "windows of hk.nets.DecoderConfig must be a tuple with one entry, or one "
            f"for each of the {num_layers} layers, got "
            f"{windows if entries is None else len(entries)}."
        )
    try:
        entries = tuple(None if n is None else _size("windows", n) for n in entries)
    except ValueError:
        raise ValueError(
            "windows of hk.nets.DecoderConfig must be integers of at least 1 or None, "
            f"got {entries}."
        ) from None
    if len(entries) == 1:
        entries *= num_layers
    return entries if any(n is not None for n in entries) else None


def _check_rotary(name: str, rotary: Any, config: "DecoderConfig") -> None:
    if rotary is None and name == "local_rotary":
        return
    if not isinstance(rotary, Rotary):
        raise ValueError(
            f"{name} of hk.nets.DecoderConfig must be a hk.Rotary, got {rotary!r}."
        )
    if config.position == "rotary":
        rotary.frequencies(config.head_size)  # type: ignore[arg-type]


@dataclasses.dataclass(frozen=True)
class DecoderConfig:
    """What a :class:`Decoder` is made of; the defaults make a Llama.

    Args:
      vocab_size: Number of tokens.
      model_size: Size of the hidden state, ``D``.
      num_layers: Number of blocks.
      num_heads: Heads of the queries.
      num_kv_heads: Heads of keys and values. Default: `num_heads`.
      head_size: Size of a head. Default: ``model_size / num_heads``.
      hidden_size: Units of the MLP. Default: ``4 * model_size``.
      max_length: Number of learned positions; the longest text of training.
      activation: ``"silu"``, ``"gelu"``, ``"gelu_tanh"``, ``"relu"``,
        ``"relu_squared"`` or ``"quick_gelu"``.
      gated: Whether the MLP has gates, as :class:`GatedMLP`.
      norm: ``"rms"``, ``"rms_offset"`` (scales by 1 plus the parameter, as Gemma) or
        ``"layer"``.
      norm_position: Norms before attention and MLP (``"pre"``), after them
        (``"post"``), or both.
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
      head: ``"tokens"``, ``"classes"`` (of the last token) or None.
      num_classes: For ``head="classes"``.
      dropout: Rate, where `apply` gets a key.
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
    head: str | None = "tokens"
    num_classes: int | None = None
    dropout: float = 0.0
    source: str | None = dataclasses.field(default=None, compare=False, repr=False)

    def __post_init__(self):
        def put(name, value):
            object.__setattr__(self, name, value)

        for name in _SIZES:
            value = getattr(self, name)
            if value is not None or name in ("vocab_size", "max_length"):
                put(name, _size(name, value))
        if self.num_kv_heads is None:
            put("num_kv_heads", self.num_heads)
        if self.hidden_size is None:
            put("hidden_size", 4 * self.model_size)
        if self.head_size is None:
            if self.model_size % self.num_heads:
                raise ValueError(
                    f"model_size {self.model_size} of hk.nets.DecoderConfig isn't a "
                    f"multiple of num_heads {self.num_heads}: give head_size."
                )
            put("head_size", self.model_size // self.num_heads)
        if self.num_heads % self.num_kv_heads:  # type: ignore[operator]
            raise ValueError(
                f"num_kv_heads {self.num_kv_heads} of hk.nets.DecoderConfig must "
                f"divide num_heads {self.num_heads}."
            )
        put("windows", _windows(self.windows, self.num_layers))
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise ValueError(
                    f"{name} of hk.nets.DecoderConfig must be one of {choices}, got "
                    f"{getattr(self, name)!r}."
                )
        if self.head == "classes" and self.num_classes is None:
            raise ValueError(
                "head='classes' of hk.nets.DecoderConfig needs num_classes."
            )
        for name, (fits, wanted) in _NUMBERS.items():
            value = getattr(self, name)
            if value is None and name not in ("norm_eps", "dropout"):
                continue
            number = isinstance(value, numbers.Real) and not isinstance(value, bool)
            if not number or not fits(value):
                raise ValueError(
                    f"{name} of hk.nets.DecoderConfig must be {wanted}, got {value!r}."
                )
        for name in "rotary", "local_rotary":
            _check_rotary(name, getattr(self, name), self)

    def window(self, layer: int) -> int | None:
        """How many steps a layer sees; None for all."""
        return None if self.windows is None else self.windows[layer]
