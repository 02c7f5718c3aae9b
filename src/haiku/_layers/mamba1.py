"""`Mamba1`: a state space model whose parameters depend on its inputs."""

import jax
import jax.numpy as jnp

from haiku._core import get_parameter, transparent
from haiku._layers.causal_conv import CausalConv, ConvState
from haiku._layers.linear import Linear
from haiku._layers.linear_recurrence import linear_recurrence, scan_chunks
from haiku._layers.rnn_unroll import add_batch
from haiku._layers.sequence_layer import SequenceLayer
from haiku._layers.time_steps import TimeStepBias
from haiku.initializers import Initializer, RandomUniform

__all__ = ["Mamba1"]

_CHUNK_SIZE = 128  # bounds the memory of [B, chunk, inner_size, state_size]


class Mamba1(SequenceLayer):
    """The mixer of Mamba: a selective state space model between gates.

        x_t, z_t = u_t w_in,    c = silu(conv(x))
        Δ_t, B_t, C_t = c_t w_selection,    δ_t = softplus(Δ_t w_time + b_time)
        h_t = exp(δ_t A) h_(t-1) + δ_t B_t c_t,    A = -exp(a_log)
        y_t = ((h_t C_t + d c_t) silu(z_t)) w_out

    with a state ``h`` of `state_size` numbers for each inner feature. Call it on a
    sequence, or unroll its method `step`: both give the same outputs, states and
    gradients.

    Args:
      state_size: Size of the state of an inner feature.
      inner_size: Number of inner features, ``I``. Default: `expand` times the features
        of the input; then `initial_state` needs a call before it.
      expand: Inner features per feature of the input, if there is no `inner_size`.
      conv_size: Number of steps that the convolution sees.
      time_step_rank: Size of ``Δ``. Default: a sixteenth of the input's features,
        rounded up.
      output_size: Size of the output. Default: that of the input.
      with_bias: Whether the maps ``in`` and ``out`` have biases.
      conv_bias: Whether the convolution has one.
      time_step_min: Smallest ``softplus(b_time)`` at first.
      time_step_max: Largest ``softplus(b_time)`` at first.
      time_step_floor: Lower bound of ``softplus(b_time)`` at first.
      w_init: Initializer of the weights of ``in``, ``selection`` and ``out``. Default:
        :class:`Linear`'s.
      name: Name of the module.

    Parameters:
      ``in``: ``w`` ``[D, 2 I]``, for ``x`` and ``z``; ``conv``: ``w``
      ``[conv_size, 1, I]`` and ``b``; ``selection``: ``w``
      ``[I, time_step_rank + 2 state_size]``, for ``Δ``, ``B`` and ``C``; ``time_step``:
      ``w`` ``[time_step_rank, I]`` and ``b``; ``a_log``: ``[I, state_size]``; ``d``:
      ``[I]``; ``out``: ``w`` ``[I, output_size]``.

    Source:
      Gu and Dao, 2023, Mamba: Linear-Time Sequence Modeling with Selective State
      Spaces, arXiv:2312.00752, algorithm 2 and figure 3.

    Example:
      >>> x = jnp.ones([2, 5, 8])
      >>> model = hk.bind(hk.Mamba1, state_size=4).init(0, x)
      >>> y, state = model(x)
      >>> y.shape, state.inputs.shape, state.hidden.shape
      ((2, 5, 8), (2, 3, 16), (2, 16, 4))
    """

    def __init__(
        self,
        state_size: int = 16,
        inner_size: int | None = None,
        *,
        expand: int = 2,
        conv_size: int = 4,
        time_step_rank: int | None = None,
        output_size: int | None = None,
        with_bias: bool = False,
        conv_bias: bool = True,
        time_step_min: float = 0.001,
        time_step_max: float = 0.1,
        time_step_floor: float = 1e-4,
        w_init: Initializer | None = None,
        name: str | None = None,
    ):
        super().__init__(name=name)
        self.check_sizes(
            state_size=state_size,
            inner_size=inner_size,
            expand=expand,
            conv_size=conv_size,
            time_step_rank=time_step_rank,
            output_size=output_size,
        )
        self.state_size = state_size
        self.inner_size = inner_size
        self.expand = expand
        self.conv_size = conv_size
        self.time_step_rank = time_step_rank
        self.output_size = output_size
        self.with_bias = with_bias
        self.conv_bias = conv_bias
        self.time_step_min = time_step_min
        self.time_step_max = time_step_max
        self.time_step_floor = time_step_floor
        self.w_init = w_init

    @transparent
    def initial_state(self, batch_size: int | None) -> ConvState:
        """Zeros: `inputs` ``[B, conv_size - 1, I]``, `hidden` ``[B, I, state_size]``.

        Args:
          batch_size: ``B``, or None for a state without batch axis.

        Raises:
          ValueError: The layer has neither an `inner_size` nor been called.
        """
        inner = self._inner_size()
        state = ConvState(
            jnp.zeros([self.conv_size - 1, inner]), jnp.zeros([inner, self.state_size])
        )
        return add_batch(state, batch_size)

    @transparent
    def _inner_size(self):
        if self.inner_size is not None:
            return self.inner_size
        return self.expand * self.known_input_size("inner_size")

    @transparent
    def _run(self, x, state, mask):
        inner, size, features = self._inner_size(), self.state_size, x.shape[-1]
        dtype, wide = x.dtype, state.hidden.dtype
        rank = self.time_step_rank
        rank = -(-features // 16) if rank is None else rank
        both = Linear(2 * inner, self.with_bias, self.w_init, name="in")(x)
        x, z = both[:, :, :inner], both[:, :, inner:]
        conv = CausalConv(self.conv_size, self.conv_bias, name="conv")
        x, inputs = conv(x, state.inputs, mask)
        x = jax.nn.silu(x)
        selected = Linear(rank + 2 * size, False, self.w_init, name="selection")(x)
        low, b, c = jnp.split(selected, [rank, rank + size], axis=-1)
        time_step = Linear(
            inner,
            w_init=RandomUniform(-(rank**-0.5), rank**-0.5),
            b_init=TimeStepBias(
                self.time_step_min, self.time_step_max, self.time_step_floor
            ),
            name="time_step",
        )(low)
        time_step = jax.nn.softplus(time_step.astype(wide))
        if mask is not None:
            time_step = jnp.where(mask[:, :, None], time_step, 0)
        a_log = get_parameter("a_log", [inner, size], dtype, init=_initial_a_log)
        d = get_parameter("d", [inner], dtype, init=jnp.ones)
        a = -jnp.exp(a_log.astype(wide))[None, None]

        def run(hidden, chunk):
            time_step, x, b, c = chunk
            decay = jnp.exp(time_step[:, :, :, None] * a)
            term = (time_step * x)[:, :, :, None] * b[:, :, None]
            hidden = linear_recurrence(decay, term, hidden)
            return hidden[:, -1], jnp.einsum("btin,btn->bti", hidden, c)

        wide_x, b, c = (v.astype(wide) for v in (x, b, c))
        inputs_of_scan = (time_step, wide_x, b, c)
        y, hidden = scan_chunks(run, state.hidden, inputs_of_scan, _CHUNK_SIZE)
        y = (y + wide_x * d.astype(wide)[None, None]) * jax.nn.silu(z.astype(wide))
        size = features if self.output_size is None else self.output_size
        out = Linear(size, self.with_bias, self.w_init, name="out")
        return out(y.astype(dtype)), ConvState(inputs, hidden)


def _initial_a_log(shape, dtype):
    """Logs of 1 to `state_size` for each feature, the S4D-Real of the paper."""
    log = jnp.log(jnp.arange(1, shape[1] + 1, dtype=jnp.float32))
    return jnp.broadcast_to(log[None], shape).astype(dtype)
