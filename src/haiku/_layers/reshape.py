"""`Reshape` and `Flatten`: new shapes behind the batch axes."""

import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from haiku._core import Module
from haiku._layers.explicit_axes import keeping_rows

__all__ = ["Flatten", "Reshape"]


class Reshape(Module):
    """Reshapes the input and keeps its leading axes.

    Args:
      output_shape: New shape of the other axes. One size may be -1: it follows from
        the rest.
      preserve_dims: Number of leading axes to keep. A negative number counts the axes
        to reshape instead. 0 isn't allowed.
      name: Name of the module.

    Raises:
      ValueError: `preserve_dims` is 0, or several sizes are -1.
      TypeError: `output_shape` isn't a sequence of integers.

    Example:
      >>> f = hk.testing.transform_and_run(lambda x: hk.Reshape((-1, 2))(x))
      >>> f(jnp.ones([8, 3, 4])).shape
      (8, 6, 2)
    """

    def __init__(
        self,
        output_shape: Sequence[int],
        preserve_dims: int = 1,
        name: str | None = None,
    ):
        super().__init__(name=name)
        if preserve_dims == 0:
            raise ValueError(
                "Argument preserve_dims should be non-zero. To reshape all axes use "
                "jnp.reshape."
            )
        if not isinstance(output_shape, Sequence) or isinstance(output_shape, str):
            raise TypeError(
                f"output_shape must be a sequence of integers, got {output_shape!r}: "
                "for a single axis pass (size,), or use hk.Flatten()."
            )
        for size in output_shape:
            if not _is_size(size):
                raise TypeError(
                    "output_shape must hold integers, got "
                    f"{size!r} in {tuple(output_shape)!r}"
                )
        if sum(isinstance(size, int) and size == -1 for size in output_shape) > 1:
            raise ValueError(
                f"output_shape may hold -1 once, got {tuple(output_shape)!r}: give all "
                "sizes but one."
            )
        self.output_shape = tuple(
            int(size) if isinstance(size, (bool, np.bool_)) else size
            for size in output_shape
        )
        self.preserve_dims = preserve_dims

    def __call__(self, inputs: jax.Array) -> jax.Array:
        """Returns `inputs` in the new shape, or unchanged if all axes are preserved.

        Raises:
          TypeError: The new shape holds another number of elements than the input.
        """
        shape = inputs.shape
        keep = self.preserve_dims
        if len(shape) <= keep:
            return inputs
        if keep < 0:
            keep = max(len(shape) + keep, 0)
        kept, rest = shape[:keep], shape[keep:]
        target = _fill_wildcard(self.output_shape, rest)
        if target is None and 0 in shape and 0 in (*kept, *self.output_shape):
            # Without elements, any sizes will do.
            target = [0 if n == -1 else n for n in self.output_shape]
        if target is None:
            raise TypeError(
                f"{self.module_name!r} cannot reshape {shape} to "
                f"{(*kept, *self.output_shape)}: the axes after the {len(kept)} "
                f"preserved hold {math.prod(rest)} elements."
            )
        if not kept:
            return jnp.reshape(inputs, target)
        return keeping_rows(lambda x: jnp.reshape(x, (*kept, *target)), inputs)


class Flatten(Reshape):
    """Merges all axes after the leading ones into one.

    Args:
      preserve_dims: Number of leading axes to keep, see :class:`Reshape`.
      name: Name of the module.

    Example:
      >>> flat = hk.bind(hk.Flatten).init(None, jnp.ones([2, 3, 4, 5]))
      >>> flat(jnp.ones([2, 3, 4, 5])).shape
      (2, 60)
    """

    def __init__(self, preserve_dims: int = 1, name: str | None = None):
        super().__init__(output_shape=(-1,), preserve_dims=preserve_dims, name=name)


def _is_size(size: Any) -> bool:
    return hasattr(size, "__index__") or jax.export.is_symbolic_dim(size)


def _fill_wildcard(
    wanted: tuple[int, ...], shape: tuple[int, ...]
) -> tuple[int, ...] | None:
    """`wanted` with its -1 replaced, or None if the sizes don't fit `shape`."""
    size = math.prod(shape)
    if -1 not in wanted:
        return wanted if math.prod(wanted) == size else None
    known = math.prod(n for n in wanted if n != -1)
    if known == 0 or min((n for n in wanted if n != -1), default=0) < 0 or size % known:
        return None
    return tuple(size // known if n == -1 else n for n in wanted)
