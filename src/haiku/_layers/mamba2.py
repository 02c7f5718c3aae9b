"""`Mamba2`: a selective state space model with heads, in matrix form."""

import math

import jax
import jax.numpy as jnp

from haiku._core import get_parameter, transparent
from haiku._layers.causal_conv import CausalConv, ConvState
from haiku._layers.linear import Linear
from haiku._layers.linear_recurrence import decays_between, scan_chunks
from haiku._layers.rnn_unroll import add_batch
from haiku._layers.sequence_layer import SequenceLayer
from haiku._layers.time_steps import TimeStepBias
from haiku._layers.wide_norm import WideNorm
from haiku.initializers import Initializer, RandomUniform

__all__ = ["Mamba2"]


class Mamba2(SequenceLayer):
    """The mixer of Mamba-2: a selective state space model with one decay per head.

        z_t, v_t, Δ_t = u_t w_in,    x_t, B_t, C_t = silu(conv(v))_t
        δ_t = clip(softplus(Δ_t + b_time)),    A = -exp(a_log)
        h_t = exp(δ_t A) h_(t-1) + δ_t x_t B_t^T,    o_t = h_t C_t + d x_t
        y_t = (rms_norm(o_t silu(z_t)) scale) w_out

    with a state ``h`` of ``[head_size, state_size]`` for each head. Chunks of time are
    products of matrices, as in attention; this is exact. Call it on a sequence, or
    unroll its method `step`: both give the same outputs, states and gradients.

    Args:
      state_size: Size of the state of an inner feature.
      num_heads: ``H``. Default: `expand` times the features of the input, divided by
        `head_size`; then `initial_state` needs a call before it.
      head_size: Inner features in a head, of ``I = H head_size``.
      num_groups: How many ``B`` and ``C`` there are, ``G``; divides the heads. Head
        ``h`` reads group ``h // (H // G)``, and each group has its own statistics in
        the norm.
      expand: Inner features per feature of the input, if there are no `num_heads`.
      conv_size: Number of steps that the convolution sees.
      output_size: Size of the output. Default: that of the input.
      with_bias: Whether the maps ``in`` and ``out`` have biases.
      conv_bias: Whether the convolution has one.
      norm_eps: Added to the mean of squares of the norm.
      time_step_limit: Bounds of ``δ``.
      time_step_min: Smallest ``softplus(b_time)`` at first.
      time_step_max: Largest ``softplus(b_time)`` at first.
      time_step_floor: Lower bound of ``softplus(b_time)`` at first.
      chunk_size: The most steps in a chunk: changes cost, not numbers.
      w_init: Initializer of the weights of ``in`` and ``out``. Default:
        :class:`Linear`'s.
      name: Name of the module.

    Parameters:
      ``in``: ``w`` ``[D, 2 I + 2 G state_size + H]``, for ``z``, ``x``, ``B``, ``C``,
      ``Δ``; ``conv``: ``w`` ``[conv_size, 1, I + 2 G state_size]`` and ``b``;
      ``time_step_bias``, ``a_log``, ``d``: ``[H]``; ``norm``: ``scale`` ``[I]``;
      ``out``: ``w`` ``[I, output_size]``.

    Raises:
      ValueError: A size isn't positive, or `num_groups` doesn't divide the heads.

    Source:
      Dao and Gu, 2024, Transformers are SSMs: Generalized Models and Efficient
      Algorithms Through Structured State Space Duality, arXiv:2405.21060, section 6 and
      figure 6.

    Example:
      >>> x = jnp.ones([2, 5, 8])
      >>> model = hk.bind(hk.Mamba2, state_size=6, head_size=4).init(0, x)
      >>> y, state = model(x)
      >>> y.shape, state.inputs.shape, state.hidden.shape
      ((2, 5, 8), (2, 3, 28), (2, 4, 4, 6))
    """

    def __init__(
        self,
        state_size: int = 128,
        num_heads: int | None = None,
        head_size: int = 64,
        num_groups: int = 1,
        *,
        expand: int = 2,
        conv_size: int = 4,
        output_size: int | None = None,
        with_bias: bool = False,
        conv_bias: bool = True,
        norm_eps: float = 1e-5,
        time_step_limit: tuple[float, float] = (0.0, math.inf),
        time_step_min: float = 0.001,
        time_step_max: float = 0.1,
        time_step_floor: float = 1e-4,
        chunk_size: int = 256,
        w_init: Initializer | None = None,
        name: str | None = None,
    ):
        super().__init__(name=name)
        self.check_sizes(
            state_size=state_size,
            num_heads=num_heads,
            head_size=head_size,
            num_groups=num_groups,
            expand=expand,
            conv_size=conv_size,
            output_size=output_size,
            chunk_size=chunk_size,
        )
        self.state_size = state_size
        self.num_heads = num_heads
        self.head_size = head_size
        self.num_groups = num_groups
        self.expand = expand
        self.conv_size = conv_size
        self.output_size = output_size
        self.with_bias = with_bias
        self.conv_bias = conv_bias
        self.norm_eps = norm_eps
        self.time_step_limit = time_step_limit
        self.time_step_min = time_step_min
        self.time_step_max = time_step_max
        self.time_step_floor = time_step_floor
        self.chunk_size = chunk_size
        self.w_init = w_init
        if num_heads is not None:
            self._heads()

    @transparent
    def initial_state(self, batch_size: int | None) -> ConvState:
        """Zeros: `inputs` ``[B, conv_size - 1, I + 2 G state_size]`` and `hidden`.

        The latter is ``[B, H, head_size, state_size]``.

        Args:
          batch_size: ``B``, or None for a state without batch axis.

        Raises:
          ValueError: The layer has neither `num_heads` nor been called.
        """
        heads, size = self._heads(), self.head_size
        channels = heads * size + 2 * self.num_groups * self.state_size
        state = ConvState(
            jnp.zeros([self.conv_size - 1, channels]),
            jnp.zeros([heads, size, self.state_size]),
        )
        return add_batch(state, batch_size)

    @transparent
    def _heads(self):
        heads, where = self.num_heads, repr(self.module_name)
        if heads is None:
            inner = self.expand * self.known_input_size("num_heads")
            if inner % self.head_size:
                raise ValueError(
                    f"head_size of {where} must divide its inner features, got "
                    f"{self.head_size} for {self.expand} * {self.input_size}: pass "
                    "another head_size, or num_heads."
                )
            heads = inner // self.head_size
        if heads % self.num_groups:
            raise ValueError(
                f"num_groups of {where} must divide its heads, got {self.num_groups} "
                f"for {heads}."
            )
        return heads

    @transparent
    def _run(self, x, state, mask):
        features, dtype, wide = x.shape[-1], x.dtype, state.hidden.dtype
        heads, size, groups = self._heads(), self.head_size, self.num_groups
        inner, channels = heads * size, heads * size + 2 * groups * self.state_size
        width = inner + channels + heads
        both = Linear(width, self.with_bias, self.w_init, name="in")(x)
        z, x, time_step = jnp.split(both, [inner, inner + channels], axis=-1)
        conv = CausalConv(self.conv_size, self.conv_bias, name="conv")
        x, inputs = conv(x, state.inputs, mask)
        x = jax.nn.silu(x).astype(wide)
        x, b, c = jnp.split(x, [inner, inner + (channels - inner) // 2], axis=-1)
        steps = x.shape[:2]
        x = x.reshape(*steps, groups, heads // groups, size)
        b, c = (v.reshape(*steps, groups, self.state_size) for v in (b, c))

        bias_init = TimeStepBias(
            self.time_step_min, self.time_step_max, self.time_step_floor
        )
        bias = get_parameter("time_step_bias", [heads], dtype, init=bias_init)
        a_log = get_parameter("a_log", [heads], dtype, init=_initial_a_log)
        d = get_parameter("d", [heads], dtype, init=jnp.ones)
        time_step = time_step.astype(wide) + bias.astype(wide)[None, None]
        time_step = jnp.clip(jax.nn.softplus(time_step), *self.time_step_limit)
        if mask is not None:
            time_step = jnp.where(mask[:, :, None], time_step, 0)
        log_decay = -time_step * jnp.exp(a_log.astype(wide))[None, None]
        log_decay, time_step = (
            v.reshape(*steps, groups, heads // groups) for v in (log_decay, time_step)
        )

        chunks = (log_decay, time_step[..., None] * x, b, c)
        shape = state.hidden.shape
        hidden = state.hidden.reshape(
            shape[0], groups, heads // groups, size, self.state_size
        )
        y, hidden = scan_chunks(_run_chunk, hidden, chunks, self.chunk_size)
        d = d.astype(wide).reshape(1, 1, groups, heads // groups, 1)
        y = (y + d * x).reshape(*steps, inner) * jax.nn.silu(z.astype(wide))
        norm = WideNorm("rms", self.norm_eps, name="norm", groups=groups)
        y = norm(y.astype(dtype))
        size = features if self.output_size is None else self.output_size
        y = Linear(size, self.with_bias, self.w_init, name="out")(y)
        return y, ConvState(inputs, hidden.reshape(shape))


def _run_chunk(hidden, chunk):
    """One chunk: G groups of R heads, Q steps, P features, N numbers of state each."""
    log_decay, x, b, c = chunk  # [B, Q, G, R], [B, Q, G, R, P], [B, Q, G, N] twice
    total, between = decays_between(jnp.moveaxis(log_decay, 1, -1))  # [B, G, R, Q, Q]
    scores = jnp.einsum("btgn,bsgn->bgts", c, b)[:, :, None] * between
    y = jnp.einsum("bgrts,bsgrp->btgrp", scores, x)
    from_start = jnp.einsum("bgrt,btgn,bgrpn->btgrp", jnp.exp(total), c, hidden)
    last = total[..., -1:]
    to_end = jnp.exp(last - total)
    hidden = jnp.exp(last)[..., None] * hidden
    hidden = hidden + jnp.einsum("bgrs,bsgrp,bsgn->bgrpn", to_end, x, b)
    return hidden, y + from_start


def _initial_a_log(shape, dtype):
    """The logs of decays uniform in 1 to 16."""
    return jnp.log(RandomUniform(1.0, 16.0)(shape, jnp.float32)).astype(dtype)
