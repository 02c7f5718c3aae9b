"""Cores made of other cores: stacked, or reset in the middle of a sequence."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from haiku._layers.cached_tracing import traced_once
from haiku._layers.rnn_unroll import RNNCore

__all__ = ["DeepRNN", "ResetCore", "deep_rnn_with_skip_connections"]


class _DeepRNN(RNNCore):
    """Cores and functions, one on top of the other."""

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
                "inputs or outputs, or take hk.DeepRNN, which has them between cores."
            )

    def __call__(self, inputs: Any, state: Any) -> tuple[Any, tuple[Any, ...]]:
        """One step of all layers.

        Args:
          inputs: Inputs of the first layer.
          state: A state per core, in order.

        Returns:
          Outputs of the last layer (with skip connections: of all, side by side), and
          the new states.

        Raises:
          ValueError: There are not as many states as cores.
        """
        cores = sum(isinstance(layer, RNNCore) for layer in self.layers)
        if len(state) != cores:
            raise ValueError(
                f"{self.module_name!r} has {cores} cores, but was given {len(state)} "
                "states: start from its initial_state."
            )
        before = iter(state)
        out, outputs, states = inputs, [], []
        for i, layer in enumerate(self.layers):
            if self.skip_connections and i > 0:
                out = jax.tree.map(_side_by_side, inputs, out)
            if isinstance(layer, RNNCore):
                out, new_state = layer(out, next(before))
                states.append(new_state)
            else:
                out = traced_once(layer)(out)
            outputs.append(out)
        if self.skip_connections:
            out = jax.tree.map(_side_by_side, *outputs)
        return out, tuple(states)

    def initial_state(self, batch_size: int | None) -> tuple[Any, ...]:
        """The initial states of the cores, in order."""
        return tuple(
            layer.initial_state(batch_size)
            for layer in self.layers
            if isinstance(layer, RNNCore)
        )


def _side_by_side(*arrays: jax.Array) -> jax.Array:
    return jnp.concatenate(arrays, axis=-1)


class DeepRNN(_DeepRNN):
    """Stacks cores and functions.

    Args:
      layers: Cores, and functions of one argument between them.
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
    """Stacks cores that all see the inputs, and whose outputs are all returned.

    Args:
      layers: The cores. Each but the first takes the inputs and the outputs of the core
        below, side by side.
      name: Name of the module.

    Returns:
      A core whose outputs are those of all layers, side by side.

    Raises:
      ValueError: One of the layers is no :class:`RNNCore`.

    Example:
      >>> def f(x):
      ...     core = hk.deep_rnn_with_skip_connections([hk.GRU(4), hk.GRU(5)])
      ...     return core(x, core.initial_state(2))[0]
      >>> hk.bind(f).init(0, jnp.ones([2, 3]))(jnp.ones([2, 3])).shape
      (2, 9)
    """
    return _DeepRNN(layers, skip_connections=True, name=name)


class ResetCore(RNNCore):
    """Sets the state of a core back to the initial one where it is told to.

    Use it to unroll over sequences in which an episode ends and another begins.

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
        """One step, from the initial state where `should_reset`.

        Args:
          inputs: The pair ``(core's inputs, should_reset)``. ``should_reset`` is an
            array of booleans whose shape the shape of every array of the state starts
            with (``[B]``, or a scalar), or a tree of such arrays like the state.
          state: The core's state before.

        Returns:
          The core's outputs, and its state after.

        Raises:
          ValueError: ``should_reset`` does not fit the state's shapes or structure.
        """
        if not isinstance(inputs, (tuple, list)) or len(inputs) != 2:
            raise ValueError(
                f"{self.module_name!r} takes a pair (core inputs, should_reset), "
                f"got {type(inputs).__name__}: core((x, is_first_step), state)."
            )
        inputs, should_reset = inputs
        should_reset = _like_state(should_reset, state, self.module_name)
        initial = self.initial_state(_batch_size(self, state))
        state = jax.tree.map(_chosen, should_reset, initial, state)
        return self.core(inputs, state)

    def initial_state(self, batch_size: int | None) -> Any:
        """The initial state of the core."""
        return self.core.initial_state(batch_size)


def _chosen(reset: Any, initial: Any, before: Any) -> jax.Array:
    """`initial` where `reset`, in the precision of the state `before`."""
    dtype = jnp.result_type(before)
    if dtype != jnp.result_type(initial) and jnp.issubdtype(dtype, jnp.inexact):
        initial = jnp.asarray(initial, dtype)
    return jnp.where(reset, initial, before)


def _like_state(should_reset: Any, state: Any, where: str) -> Any:
    """`should_reset` for every array of the state, with axes of size 1 at the end."""
    if not jax.tree.leaves(state):
        return state
    if jax.tree.structure(should_reset) != jax.tree.structure(state):
        if not jax.tree_util.all_leaves([should_reset]):
            raise ValueError(
                f"{where!r} got a should_reset of another structure than the state: "
                f"{jax.tree.structure(should_reset)} instead of "
                f"{jax.tree.structure(state)}. Pass one array for all of it."
            )
        should_reset = jax.tree.map(lambda _: should_reset, state)

    def like(reset: Any, leaf: Any) -> Any:
        shape, wanted = jnp.shape(reset), jnp.shape(leaf)
        if len(shape) > len(wanted) or any(
            n not in (1, m) for n, m in zip(shape, wanted)
        ):
            raise ValueError(
                f"should_reset signal shape {shape} is not compatible with state shape "
                f"{wanted} in {where!r}: the state's shape must start with it."
            )
        return jnp.reshape(reset, shape + (1,) * (len(wanted) - len(shape)))

    return jax.tree.map(like, should_reset, state)


def _batch_size(core: ResetCore, state: Any) -> int | None:
    """The size of the state's batch axis, or None if it has none."""
    leaves = jax.tree.leaves(state)
    # Some cores have no state without a batch axis, so ask for one with it.
    batched = jax.tree.leaves(core.initial_state(1)) if leaves else []
    if not batched or jnp.ndim(leaves[0]) != jnp.ndim(batched[0]):
        return None
    return jnp.shape(leaves[0])[0] if jnp.ndim(leaves[0]) else None
