"""`ExpertsConfig`: the experts of a decoder's blocks, checked."""

import dataclasses
import math
import numbers
from typing import Any

__all__ = ["ExpertsConfig"]


@dataclasses.dataclass(frozen=True)
class ExpertsConfig:
    """The :class:`MixtureOfExperts` that stands for the MLP of a decoder's blocks.

    Args:
      num_experts: How many experts a layer has.
      num_selected: How many a token chooses.
      hidden_size: Hidden units of an expert.
      renormalise: Whether to divide the probabilities of the chosen by their sum.
      layers: Indices of the layers with experts; the others have an MLP. Default: all.
      shared_size: Hidden units of an MLP that each token passes beside its experts.
        Default: none.
      capacity_factor: As in :class:`MixtureOfExperts`. Default: no choice is dropped.
      router: ``"softmax"`` or ``"softmax_of_selected"``.
      with_bias: Whether the router and all maps have biases.
      swiglu_limit: ``c`` of gpt-oss's gates, in place of the activation:
        ``(up + 1) * gate * sigmoid(1.702 * gate)`` of ``gate`` at most `c` and ``up``
        within `c` of 0. Default: gates as in :class:`GatedMLP`.

    Raises:
      ValueError: A size isn't a positive integer, an option none of its choices.

    Example:
      >>> experts = hk.nets.ExpertsConfig(8, 2, hidden_size=32)
      >>> config = hk.nets.DecoderConfig(
      ...     vocab_size=64, model_size=16, num_layers=2, num_heads=2, experts=experts)
      >>> tokens = jnp.ones([2, 8], jnp.int32)
      >>> model = hk.bind(hk.nets.Decoder, config).init(0, tokens)
      >>> logits, losses = model(tokens, router_losses=True)
      >>> losses.load_balance.shape
      ()
    """

    num_experts: int
    num_selected: int
    hidden_size: int
    renormalise: bool = True
    layers: tuple[int, ...] | None = None
    shared_size: int | None = None
    capacity_factor: float | None = None
    router: str = "softmax"
    with_bias: bool = False
    swiglu_limit: float | None = None

    def __post_init__(self):
        where = "of hk.nets.ExpertsConfig"
        for name in ("num_experts", "num_selected", "hidden_size", "shared_size"):
            value = getattr(self, name)
            if name == "shared_size" and value is None:
                continue
            if not _is_index(value) or value < 1:
                raise ValueError(
                    f"{name} {where} must be an integer of at least 1, got {value!r}."
                )
        if self.num_selected > self.num_experts:
            raise ValueError(
                f"num_selected {where} must be at most num_experts "
                f"{self.num_experts}, got {self.num_selected}."
            )
        for name in "capacity_factor", "swiglu_limit":
            value: Any = getattr(self, name)
            number = isinstance(value, numbers.Real) and not isinstance(value, bool)
            if value is not None and not (number and 0 < float(value) < math.inf):
                raise ValueError(
                    f"{name} {where} must be a finite number above 0, got {value!r}."
                )
        if self.router not in ("softmax", "softmax_of_selected"):
            raise ValueError(
                f"router {where} must be 'softmax' or 'softmax_of_selected', got "
                f"{self.router!r}."
            )
        if self.layers is not None:
            if not all(map(_is_index, self.layers)):
                raise ValueError(
                    f"layers {where} must be indices of layers, got {self.layers!r}."
                )
            object.__setattr__(self, "layers", tuple(sorted(set(self.layers))))


def _is_index(value: Any) -> bool:
    whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    return whole and int(value) >= 0
