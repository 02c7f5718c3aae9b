"""`LoRA` and `DoRA`: weights plus a product of two thin matrices."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from haiku._core import DO_NOT_STORE, GetterContext, maybe_next_rng_key
from haiku._layers.functional import dropout
from haiku._layers.inputs import at_least_single
from haiku.adapt.adaptation import (
    UPDATED,
    Adaptation,
    Arrays,
    Shape,
    check_matrix,
    is_count,
    is_finite,
    path,
)

__all__ = ["DoRA", "LoRA", "norms_of"]


@dataclasses.dataclass(frozen=True, repr=False)
class LoRA(Adaptation):
    """Adds a product of two thin matrices to weights: few parameters to train.

        w + alpha / rank * lora_a lora_b

    `lora_a` begins He uniform and `lora_b` as zeros, so that nothing changes at first.
    A frozen dataclass; also a context manager, inside a transformed function.

    Args:
      pattern: Which weights, by their path.
      rank: ``r``, at most the smaller size of the weight.
      alpha: Default: `rank`, a factor of 1.
      dropout: Rate in [0, 1) at which features of the input miss the product, where
        `apply` gets a key. One choice holds for all tokens of a call.

    Parameters:
      Beside each ``w`` ``[..., in, out]``, ``lora_a`` ``[..., in, r]`` and ``lora_b``
      ``[..., r, out]``, in single precision at least; beside a weight of another name
      ``lora_a_gate``, ``lora_b_gate``.

    Gradient:
      Reaches the weight too: train ``hk.surgery.split(params, "**/lora_*")[0]`` alone,
      or add :class:`Frozen`.

    Raises:
      ValueError: `rank` isn't an integer of at least 1, `alpha` isn't a finite number,
        or `dropout` isn't in [0, 1); in use, `pattern` finds nothing or something other
        than matrices, `rank` is too large, or a weight has an update already.

    Source:
      Hu et al., 2021, LoRA: Low-Rank Adaptation of Large Language Models,
      arXiv:2106.09685, (3). There dropout is of each token.

    Example:
      >>> def f(x):
      ...     with hk.adapt.LoRA("**/w", rank=2):
      ...         return hk.Linear(8)(x)
      >>> hk.surgery.paths(hk.transform(f).init(0, jnp.ones([1, 4])))
      ['linear/b', 'linear/lora_a', 'linear/lora_b', 'linear/w']
    """

    rank: int
    alpha: float | None = None
    dropout: float = 0.0
    kind: ClassVar[str] = UPDATED

    def __post_init__(self):
        super().__post_init__()
        what = f"hk.adapt.{type(self).__name__}"
        if not is_count(self.rank):
            raise ValueError(
                f"rank of {what} must be an integer of at least 1, got {self.rank!r}."
            )
        if self.alpha is not None and not is_finite(self.alpha):
            raise ValueError(
                f"alpha of {what} must be a finite number, or None for the rank, got "
                f"{self.alpha!r}."
            )
        if not (is_finite(self.dropout) and 0 <= self.dropout < 1):
            raise ValueError(
                f"dropout of {what} must be a rate in [0, 1), got {self.dropout!r}."
            )

    @property
    def factor(self) -> float:
        """The factor of the product, ``alpha / rank``."""
        return 1.0 if self.alpha is None else self.alpha / self.rank

    def _shapes(self, shape: Shape, name: str) -> dict[str, Shape]:
        """`lora_a` and `lora_b`."""
        *lead, size, output_size = shape
        return {
            beside("lora_a", name): (*lead, size, self.rank),
            beside("lora_b", name): (*lead, self.rank, output_size),
        }

    def _check(self, where: str, w: Any) -> None:
        """Raises ValueError unless it is a matrix that the rank fits."""
        check_matrix(self, where, w)
        *_, size, output_size = w.shape
        if self.rank > min(size, output_size):
            raise ValueError(
                f"hk.adapt.{self!r}: rank {self.rank} is too large for {where}, whose "
                f"matrix is {size} x {output_size}: at most "
                f"{min(size, output_size)}."
            )

    def _made(self, w, name, key):
        """The weight as it is, and random `lora_a` with zeros in `lora_b`."""
        wide, bound = at_least_single(w.dtype), math.sqrt(6 / w.shape[-2])
        a, b, *_ = self._shapes(w.shape, name).items()
        drawn = jax.random.uniform(key(), a[1], wide, -bound, bound)
        return w, {a[0]: drawn, b[0]: jnp.zeros(b[1], wide)}

    def _getter(self, next_getter, value, context: GetterContext):
        """Reads a weight, after hooks inside: in any order of blocks, the last."""
        w = next_getter(value)
        if w is DO_NOT_STORE or not self._is_of(context):
            return w
        self._check(path(context), w)
        own = self._own(w, context)
        key = maybe_next_rng_key() if self.dropout else None
        return self._read(w, own, context.name, key)

    def _read(self, w: Any, own: Arrays, name: str, key: Any = None) -> Any:
        """The sum, in the weight's dtype."""
        return self._sum(w, own, name, key).astype(w.dtype)

    def _sum(self, w, own, name, key):
        a, b = own[beside("lora_a", name)], own[beside("lora_b", name)]
        if key is not None:
            a = dropout(key, self.dropout, a, broadcast_dims=(-1,))
        return w.astype(at_least_single(w.dtype)) + self.factor * jnp.matmul(a, b)


@dataclasses.dataclass(frozen=True, repr=False)
class DoRA(LoRA):
    """`LoRA` of a weight's direction, and a magnitude for each output.

        v = w + alpha / rank * lora_a lora_b;    magnitude v / |v|

    ``|v|`` is over inputs, for each output. The magnitude begins as that of ``w``, so
    that nothing changes at first.

    Args:
      pattern: Which weights, by their path.
      rank: ``r``, at most the smaller size of the weight.
      alpha: Default: `rank`, a factor of 1.
      dropout: As :class:`LoRA`'s.

    Parameters:
      Those of :class:`LoRA`, and ``lora_magnitude`` ``[..., out]``.

    Gradient:
      That of the equation with ``|v|`` as a constant.

    Raises:
      ValueError: As :class:`LoRA`.

    Source:
      Liu et al., 2024, DoRA: Weight-Decomposed Low-Rank Adaptation, arXiv:2402.09353,
      (5) and section 4.3.

    Example:
      >>> model = hk.bind(hk.Linear, 8).init(0, jnp.ones([1, 4]))
      >>> model = hk.adapt.add(model, hk.adapt.DoRA("**/w", rank=2), rng_key=1)
      >>> hk.surgery.paths(model.params, "**/lora_*")
      ['linear/lora_a', 'linear/lora_b', 'linear/lora_magnitude']
    """

    def _shapes(self, shape: Shape, name: str) -> dict[str, Shape]:
        """Those of `LoRA`, and `lora_magnitude`."""
        *lead, _, output_size = shape
        magnitude = {beside("lora_magnitude", name): (*lead, output_size)}
        return super()._shapes(shape, name) | magnitude

    def _made(self, w, name, key):
        """The same, and the norms of the weight."""
        w, own = super()._made(w, name, key)
        own[beside("lora_magnitude", name)] = norms_of(w)
        return w, own

    def _read(self, w: Any, own: Arrays, name: str, key: Any = None) -> Any:
        """The direction times the magnitude, in the weight's dtype."""
        magnitude = own[beside("lora_magnitude", name)]
        lengths = jax.lax.stop_gradient(norms_of(self._sum(w, own, name, None)))
        factor = magnitude / jnp.where(lengths > 0, lengths, 1)  # no direction: 0
        return (self._sum(w, own, name, key) * factor[..., None, :]).astype(w.dtype)


def norms_of(w: Any) -> jax.Array:
    """The length of each output's column, ``[..., out]``."""
    return jnp.sqrt(jnp.sum(jnp.square(w.astype(at_least_single(w.dtype))), axis=-2))


def beside(own: str, name: str) -> str:
    """The name of a parameter beside a weight: `lora_a`, or `lora_a_gate` of `gate`."""
    return own if name == "w" else f"{own}_{name}"
