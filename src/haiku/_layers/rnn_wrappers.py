"""Cores built from other cores: stacked, or reset in the middle of a sequence."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from haiku._layers.cached_tracing import jit_activation
from haiku._layers.rnn_unroll import RNNCore

__all__ = ["DeepRNN", "ResetCore", "deep_rnn_with_skip_connections"]


class _DeepRNN(RNNCore):
    """A stack of cores and functions."""

    def __init__(
        self,
        layers: Sequence[Any],
        skip_connections: bool,
        name: str | None = None,
    ):
        super().__init__(name=name)
        self.layers = layers
        self.skip_connections = skip_connections
        if skip_connections and not all(isinstance(x, RNNCore) for x in layers):
            raise ValueError(
                "skip_connections requires all layers to be instances of RNNCore, got "
                f"{[type(layer).__name__ for layer in layers]}: apply functions to the "
                "inputs or outputs, or use hk.DeepRNN, which allows them between cores."
            )

    def __call__(self, inputs: Any, state: Any) -> tuple[Any, tuple[Any, ...]]:
        """Runs one step of all layers.

        Args:
          inputs: Inputs of the first layer.
          state: One state per core, in order.

        Returns:
          Outputs of the last layer (with skip connections: of all, concatenated), and
          the new states.

        Raises:
          ValueError: The number of states isn't the number of cores.
        """
        cores = sum(isinstance(layer, RNNCore) for layer in self.layers)
        if len(state) != cores:
            raise ValueError(
                f"{self.module_name!r} has {cores} cores, but got {len(state)} "
                "states: start from its initial_state."
            )
        before = iter(state)
        out, outputs, states = inputs, [], []
        for i, layer in enumerate(self.layers):
            if self.skip_connections and i > 0:
                out = jax.tree.map(_concatenate, inputs, out)
            if isinstance(layer, RNNCore):
                out, new_state = layer(out, next(before))
                states.append(new_state)
            else:
                out = jit_activation(layer)(out)
            outputs.append(out)
        if self.skip_connections:
            out = jax.tree.map(_concatenate, *outputs)
        return out, tuple(states)

    def initial_state(self, batch_size: int | None) -> tuple[Any, ...]:
        """The initial states of the cores, in order."""
        return tuple(
            layer.initial_state(batch_size)
            for layer in self.layers
            if isinstance(layer, RNNCore)
        )


def _concatenate(*arrays: jax.Array) -> jax.Array:
    return jnp.concatenate(arrays, axis=-1)


class DeepRNN(_DeepRNN):
    """Stacks cores and functions into one core.

    Args:
      layers: Cores, with functions of one argument between them.
      name: Name of the module.

    Example:
      >>> def f(x):
      ...     core = hk.DeepRNN([hk.LSTM(8), jnp.tanh, hk.GRU(4)])
      ...     return core(x, core.initial_state(x.shape[0]))
    """

    def __init__(
        self,
        layers: Sequence[RNNCore | Callable[[Any], Any]],
        name: str | None = None,
    ):
        super().__init__(layers, skip_connections=False, name=name)


def deep_rnn_with_skip_connections(
    layers: Sequence[RNNCore], name: str | None = None
) -> RNNCore:
    """Stacks cores with skip connections from the inputs and to the outputs.

    Args:
      layers: The cores. Each but the first gets the inputs, concatenated with the
        outputs of the core below.
      name: Name of the module.

    Returns:
      A core that returns the concatenated outputs of all layers.

    Raises:
      ValueError: One of the layers isn't an :class:`RNNCore`.

    Example:
      >>> def f(x):
      ...     core = hk.deep_rnn_with_skip_connections([hk.GRU(4), hk.GRU(5)])
      ...     return core(x, core.initial_state(2))[0]
      >>> hk.bind(f).init(0, jnp.ones([2, 3]))(jnp.ones([2, 3])).shape
      (2, 9)
    """
    return _DeepRNN(layers, skip_connections=True, name=name)


class ResetCore(RNNCore):
    """Wraps a core so that a flag in its inputs resets the state.

    Use it to unroll over sequences in which one episode ends and the next begins.

    Args:
      core: The core.
      name: Name of the module.

    Example:
      >>> def f(x, is_first):  # [T, B, D] and [T, B]
      ...     core = hk.ResetCore(hk.LSTM(8))
      ...     state = core.initial_state(x.shape[1])
      ...     return hk.dynamic_unroll(core, (x, is_first), state)[0]
    """

    def __init__(self, core: RNNCore, name: str | None = None):
        super().__init__(name=name)
        self.core = core

    def __call__(self, inputs: Any, state: Any) -> tuple[Any, Any]:
        """Runs one step, from the initial state where ``should_reset`` is True.

        Args:
          inputs: The pair ``(core's inputs, should_reset)``. ``should_reset`` is a
            boolean array, ``[B]`` or a scalar, or a tree of them structured like the
            state. The shape of each array in the state must start with its shape.
          state: The core's state before the step.

        Returns:
          The core's outputs and its new state.

        Raises:
          ValueError: ``should_reset`` doesn't fit the state's shapes or structure.
        """
        if not isinstance(inputs, (tuple, list)) or len(inputs) != 2:
            raise ValueError(
                f"{self.module_name!r} takes a pair (core inputs, should_reset), "
                f"got {type(inputs).__name__}: core((x, is_first_step), state)."
            )
        inputs, should_reset = inputs
        should_reset = _expand_like_state(should_reset, state, self.module_name)
        initial = self.initial_state(_batch_size(self, state))
        state = jax.tree.map(_reset, should_reset, initial, state)
        return self.core(inputs, state)

    def initial_state(self, batch_size: int | None) -> Any:
        """The initial state of the core."""
        return self.core.initial_state(batch_size)


def _reset(should_reset: Any, initial: Any, state: Any) -> jax.Array:
    """`initial` where `should_reset`, else `state`, in the dtype of `state`."""
    dtype = jnp.result_type(state)
    if dtype != jnp.result_type(initial) and jnp.issubdtype(dtype, jnp.inexact):
        initial = jnp.asarray(initial, dtype)
    return jnp.where(should_reset, initial, state)


def _expand_like_state(should_reset: Any, state: Any, where: str) -> Any:
    """One `should_reset` per array of the state, with axes of size 1 appended."""
    if not jax.tree.leaves(state):
        return state
    if jax.tree.structure(should_reset) != jax.tree.structure(state):
        if not jax.tree_util.all_leaves([should_reset]):
            raise ValueError(
                f"{where!r} got a should_reset of another structure than the state: "
                f"{jax.tree.structure(should_reset)} instead of "
                f"{jax.tree.structure(state)}. Pass one array for the whole state."
            )
        should_reset = jax.tree.map(lambda _: should_reset, state)

    def expand(reset: Any, leaf: Any) -> Any:
        shape, wanted = jnp.shape(reset), jnp.shape(leaf)
        if len(shape) > len(wanted) or any(
            n not in (1, m) for n, m in zip(shape, wanted)
        ):
            raise ValueError(
                f"should_reset signal shape {shape} is not compatible with state shape "
                f"{wanted} in {where!r}: the state's shape must start with it."
            )
        return jnp.reshape(reset, shape + (1,) * (len(wanted) - len(shape)))

    return jax.tree.map(expand, should_reset, state)


def _batch_size(core: ResetCore, state: Any) -> int | None:
    """The size of the state's batch axis, or None if it has none."""
    leaves = jax.tree.leaves(state)
    # Some cores need a batch size, so compare with a batched state.
    batched = jax.tree.leaves(core.initial_state(1)) if leaves else []
    if not batched or jnp.ndim(leaves[0]) != jnp.ndim(batched[0]):
        return None
    return jnp.shape(leaves[0])[0] if jnp.ndim(leaves[0]) else None
