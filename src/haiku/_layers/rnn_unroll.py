"""`RNNCore`, the protocol of recurrent cores, and unrolling one over a sequence."""

import abc
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from haiku._core import Module
from haiku._core.runs.frame import frames
from haiku._layers import loop_weight_gradients
from haiku._lifted.loops import scan, scan_by

__all__ = ["RNNCore", "add_batch", "dynamic_unroll", "static_unroll"]


class RNNCore(abc.ABC, Module):  # type: ignore[misc]
    """One step of a recurrent network: maps inputs and state to outputs and new state.

    Subclasses implement both methods below. :func:`dynamic_unroll` and
    :func:`static_unroll` run a core over a sequence.

    Example:
      >>> class Sum(hk.RNNCore):
      ...     __call__ = lambda self, x, total: (total + x, total + x)
      ...     initial_state = lambda self, batch_size: jnp.zeros([])
      >>> f = lambda xs: hk.dynamic_unroll(Sum(), xs, 0.0)[0]
      >>> hk.transform(f).apply({}, None, jnp.arange(4.0))
      Array([0., 1., 3., 6.], dtype=float32)
    """

    @abc.abstractmethod
    def __call__(self, inputs: Any, prev_state: Any) -> tuple[Any, Any]:
        """Runs one step.

        Args:
          inputs: Tree of arrays ``[B, ...]``, or without batch axis.
          prev_state: The state before the step, structured like `initial_state`.

        Returns:
          Outputs, and the state after the step.
        """

    @abc.abstractmethod
    def initial_state(self, batch_size: int | None) -> Any:
        """Returns the state before the first step.

        Args:
          batch_size: ``B``, or None for a state without batch axis.

        Returns:
          A tree of arrays ``[B, ...]``, or without batch axis.
        """


def add_batch(tree: Any, batch_size: int | None) -> Any:
    """`tree` with a batch axis prepended to each array, unless `batch_size` is None."""
    if batch_size is None:
        return tree
    return jax.tree.map(lambda x: jnp.broadcast_to(x, (batch_size, *x.shape)), tree)


def static_unroll(
    core: Callable[[Any, Any], tuple[Any, Any]],
    input_sequence: Any,
    initial_state: Any,
    time_major: bool = True,
) -> tuple[Any, Any]:
    """Runs a core over a sequence in a Python loop.

    The compiled program grows with the sequence, unlike that of :func:`dynamic_unroll`.
    Use this if steps differ, or if a compiled loop is slow.

    Args:
      core: An :class:`RNNCore`, or a function with its signature.
      input_sequence: Tree of arrays ``[T, ...]``, or ``[B, T, ...]``.
      initial_state: The state before the first step.
      time_major: Whether time is the first axis of inputs and outputs, or the second.

    Returns:
      Outputs of all steps, ``[T, ...]`` or ``[B, T, ...]``, and the last state.

    Raises:
      ValueError: The arrays differ in length, or there are none; or the length is
        symbolic, in an export.

    Example:
      >>> core = lambda x, total: (total + x, total + x)
      >>> hk.static_unroll(core, jnp.arange(4.0), jnp.zeros([]))
      (Array([0., 1., 3., 6.], dtype=float32), Array(6., dtype=float32))
    """
    if not time_major:
        input_sequence = _swap_batch_and_time(input_sequence)
    input_sequence = jax.tree.map(jnp.asarray, input_sequence)
    length = _length(input_sequence)
    if jax.export.is_symbolic_dim(length):
        raise ValueError(
            "hk.static_unroll runs a Python loop, and its length is the symbol "
            f"{length}: use hk.dynamic_unroll, or export with a number of steps."
        )
    if length == 0:  # Tracing a loop gives the shapes of outputs without a step.
        outputs, state = dynamic_unroll(core, input_sequence, initial_state)
        return (outputs if time_major else _swap_batch_and_time(outputs)), state
    outputs, state = [], initial_state
    for t in range(length):
        step = jax.tree.map(lambda x: x[t], input_sequence)  # noqa: B023
        output, state = core(step, state)
        outputs.append(output)
    stacked = jax.tree.map(lambda *steps: jnp.stack(steps), *outputs)
    return (stacked if time_major else _swap_batch_and_time(stacked)), state


def dynamic_unroll(
    core: Callable[[Any, Any], tuple[Any, Any]],
    input_sequence: Any,
    initial_state: Any,
    time_major: bool = True,
    reverse: bool = False,
    return_all_states: bool = False,
    unroll: int = 1,
) -> tuple[Any, Any]:
    """Runs a core over a sequence in a compiled loop.

    Args:
      core: An :class:`RNNCore`, or a function with its signature.
      input_sequence: Tree of arrays ``[T, ...]``, or ``[B, T, ...]``.
      initial_state: The state before the first step.
      time_major: Whether time is the first axis of inputs and outputs, or the second.
      reverse: Whether to run from the last step to the first. Outputs stay in the order
        of the inputs.
      return_all_states: Whether to return the state after each step, not just the last.
      unroll: Number of steps per iteration of the loop; 1 if the length is symbolic.

    Returns:
      Outputs of all steps, ``[T, ...]`` or ``[B, T, ...]``, and the last state. With
      `return_all_states`, the states of all steps, laid out like the outputs.

    Raises:
      ValueError: The arrays differ in length, or there are none.

    Example:
      >>> def f(x):  # [T, B, D]
      ...     core = hk.GRU(8)
      ...     state = core.initial_state(x.shape[1])
      ...     outputs, state = hk.dynamic_unroll(core, x, state)
      ...     return outputs  # [T, B, 8]
    """
    if not time_major:
        input_sequence = _swap_batch_and_time(input_sequence)
    if jax.export.is_symbolic_dim(_length(input_sequence)):
        unroll = 1  # JAX's loops of a symbolic length run step by step

    def step(state: Any, inputs: Any) -> tuple[Any, Any]:
        output, state = core(inputs, state)
        return state, ((output, state) if return_all_states else output)

    if not frames.get():
        run = jax.lax.scan
    elif frames.get()[-1].initialising:
        run = scan
    else:
        run = functools.partial(scan_by, loop_weight_gradients.scan)
    state, outputs = run(
        step, initial_state, input_sequence, reverse=reverse, unroll=unroll
    )
    if return_all_states:
        outputs, state = outputs
    if not time_major:
        outputs = _swap_batch_and_time(outputs)
        if return_all_states:
            state = _swap_batch_and_time(state)
    return outputs, state


def _length(sequence: Any) -> int:
    lengths = [np.shape(leaf)[:1] for leaf in jax.tree.leaves(sequence)]
    if not lengths or not all(lengths) or len(set(lengths)) > 1:
        raise ValueError(
            "An unroll needs arrays with a time axis, all of one length, got lengths "
            f"{[n[0] if n else 'none (a scalar)' for n in lengths]}: pass [T, B, ...], "
            "or [B, T, ...] with time_major=False."
        )
    return lengths[0][0]


def _swap_batch_and_time(tree: Any) -> Any:
    return jax.tree.map(lambda x: jnp.swapaxes(x, 0, 1), tree)
