"""Recurrent cores: vanilla, LSTM, GRU, identity."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from haiku._artifacts import in_artifacts
from haiku._core import get_parameter
from haiku._layers.cached_tracing import elementwise, relu
from haiku._layers.inputs import as_array, shapes_broadcast
from haiku._layers.linear import Linear
from haiku._layers.loop_weight_gradients import (
    Factors,
    keep_gradients_in_loop,
    sum_of_products,
)
from haiku._layers.rnn_unroll import RNNCore, add_batch
from haiku.initializers import Initializer, VarianceScaling

__all__ = [
    "GRU",
    "LSTM",
    "IdentityCore",
    "LSTMState",
    "VanillaRNN",
    "hidden_and_cell",
    "lstm_gates",
]


class VanillaRNN(RNNCore):
    """A fully connected recurrent core with a relu.

        h' = relu(x w_i + b_i + h w_h + b_h)

    The output is the new state ``h'``.

    Args:
      hidden_size: Size of ``h``.
      double_bias: Whether to learn `b_h` besides `b_i`.
      name: Name of the module.

    Source:
      Elman, 1990, Finding Structure in Time, doi:10.1207/s15516709cog1402_1.

    Example:
      >>> def f(xs):
      ...     core = hk.VanillaRNN(4)
      ...     return hk.dynamic_unroll(core, xs, core.initial_state(2))
      >>> xs = jnp.ones([7, 2, 3])  # T, B, D
      >>> outputs, state = hk.bind(f).init(0, xs)(xs)
      >>> outputs.shape, state.shape
      ((7, 2, 4), (2, 4))
    """

    def __init__(
        self, hidden_size: int, double_bias: bool = True, name: str | None = None
    ):
        super().__init__(name=name)
        self.hidden_size = hidden_size
        self.double_bias = double_bias

    def __call__(
        self, inputs: jax.Array, prev_state: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """Runs one step on ``[B, features]`` or ``[features]``.

        Raises:
          ValueError: `inputs` and the state differ in batch size.
        """
        prev_state = as_array(prev_state)
        with keep_gradients_in_loop():  # Little to gain for much memory.
            from_input = Linear(self.hidden_size)(inputs)
            from_hidden = Linear(self.hidden_size, with_bias=self.double_bias)(
                prev_state
            )
        if not shapes_broadcast(from_input.shape, from_hidden.shape):
            raise ValueError(
                f"{self.module_name!r} got inputs of shape {jnp.shape(inputs)} and a "
                f"state of shape {jnp.shape(prev_state)}, whose batch axes differ: "
                "start from initial_state(batch size of the inputs)."
            )
        out = relu(from_input + from_hidden)
        return out, out

    def initial_state(self, batch_size: int | None) -> jax.Array:
        """Zeros, ``[B, hidden_size]`` or ``[hidden_size]``."""
        return add_batch(jnp.zeros([self.hidden_size]), batch_size)


@in_artifacts
class LSTMState(NamedTuple):
    """State of an :class:`LSTM`.

    Attributes:
      hidden: The last output, ``[B, hidden_size]`` or ``[hidden_size]``.
      cell: The memory cells, of the same shape.

    Example:
      >>> core = hk.bind(hk.LSTM, 2)
      >>> state = hk.LSTMState(hidden=jnp.zeros([2]), cell=jnp.zeros([2]))
      >>> out, state = core.init(0, jnp.ones([3]), state)(jnp.ones([3]), state)
      >>> bool((out == state.hidden).all())
      True
    """

    hidden: jax.Array
    cell: jax.Array


@elementwise("lstm_gates")
def lstm_gates(gated: jax.Array, cell: jax.Array) -> LSTMState:
    """The new state of an LSTM from its gates and its old cells.

        c' = σ(f + 1) c + σ(i) tanh(g),  h' = σ(o) tanh(c')

    Args:
      gated: ``[i, g, f, o]`` before their nonlinearities, ``[..., 4 H]``.
      cell: ``c``, ``[..., H]``.
    """
    i, g, f, o = jnp.split(gated, 4, axis=-1)
    cell = jax.nn.sigmoid(f + 1) * cell + jax.nn.sigmoid(i) * jnp.tanh(g)
    return LSTMState(jax.nn.sigmoid(o) * jnp.tanh(cell), cell)


class LSTM(RNNCore):
    """A recurrent core with long short-term memory.

        i, g, f, o = [x, h] w + b
        c' = σ(f + 1) c + σ(i) tanh(g),  h' = σ(o) tanh(c')

    The output is ``h'``. The 1 makes the cells remember at the start of training.

    Args:
      hidden_size: Size of ``h`` and ``c``.
      name: Name of the module.

    Source:
      Hochreiter and Schmidhuber, 1997, Long Short-Term Memory,
      doi:10.1162/neco.1997.9.8.1735; without peepholes as in Zaremba et al., 2014,
      Recurrent Neural Network Regularization, arXiv:1409.2329; the 1 is from Jozefowicz
      et al., 2015, An Empirical Exploration of Recurrent Network Architectures.

    Example:
      >>> def f(xs):
      ...     core = hk.LSTM(4)
      ...     return hk.dynamic_unroll(core, xs, core.initial_state(2))
      >>> xs = jnp.ones([7, 2, 3])  # T, B, D
      >>> outputs, state = hk.bind(f).init(0, xs)(xs)
      >>> outputs.shape, state.hidden.shape, state.cell.shape
      ((7, 2, 4), (2, 4), (2, 4))
    """

    def __init__(self, hidden_size: int, name: str | None = None):
        super().__init__(name=name)
        self.hidden_size = hidden_size

    def __call__(
        self, inputs: jax.Array, prev_state: LSTMState
    ) -> tuple[jax.Array, LSTMState]:
        """Runs one step on ``[B, features]`` or ``[features]``.

        Raises:
          ValueError: `inputs` has the wrong rank, or differs in batch size from the
            state.
        """
        hidden, cell = hidden_and_cell(self, prev_state)
        _check_step(self, "LSTM", inputs, hidden)
        features = jnp.concatenate([inputs, hidden], axis=-1)
        state = lstm_gates(Linear(4 * self.hidden_size)(features), cell)
        return state.hidden, state

    def initial_state(self, batch_size: int | None) -> LSTMState:
        """Two arrays of zeros, ``[B, hidden_size]`` or ``[hidden_size]``."""
        zeros = jnp.zeros([self.hidden_size])
        return add_batch(LSTMState(zeros, zeros), batch_size)


class GRU(RNNCore):
    """A gated recurrent unit.

        z = σ(x w_iz + h w_hz + b_z),  r = σ(x w_ir + h w_hr + b_r)
        a = tanh(x w_ia + (r h) w_ha + b_a)
        h' = (1 - z) h + z a

    The output is ``h'``. The weights are concatenated in the order z, r, a.

    Args:
      hidden_size: Size of ``h``.
      w_i_init: Initializer of ``w_i``. Default: :class:`VarianceScaling`.
      w_h_init: Initializer of ``w_h``. Default: :class:`VarianceScaling`.
      b_init: Initializer of ``b``. Default: zeros.
      name: Name of the module.

    Source:
      Chung et al., 2014, Empirical Evaluation of Gated Recurrent Neural Networks on
      Sequence Modeling, arXiv:1412.3555.

    Example:
      >>> def f(xs):
      ...     core = hk.GRU(4)
      ...     return hk.dynamic_unroll(core, xs, core.initial_state(2))
      >>> xs = jnp.ones([7, 2, 3])  # T, B, D
      >>> outputs, state = hk.bind(f).init(0, xs)(xs)
      >>> outputs.shape, state.shape
      ((7, 2, 4), (2, 4))
    """

    def __init__(
        self,
        hidden_size: int,
        w_i_init: Initializer | None = None,
        w_h_init: Initializer | None = None,
        b_init: Initializer | None = None,
        name: str | None = None,
    ):
        super().__init__(name=name)
        self.hidden_size = hidden_size
        self.w_i_init = w_i_init or VarianceScaling()
        self.w_h_init = w_h_init or VarianceScaling()
        self.b_init = b_init or jnp.zeros

    def __call__(
        self, inputs: jax.Array, state: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """Runs one step on ``[B, features]`` or ``[features]``.

        Raises:
          ValueError: `inputs` has the wrong rank, or differs in batch size from the
            state.
        """
        state = as_array(state)
        _check_step(self, "GRU", inputs, state)
        size, dtype = self.hidden_size, inputs.dtype
        w_i = get_parameter(
            "w_i", [inputs.shape[-1], 3 * size], dtype, init=self.w_i_init
        )
        w_h = get_parameter("w_h", [size, 3 * size], dtype, init=self.w_h_init)
        b = get_parameter("b", [3 * size], dtype, init=self.b_init)
        gates, candidate = (0, 2 * size), (2 * size, 3 * size)
        gated = sum_of_products(Factors(inputs, w_i, gates), Factors(state, w_h, gates))
        kept = _gru_kept(gated, b, state)
        proposed = sum_of_products(
            Factors(inputs, w_i, candidate), Factors(kept, w_h, candidate)
        )
        state = _gru_state(gated, proposed, b, state)
        return state, state

    def initial_state(self, batch_size: int | None) -> jax.Array:
        """Zeros, ``[B, hidden_size]`` or ``[hidden_size]``."""
        return add_batch(jnp.zeros([self.hidden_size]), batch_size)


@elementwise("gru_kept")
def _gru_kept(gated, b, h):
    r = jnp.split(gated, 2, axis=-1)[1]
    return jax.nn.sigmoid(r + jnp.broadcast_to(jnp.split(b, 3)[1], r.shape)) * h


@elementwise("gru_state")
def _gru_state(gated, proposed, b, h):
    b_z, _, b_candidate = (jnp.broadcast_to(x, proposed.shape) for x in jnp.split(b, 3))
    z = jax.nn.sigmoid(jnp.split(gated, 2, axis=-1)[0] + b_z)
    return (1 - z) * h + z * jnp.tanh(proposed + b_candidate)


class IdentityCore(RNNCore):
    """Returns its inputs and its state unchanged.

    Example:
      >>> f = lambda xs: hk.dynamic_unroll(hk.IdentityCore(), xs, 5.0)
      >>> hk.transform(f).apply({}, None, jnp.arange(3.0))
      (Array([0., 1., 2.], dtype=float32), 5.0)
    """

    def __call__(self, inputs: Any, state: Any) -> tuple[Any, Any]:
        """Returns `inputs` and `state`."""
        return inputs, state

    def initial_state(self, batch_size: int | None) -> tuple[()]:
        """An empty tuple."""
        del batch_size
        return ()


def _broadcasts(state: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    batches = zip(reversed(state[:-1]), reversed(wanted[:-1]))
    return state[-1:] == wanted[-1:] and all(n == m or 1 in (n, m) for n, m in batches)


def hidden_and_cell(core: RNNCore, state: Any) -> tuple[jax.Array, jax.Array]:
    """Splits an LSTM's state, which may be a plain pair, into its two parts."""
    if hasattr(state, "hidden") and hasattr(state, "cell"):
        return state.hidden, state.cell
    if isinstance(state, (tuple, list)) and len(state) == 2:
        return state[0], state[1]
    raise TypeError(
        f"{core.module_name!r} needs a state hk.LSTMState(hidden, cell), as from its "
        f"initial_state, got {type(state).__name__}."
    )


def _check_step(core: Any, kind: str, inputs: Any, state: Any) -> None:
    if len(inputs.shape) not in (1, 2):
        raise ValueError(
            f"{kind} input must be rank-1 or rank-2, [features] or [batch, features]: "
            f"{core.module_name!r} got shape {inputs.shape}. Run over a sequence with "
            "hk.dynamic_unroll."
        )
    wanted = (*inputs.shape[:-1], core.hidden_size)
    if state.shape == wanted:
        return
    # Only an LSTM concatenates it with the inputs; elsewhere the state may broadcast.
    if kind == "LSTM" or not _broadcasts(state.shape, wanted):
        raise ValueError(
            f"{core.module_name!r} got inputs of shape {inputs.shape} and a state of "
            f"shape {state.shape} instead of {wanted}: start from "
            f"initial_state({wanted[0] if len(wanted) == 2 else None})."
        )
