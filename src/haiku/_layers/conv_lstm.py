"""LSTMs whose gates are convolutions."""

from collections.abc import Sequence
from typing import ClassVar

import jax
import jax.numpy as jnp

from haiku._layers.convolution import ConvND
from haiku._layers.inputs import shapes_broadcast
from haiku._layers.rnn_cells import LSTMState, hidden_and_cell, lstm_gates
from haiku._layers.rnn_unroll import RNNCore, add_batch

__all__ = ["Conv1DLSTM", "Conv2DLSTM", "Conv3DLSTM"]


class _ConvLSTM(RNNCore):
    """A convolutional LSTM; subclasses set the number of axes."""

    num_spatial_dims: ClassVar[int]

    def __init__(
        self,
        input_shape: Sequence[int],
        output_channels: int,
        kernel_shape: int | Sequence[int],
        name: str | None = None,
    ):
        super().__init__(name=name)
        self.input_shape = tuple(input_shape)
        self.output_channels = output_channels
        self.kernel_shape = kernel_shape

    def __call__(
        self, inputs: jax.Array, state: LSTMState
    ) -> tuple[jax.Array, LSTMState]:
        """Runs one step on ``[B, *input_shape, channels]``, or without batch axis.

        Raises:
          ValueError: `inputs` has the wrong rank, or differs in spatial sizes from the
            state.
        """
        hidden, cell = hidden_and_cell(self, state)
        from_input = _gates(self, inputs, "input_to_hidden")
        from_hidden = _gates(self, hidden, "hidden_to_hidden")
        if not shapes_broadcast(from_input.shape, from_hidden.shape):
            raise ValueError(
                f"{self.module_name!r} got inputs of shape {jnp.shape(inputs)} and a "
                f"state of shape {jnp.shape(hidden)}: all axes but the channels must "
                f"agree (input_shape is {self.input_shape})."
            )
        new_state = lstm_gates(from_input + from_hidden, cell)
        return new_state.hidden, new_state

    def initial_state(self, batch_size: int | None) -> LSTMState:
        """Two arrays of zeros, ``[B, *input_shape, output_channels]``.

        Without batch axis if `batch_size` is None.
        """
        zeros = jnp.zeros([*self.input_shape, self.output_channels])
        return add_batch(LSTMState(zeros, zeros), batch_size)


def _gates(core: _ConvLSTM, x: jax.Array, name: str) -> jax.Array:
    convolution = ConvND(
        num_spatial_dims=core.num_spatial_dims,
        output_channels=4 * core.output_channels,
        kernel_shape=core.kernel_shape,
        name=name,
    )
    return convolution(x)


class Conv1DLSTM(_ConvLSTM):
    """Convolutional LSTM over one spatial axis; see :class:`Conv2DLSTM`.

    Example:
      >>> def f(x):
      ...     core = hk.Conv1DLSTM([8], output_channels=4, kernel_shape=3)
      ...     return core(x, core.initial_state(2))[0]
      >>> net, x = hk.transform(f), jnp.ones([2, 8, 3])
      >>> jax.eval_shape(lambda x: net.apply(net.init(0, x), None, x), x).shape
      (2, 8, 4)
    """

    num_spatial_dims = 1


class Conv2DLSTM(_ConvLSTM):
    """An :class:`LSTM` for images, whose gates are convolutions of input and state.

    Args:
      input_shape: Sizes of the spatial axes of inputs and outputs.
      output_channels: Number of channels of the state and the output.
      kernel_shape: Size of both kernels, one for all spatial axes or one per axis.
      name: Name of the module.

    Source:
      Shi et al., 2015, Convolutional LSTM Network: A Machine Learning Approach for
      Precipitation Nowcasting, arXiv:1506.04214, without peepholes.

    Example:
      >>> def f(frames):  # [T, B, H, W, C]
      ...     core = hk.Conv2DLSTM((6, 8), output_channels=4, kernel_shape=3)
      ...     return hk.dynamic_unroll(core, frames, core.initial_state(2))[0]
    """

    num_spatial_dims = 2


class Conv3DLSTM(_ConvLSTM):
    """Convolutional LSTM over three spatial axes; see :class:`Conv2DLSTM`.

    Example:
      >>> def f(x):
      ...     core = hk.Conv3DLSTM([4, 4, 4], output_channels=4, kernel_shape=3)
      ...     return core(x, core.initial_state(2))[0]
      >>> net, x = hk.transform(f), jnp.ones([2, 4, 4, 4, 3])
      >>> jax.eval_shape(lambda x: net.apply(net.init(0, x), None, x), x).shape
      (2, 4, 4, 4, 4)
    """

    num_spatial_dims = 3
