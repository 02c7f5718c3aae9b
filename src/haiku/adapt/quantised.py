"""`Int8` and `Int4`: weights as small integers, and steps."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jax.core import Tracer

from haiku._core import DO_NOT_STORE, get_parameter, next_rng_key
from haiku._layers.inputs import at_least_single
from haiku._text import array_text
from haiku.adapt.adaptation import (
    STORED,
    Adaptation,
    Arrays,
    Own,
    Shape,
    check_matrix,
    is_count,
    path,
)

__all__ = ["Int4", "Int8"]


@dataclasses.dataclass(frozen=True, repr=False)
class Int8(Adaptation):
    """Stores weights as int8, with a step for each output.

        w_scale = max |w| / 127;    w = w_scale round(w / w_scale)

    The error of a weight is at most half a step. A frozen dataclass; also a context
    manager, inside a transformed function.

    Args:
      pattern: Which weights, by their path.

    Parameters:
      ``w`` becomes int8 ``[..., in, out]``; beside it lies ``w_scale`` ``[..., out]``
      in the dtype that it had, in which it is read. Beside a weight of another name
      ``gate_scale``.

    Gradient:
      Reaches ``w_scale``; integers have none: differentiate by other parameters.

    Raises:
      ValueError: In use, `pattern` finds nothing or something other than matrices of
        floats, or a weight is quantised already or not finite.

    Source:
      Dettmers et al., 2022, LLM.int8(): 8-bit Matrix Multiplication for Transformers at
      Scale, arXiv:2208.07339, section 2, with the weights alone quantised.

    Example:
      >>> model = hk.bind(hk.Linear, 2).init(0, jnp.ones([1, 3]))
      >>> hk.adapt.add(model, hk.adapt.Int8("**/w"))
      Bound(Blueprint(Linear, 2), hooks=[Int8('**/w')])
        linear/b        f32[2]
        linear/w        s8[3,2]
        linear/w_scale  f32[2]
      10 parameters
    """

    kind: ClassVar[str] = STORED
    dtype: ClassVar[Any] = jnp.int8
    most: ClassVar[int] = 127

    def _check(self, where: str, w: Any) -> None:
        """Raises ValueError unless it is a matrix."""
        check_matrix(self, where, w)

    def _shapes(self, shape: Shape, name: str) -> dict[str, Shape]:
        """The steps."""
        *lead, _, output_size = shape
        return {f"{name}_scale": (*lead, output_size)}

    def _made(self, w, name, key):
        """The weight as integers, and the steps."""
        group = self._group(w.shape[-2])
        integers, steps = _quantised(w, group, self.most, self.dtype)
        _check_finite(self, name, steps)
        shape = self._shapes(w.shape, name)[f"{name}_scale"]
        return integers, {f"{name}_scale": steps.reshape(shape)}

    def _read(self, w: Any, own: Arrays, name: str, key: Any = None) -> Any:
        """Integers times steps, in the dtype of the steps."""
        *lead, _, output_size = w.shape
        steps = own[f"{name}_scale"].reshape(*lead, -1, output_size)
        grouped = _grouped(w, self._group(w.shape[-2])).astype(steps.dtype)
        return _ungrouped(grouped * steps[..., None, :], w.shape)

    def _group(self, size: int) -> int:
        """How many inputs have a step in common."""
        return size

    def _creator(self, next_creator, shape, dtype, init, context):
        """Makes integers, and steps beside them."""
        w = next_creator(shape, dtype, init)
        if w is DO_NOT_STORE or not self._is_of(context):
            return w
        self._check(path(context), w)
        integers, own = self._made(w, context.name, next_rng_key)
        for name, steps in own.items():
            get_parameter(name, steps.shape, steps.dtype, init=Own(own, name))
        return integers

    def _getter(self, next_getter, value, context):
        """Reads a weight, before hooks inside get it."""
        stored = value is not DO_NOT_STORE
        if stored and self._is_of(context) and value.dtype != self.dtype:
            raise ValueError(
                f"hk.adapt.{self!r} reads {self.dtype.__name__}, and {path(context)} "
                f"is {array_text(value)}: make parameters with it, or call "
                "hk.adapt.add, which converts those of a model."
            )
        return super()._getter(next_getter, value, context)


@dataclasses.dataclass(frozen=True, repr=False)
class Int4(Int8):
    """Stores weights as int4, with a step for each output and group of inputs.

        w_scale = max |w| / 7;    w = w_scale round(w / w_scale)

    The error of a weight is at most half a step. JAX keeps two weights in a byte; on
    CPU its loops unpack what they run over to a byte each. A frozen dataclass; also a
    context manager, inside a transformed function.

    Args:
      pattern: Which weights, by their path.
      group_size: Inputs that have a step in common; the last group may be smaller.

    Parameters:
      ``w`` becomes int4 ``[..., in, out]``; beside it lies ``w_scale``
      ``[..., ceil(in / group_size), out]`` in the dtype that it had, in which it is
      read. Beside a weight of another name ``gate_scale``.

    Gradient:
      Reaches ``w_scale``; integers have none: differentiate by other parameters.

    Raises:
      ValueError: `group_size` isn't an integer of at least 1; in use, as :class:`Int8`.

    Source:
      Dettmers et al., 2023, QLoRA: Efficient Finetuning of Quantized LLMs,
      arXiv:2305.14314, (1), with integers in the place of NF4.

    Example:
      >>> model = hk.bind(hk.Linear, 2).init(0, jnp.ones([1, 64]))
      >>> small = hk.adapt.add(model, hk.adapt.Int4("**/w", group_size=16))
      >>> small.params["linear"]["w"].dtype, small.params["linear"]["w_scale"].shape
      (dtype(int4), (4, 2))
    """

    group_size: int = 32
    dtype: ClassVar[Any] = jnp.int4
    most: ClassVar[int] = 7

    def __post_init__(self):
        super().__post_init__()
        if not is_count(self.group_size):
            raise ValueError(
                "group_size of hk.adapt.Int4 must be an integer of at least 1, got "
                f"{self.group_size!r}."
            )

    def _shapes(self, shape: Shape, name: str) -> dict[str, Shape]:
        """The steps."""
        *lead, size, output_size = shape
        groups = -(-size // self._group(size))
        return {f"{name}_scale": (*lead, groups, output_size)}

    def _group(self, size: int) -> int:
        return min(self.group_size, size)


def _grouped(w: Any, group: int) -> Any:
    """``[..., in, out]`` as ``[..., groups, group, out]``, zeros at the end."""
    *lead, size, output_size = w.shape
    missing = -size % group
    if missing:
        w = jnp.pad(w, [(0, 0)] * len(lead) + [(0, missing), (0, 0)])
    return w.reshape(*lead, -1, group, output_size)


def _ungrouped(w: Any, shape: Shape) -> Any:
    *lead, size, output_size = shape
    return w.reshape(*lead, -1, output_size)[..., :size, :]


@functools.partial(jax.jit, static_argnums=(1, 2, 3))
def _quantised(w, group, most, dtype):
    """Integers like `w`, and steps ``[..., groups, out]`` in its dtype."""
    wide = _grouped(w, group).astype(at_least_single(w.dtype))
    largest = jnp.max(jnp.abs(wide), axis=-2)
    steps = (largest / most).astype(w.dtype)
    # A step rounded down so far that the largest weight would be cut off.
    short = steps.astype(wide.dtype) * (most + 0.5) < largest
    steps = jnp.where(short, jnp.nextafter(steps, jnp.full_like(steps, jnp.inf)), steps)
    steps = jnp.where(largest == 0, jnp.ones_like(steps), steps)
    integers = jnp.round(wide / steps[..., None, :].astype(wide.dtype))
    integers = jnp.clip(integers, -most, most)
    return _ungrouped(integers, w.shape).astype(dtype), steps


def _check_finite(adaptation, name, steps):
    if not isinstance(steps, Tracer) and not bool(jnp.isfinite(steps).all()):
        raise ValueError(
            f"hk.adapt.{adaptation!r} can't make integers of {name!r}: it holds "
            "infinite numbers or NaN."
        )
