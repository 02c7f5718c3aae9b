"""`SequenceLayer`, the protocol of layers that run a sequence at once or step by step.

One step is a sequence of length 1, so each subclass states its arithmetic once.
"""

import abc
from typing import Any

import jax
import jax.numpy as jnp

from haiku._core import Module, transparent
from haiku._layers.explicit_axes import split_like
from haiku._layers.inputs import as_array

__all__ = ["SequenceLayer", "wide_dtype"]


def wide_dtype(dtype: Any) -> Any:
    """The dtype to compute recurrences in: float64 for float64, else float32."""
    return jnp.float64 if dtype == jnp.float64 else jnp.float32


class SequenceLayer(abc.ABC, Module):  # type: ignore[misc]
    """Maps a sequence and a state to outputs and the state after it.

    Subclasses implement `initial_state` and `_run`.
    """

    input_size: int | None = None  # of the last call

    def __call__(
        self, x: jax.Array, state: Any = None, *, mask: jax.Array | None = None
    ) -> tuple[jax.Array, Any]:
        """Runs all steps, in parallel over time.

        Args:
          x: ``[B, T, D]``.
          state: The state before the first step, structured like `initial_state`.
            Default: that.
          mask: True at the steps that count, ``[B, T]``. The others leave the state
            unchanged, wherever they are, and their outputs are 0. Default: all.

        Returns:
          Outputs ``[B, T, ...]``, in the dtype of `x`, and the state after the last
          step, in the dtype of `state`.

        Raises:
          ValueError: `x`, `state` or `mask` has a wrong shape, or sizes don't fit.
        """
        x, where = as_array(x), repr(self.module_name)
        if len(x.shape) != 3:
            raise ValueError(
                f"{where} needs x of shape [batch, steps, features], got {x.shape}. "
                "Run a single step, [batch, features], with its method step."
            )
        self.input_size = x.shape[-1]
        initial = self.initial_state(x.shape[0])
        state = initial if state is None else jax.tree.map(as_array, state)
        have, want = (_shapes(s) for s in (state, initial))
        if have != want:
            raise ValueError(
                f"{where} got x of shape {x.shape} and a state of shapes {have[1]} "
                f"instead of {want[1]}: start from initial_state({x.shape[0]})."
            )
        state = jax.tree.map(lambda s: split_like(s, x), state)
        if mask is None:
            return self._from(x, state, None)
        mask = jnp.asarray(mask)
        if mask.shape != x.shape[:2]:
            raise ValueError(
                f"mask of {where} says which steps count, [B, T] = "
                f"{list(x.shape[:2])}; got {list(mask.shape)}."
            )
        # Steps that count move to the front, so that `_run` sees padding only at the
        # end; afterwards their outputs move back.
        mask = mask.astype(bool)
        order = jnp.argsort(~mask, axis=1)
        count = jnp.sum(mask, axis=1, keepdims=True, dtype=jnp.int32)
        front = jnp.arange(x.shape[1], dtype=jnp.int32)[None] < count
        x = jnp.take_along_axis(x, order[:, :, None], axis=1)
        y, state = self._from(jnp.where(front[:, :, None], x, 0), state, front)
        y = jnp.take_along_axis(y, jnp.argsort(order, axis=1)[:, :, None], axis=1)
        return jnp.where(mask[:, :, None], y, 0), state

    def step(self, x: jax.Array, state: Any) -> tuple[jax.Array, Any]:
        """Runs one step, as a core of :func:`dynamic_unroll` does.

        Args:
          x: ``[B, D]``, or ``[D]`` with a state without batch axis.
          state: The state before the step, structured like `initial_state`.

        Returns:
          Output ``[B, ...]``, or without batch axis, and the state after the step.

        Raises:
          ValueError: `x` or `state` has a wrong shape, or sizes don't fit.
        """
        x = as_array(x)
        if len(x.shape) not in (1, 2):
            raise ValueError(
                f"A step of {self.module_name!r} needs x of shape [features] or "
                f"[batch, features], got {x.shape}. Call the module on a sequence, "
                "[batch, steps, features]."
            )
        if len(x.shape) == 2:
            y, state = self(x[:, None], state)
            return y[:, 0], state
        y, state = self(x[None, None], jax.tree.map(lambda s: as_array(s)[None], state))
        return y[0, 0], jax.tree.map(lambda s: s[0], state)

    @abc.abstractmethod
    def initial_state(self, batch_size: int | None) -> Any:
        """Returns zeros, the state before the first step.

        Args:
          batch_size: ``B``, or None for a state without batch axis.
        """

    @abc.abstractmethod
    def _run(self, x: jax.Array, state: Any, mask: jax.Array | None) -> Any:
        """Outputs and the last state; `mask` is True first and False at the end."""

    @transparent
    def check_sizes(self, **sizes: int | None) -> None:
        """Raises `ValueError` if one is neither positive nor None."""
        for name, size in sizes.items():
            if size is not None and size < 1:
                raise ValueError(
                    f"{name} of {self.module_name!r} must be at least 1, got {size}."
                )

    @transparent
    def known_input_size(self, instead: str) -> int:
        """The size of inputs, if the layer has been called; else `instead` is due."""
        if self.input_size is None:
            raise ValueError(
                f"The state of {self.module_name!r} depends on the features of its "
                f"input, unknown before the first call: build it with {instead}=..."
            )
        return self.input_size

    @transparent
    def _from(self, x, state, mask):
        wide = wide_dtype(x.dtype)
        before = jax.tree.map(lambda s: s.astype(wide), state)
        if isinstance(x.shape[1], int) and x.shape[1] == 0:
            one = jnp.zeros((x.shape[0], 1, x.shape[2]), x.dtype)
            return self._run(one, before, None)[0][:, :0], state
        y, after = self._run(x, before, mask)
        after = jax.tree.map(lambda s, t: t.astype(s.dtype), state, after)
        return y.astype(x.dtype), after


def _shapes(state):
    return jax.tree.structure(state), [s.shape for s in jax.tree.leaves(state)]
