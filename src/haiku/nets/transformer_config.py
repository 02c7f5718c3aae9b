"""What the configs of transformers share: what a block reads, and its checks."""

import numbers
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp

from haiku._layers.cached_tracing import elementwise
from haiku._layers.rotary import Rotary
from haiku.nets.experts_config import ExpertsConfig

ACTIVATIONS: dict[str, Callable[[jax.Array], jax.Array]] = {
    name: elementwise(name)(f)
    for name, f in {
        "silu": jax.nn.silu,
        "gelu": lambda x: jax.nn.gelu(x, approximate=False),
        "gelu_tanh": lambda x: jax.nn.gelu(x, approximate=True),
        "relu": jax.nn.relu,
        "relu_squared": lambda x: jnp.square(jax.nn.relu(x)),
        "quick_gelu": lambda x: x * jax.nn.sigmoid(1.702 * x),
    }.items()
}
_CHOICES = {
    "activation": tuple(ACTIVATIONS),
    "norm": ("rms", "rms_offset", "layer"),
    "norm_position": ("pre", "post", "both", "sum"),
    "position": ("rotary", "learned", "alibi", None),
    "qk_norm": ("head", "all", None),
}
_SIZES = (
    *("vocab_size", "model_size", "num_layers", "num_heads", "num_kv_heads"),
    *("head_size", "hidden_size", "max_length", "num_classes"),
    *("relative_buckets", "relative_distance", "unroll"),
)
_NUMBERS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "norm_eps": (lambda x: x >= 0, "a number of at least 0"),
    "scale": (lambda x: x == x, "a number"),
    "attention_soft_cap": (lambda x: x > 0, "a number above 0"),
    "final_soft_cap": (lambda x: x > 0, "a number above 0"),
    "embedding_scale": (lambda x: x == x, "a number"),
    "head_scale": (lambda x: x == x, "a number"),
    "layer_scale": (lambda x: x == x, "a number"),
    "dropout": (lambda x: 0 <= x < 1, "a number in [0, 1)"),
    "stochastic_depth": (lambda x: 0 <= x < 1, "a number in [0, 1)"),
}
_REQUIRED = ("norm_eps", "dropout", "stochastic_depth")


class LayerKind(NamedTuple):
    """In what a layer may differ from others of its net.

    Attributes:
      window: How many steps it sees; None for all.
      experts: Whether experts stand for its MLP.
      normed: Whether a norm stands before its attention, where others have one.
    """

    window: int | None = None
    experts: bool = False
    normed: bool = True


class TransformerConfig:
    """What a block reads of a config, and its value where a config has no such field.

    Subclasses are dataclasses; their fields stand over these.
    """

    model_size: int
    num_layers: int
    num_heads: int
    num_kv_heads: int | None = None
    head_size: int | None = None
    hidden_size: int | None = None
    activation: str = "gelu"
    gated: bool = False
    norm: str = "layer"
    norm_position: str = "pre"
    norm_eps: float = 1e-6
    norm_offset: bool = True
    first_norm: bool = True
    causal: bool = False
    position: str | None = None
    rotary: Rotary = Rotary()
    windows: tuple[int | None, ...] | None = None
    local_rotary: Rotary | None = None
    relative_buckets: int = 32
    relative_distance: int = 128
    qk_norm: str | None = None
    attention_bias: bool = True
    key_bias: bool | None = None
    output_bias: bool = True
    mlp_bias: bool = True
    scale: float | None = None
    attention_soft_cap: float | None = None
    sinks: bool = False
    experts: ExpertsConfig | None = None
    layer_scale: float | None = None
    dropout: float = 0.0
    remat: bool = False
    unroll: int = 1
    stochastic_depth: float = 0.0

    _choices: ClassVar[dict[str, tuple]] = {}
    _sizes: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self):
        where = f"of hk.nets.{type(self).__name__}"
        names = self.__dataclass_fields__  # type: ignore[attr-defined]

        def put(name, value):
            object.__setattr__(self, name, value)

        for name in (*_SIZES, *self._sizes):
            if name not in names:
                continue
            value = getattr(self, name)
            if value is not None or names[name].default is not None:
                put(name, _size(f"{name} {where}", value))
        if "num_kv_heads" in names and self.num_kv_heads is None:
            put("num_kv_heads", self.num_heads)
        _check_experts(where, self.experts, self.num_layers)
        if self.hidden_size is None:
            size, experts = 4 * self.model_size, self.experts
            if experts is not None and experts.layers is None:
                size = experts.hidden_size
            put("hidden_size", size)
        if self.head_size is None:
            if self.model_size % self.num_heads:
                raise ValueError(
                    f"model_size {self.model_size} {where} isn't a multiple of "
                    f"num_heads {self.num_heads}: give head_size."
                )
            put("head_size", self.model_size // self.num_heads)
        if self.num_heads % (self.num_kv_heads or 1):
            raise ValueError(
                f"num_kv_heads {self.num_kv_heads} {where} must divide num_heads "
                f"{self.num_heads}."
            )
        put("windows", _windows(where, self.windows, self.num_layers))
        for name, choices in (_CHOICES | self._choices).items():
            if name in names and getattr(self, name) not in choices:
                raise ValueError(
                    f"{name} {where} must be one of {choices}, got "
                    f"{getattr(self, name)!r}."
                )
        for name, (fits, wanted) in _NUMBERS.items():
            if name not in names:
                continue
            value = getattr(self, name)
            if value is None and name not in _REQUIRED:
                continue
            number = isinstance(value, numbers.Real) and not isinstance(value, bool)
            if not number or not fits(value):
                raise ValueError(f"{name} {where} must be {wanted}, got {value!r}.")
        for name in "rotary", "local_rotary":
            if name in names:
                _check_rotary(f"{name} {where}", getattr(self, name), self)
        _check_buckets(where, self.relative_buckets, self.relative_distance)

    def window(self, layer: int) -> int | None:
        """How many steps a layer sees; None for all."""
        return None if self.windows is None else self.windows[layer]

    @property
    def kinds(self) -> tuple[LayerKind, ...]:
        """The kind of each layer."""
        layers = range(self.num_layers)
        of_experts: Sequence[int] = ()
        if self.experts is not None:
            chosen = self.experts.layers
            of_experts = layers if chosen is None else chosen
        return tuple(
            LayerKind(self.window(i), i in of_experts, i > 0 or self.first_norm)
            for i in layers
        )


def _size(what: str, value: Any) -> int:
    whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if not whole or value < 1:
        raise ValueError(f"{what} must be an integer of at least 1, got {value!r}.")
    if int(value) >= 2**31:
        raise ValueError(f"{what} must be below 2**31, got {value}.")
    return int(value)


def _windows(where: str, windows: Any, layers: int) -> tuple[int | None, ...] | None:
    """One entry per layer, or None if no layer has a window."""
    if windows is None:
        return None
    entries = tuple(windows) if isinstance(windows, (tuple, list)) else None
    if entries is None or len(entries) not in (1, layers):
        raise ValueError(
            f"windows {where} must be a tuple with one entry, or one for each of the "
            f"{layers} layers, got {windows if entries is None else len(entries)}."
        )
    try:
        entries = tuple(None if n is None else _size("", n) for n in entries)
    except ValueError:
        raise ValueError(
            f"windows {where} must be integers of at least 1 or None, got {entries}."
        ) from None
    if len(entries) == 1:
        entries *= layers
    return entries if any(n is not None for n in entries) else None


def _check_experts(where: str, experts: Any, layers: int) -> None:
    if experts is None:
        return
    if not isinstance(experts, ExpertsConfig):
        raise ValueError(
            f"experts {where} must be a hk.nets.ExpertsConfig, got {experts!r}."
        )
    if experts.layers is not None and max(experts.layers, default=0) >= layers:
        raise ValueError(
            f"experts {where} are in layers {experts.layers}, and there are only "
            f"{layers}, counted from 0."
        )


def _check_buckets(where: str, buckets: int, distance: int) -> None:
    if buckets < 4 or not buckets // 2 < distance:
        raise ValueError(
            f"relative_buckets {where} must be at least 4, and relative_distance more "
            f"than half of that, got {buckets} and {distance}."
        )


def _check_rotary(what: str, rotary: Any, config: TransformerConfig) -> None:
    if rotary is None and what.startswith("local_rotary"):
        return
    if not isinstance(rotary, Rotary):
        raise ValueError(f"{what} must be a hk.Rotary, got {rotary!r}.")
    if config.position == "rotary":
        rotary.frequencies(config.head_size)  # type: ignore[arg-type]
