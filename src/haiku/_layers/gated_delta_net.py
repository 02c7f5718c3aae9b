"""`GatedDeltaNet`: a memory that decays and is corrected at one key at each step."""

import jax
import jax.numpy as jnp

from haiku._core import get_parameter, transparent
from haiku._layers.causal_conv import CausalConv, ConvState
from haiku._layers.explicit_axes import keeping_rows
from haiku._layers.linear import Linear
from haiku._layers.linear_recurrence import decays_between, scan_chunks
from haiku._layers.rnn_unroll import add_batch
from haiku._layers.sequence_layer import SequenceLayer
from haiku._layers.time_steps import TimeStepBias
from haiku._layers.wide_norm import WideNorm
from haiku.initializers import Initializer, RandomUniform

__all__ = ["GatedDeltaNet"]


class GatedDeltaNet(SequenceLayer):
    """Linear attention whose memory forgets by a gate and is written by the delta rule.

        S_t = α_t (I - β_t k_t k_t^T) S_(t-1) + β_t k_t v_t^T,    o_t = S_t^T q_t
        α_t = exp(-exp(a_log) softplus(x_t w_α + b_α)),    β_t = σ(x_t w_β)
        y_t = concat_h(rms_norm(o_t) scale silu(g_t)) w_output,    g_t = x_t w_gate

    in each head, where ``q``, ``k``, ``v`` are ``silu(conv(x w))``; ``q`` and ``k``
    have length 1, and ``q`` is divided by ``sqrt(key_size)``. Chunks of time are
    products of matrices, as in attention; this is exact. Call it on a sequence, or
    unroll its method `step`: both give the same outputs, states and gradients.

    Args:
      num_heads: ``H``.
      key_size: Size of queries and keys in a head, ``K``.
      value_size: Size of the values in a head, ``V``.
      output_size: Size of the output. Default: that of the input.
      conv_size: Number of steps that the convolution sees.
      norm_eps: Added to the mean of squares of the norm.
      time_step_min: Smallest ``softplus(b_α)`` at first.
      time_step_max: Largest ``softplus(b_α)`` at first.
      time_step_floor: Lower bound of ``softplus(b_α)`` at first.
      chunk_size: The most steps in a chunk: changes cost, not numbers.
      w_init: Initializer of the weights of all linear maps. Default: :class:`Linear`'s.
      name: Name of the module.

    Parameters:
      ``query``, ``key``: ``w`` ``[D, H K]``; ``value``, ``gate``: ``w`` ``[D, H V]``;
      ``conv``: ``w`` ``[conv_size, 1, H (2 K + V)]``, for queries, keys and values;
      ``decay`` (``α``): ``w`` ``[D, H]`` and ``b``; ``beta``: ``w`` ``[D, H]``;
      ``a_log``: ``[H]``; ``norm``: ``scale`` ``[V]``; ``output``: ``w``
      ``[H V, output_size]``.

    Raises:
      ValueError: A size isn't positive.

    Source:
      Yang et al., 2024, Gated Delta Networks: Improving Mamba2 with Delta Rule,
      arXiv:2412.06464, equation 10, section 3.3 and figure 1.

    Example:
      >>> x = jnp.ones([2, 5, 8])
      >>> model = hk.bind(hk.GatedDeltaNet, 2, key_size=3, value_size=4).init(0, x)
      >>> y, state = model(x)
      >>> y.shape, state.inputs.shape, state.hidden.shape
      ((2, 5, 8), (2, 3, 20), (2, 2, 3, 4))
    """

    def __init__(
        self,
        num_heads: int,
        key_size: int,
        value_size: int,
        output_size: int | None = None,
        *,
        conv_size: int = 4,
        norm_eps: float = 1e-5,
        time_step_min: float = 0.001,
        time_step_max: float = 0.1,
        time_step_floor: float = 1e-4,
        chunk_size: int = 64,
        w_init: Initializer | None = None,
        name: str | None = None,
    ):
        super().__init__(name=name)
        self.check_sizes(
            num_heads=num_heads,
            key_size=key_size,
            value_size=value_size,
            output_size=output_size,
            conv_size=conv_size,
            chunk_size=chunk_size,
        )
        self.num_heads = num_heads
        self.key_size = key_size
        self.value_size = value_size
        self.output_size = output_size
        self.conv_size = conv_size
        self.norm_eps = norm_eps
        self.time_step_min = time_step_min
        self.time_step_max = time_step_max
        self.time_step_floor = time_step_floor
        self.chunk_size = chunk_size
        self.w_init = w_init

    @transparent
    def initial_state(self, batch_size: int | None) -> ConvState:
        """Zeros: `inputs` ``[B, conv_size - 1, H (2 K + V)]`` and `hidden`.

        The latter is ``[B, H, K, V]``.

        Args:
          batch_size: ``B``, or None for a state without batch axis.
        """
        heads, key, value = self.num_heads, self.key_size, self.value_size
        state = ConvState(
            jnp.zeros([self.conv_size - 1, heads * (2 * key + value)]),
            jnp.zeros([heads, key, value]),
        )
        return add_batch(state, batch_size)

    @transparent
    def _run(self, x, state, mask):
        dtype, wide = x.dtype, state.hidden.dtype
        heads, keys, values = self.num_heads, self.key_size, self.value_size
        steps = x.shape[:2]

        def linear(size, name, b_init=None):
            with_bias = b_init is not None
            return Linear(size, with_bias, self.w_init, b_init, name=name)(x)

        of_each = {"query": keys, "key": keys, "value": values}
        qkv = [linear(heads * size, name) for name, size in of_each.items()]
        conv = CausalConv(self.conv_size, False, name="conv")
        qkv, inputs = conv(jnp.concatenate(qkv, axis=-1), state.inputs, mask)
        qkv = jax.nn.silu(qkv).astype(wide)
        q, k, v = jnp.split(qkv, [heads * keys, 2 * heads * keys], axis=-1)
        q, k = (_unit(z.reshape(*steps, heads, keys)) for z in (q, k))
        v = v.reshape(*steps, heads, values)

        b_init = TimeStepBias(
            self.time_step_min, self.time_step_max, self.time_step_floor
        )
        a_log = get_parameter("a_log", [heads], dtype, init=_initial_a_log)
        time_step = jax.nn.softplus(linear(heads, "decay", b_init).astype(wide))
        log_decay = -jnp.exp(a_log.astype(wide))[None, None] * time_step
        beta = jax.nn.sigmoid(linear(heads, "beta").astype(wide))
        if mask is not None:
            log_decay = jnp.where(mask[:, :, None], log_decay, 0)
            beta = jnp.where(mask[:, :, None], beta, 0)

        chunks = (q * keys**-0.5, k, v, log_decay, beta)
        y, hidden = scan_chunks(_run_chunk, state.hidden, chunks, self.chunk_size)
        y = WideNorm("rms", self.norm_eps, name="norm")(y.astype(dtype))
        gate = jax.nn.silu(linear(heads * values, "gate").astype(wide))
        y = y.reshape(*steps, heads * values).astype(wide) * gate
        size = x.shape[-1] if self.output_size is None else self.output_size
        y = Linear(size, False, self.w_init, name="output")(y.astype(dtype))
        return y, ConvState(inputs, hidden)


def _run_chunk(hidden, chunk):
    """One chunk: H heads, Q steps, keys of size K, values of size V.

    Each step adds ``k_t u_t^T`` to the decayed memory; ``u_t`` is ``β_t`` times the
    difference between the value and the memory's answer to the key. So ``u_t`` depends
    on those before it: a triangular system of equations.
    """
    q, k, v, log_decay, beta = (jnp.moveaxis(x, 1, 2) for x in chunk)  # [B, H, Q, ...]
    total, between = decays_between(log_decay)
    beta, from_start = beta[..., None], jnp.exp(total)[..., None]
    seen = jnp.einsum("bhtk,bhsk->bhts", k, k) * between
    wanted = beta * (v - from_start * jnp.einsum("bhtk,bhkv->bhtv", k, hidden))
    inverse = keeping_rows(_unit_lower_inverse, beta * seen)
    u = jnp.einsum("bhts,bhsv->bhtv", inverse, wanted)
    y = from_start * jnp.einsum("bhtk,bhkv->bhtv", q, hidden)
    scores = jnp.einsum("bhtk,bhsk->bhts", q, k) * between
    y = y + jnp.einsum("bhts,bhsv->bhtv", scores, u)
    last = total[..., -1:]
    to_end = jnp.exp(last - total)[..., None]
    hidden = jnp.exp(last)[..., None] * hidden
    hidden = hidden + jnp.einsum("bhsk,bhsv->bhkv", k * to_end, u)
    return hidden, jnp.moveaxis(y, 2, 1)


def _unit_lower_inverse(lower):
    """The inverse of a matrix with 1 on the diagonal and 0 above, ``[..., Q, Q]``.

    Only what lies below the diagonal is read. Inverses of blocks join to those of
    blocks twice as large. JAX's triangular solve takes a step per row, and on CPU two
    of them in one program can wait for each other's threads for ever.
    """
    steps, batch = lower.shape[-1], lower.shape[:-2]
    size = 1 << (steps - 1).bit_length()
    padding = [(0, 0)] * len(batch) + [(0, size - steps)] * 2
    lower = jnp.pad(lower, padding)
    inverse, n = jnp.ones((*batch, size, 1, 1), lower.dtype), 1
    while n < size:
        pairs = lower.reshape(*batch, size // (2 * n), 2 * n, size // (2 * n), 2 * n)
        pairs = jnp.moveaxis(jnp.diagonal(pairs, axis1=-4, axis2=-2), -1, -3)
        corner = pairs[..., n:, :n]  # of each block of 2 n rows
        first, second = inverse[..., ::2, :, :], inverse[..., 1::2, :, :]
        corner = -jnp.matmul(
            second, jnp.matmul(corner, first, precision="highest"), precision="highest"
        )
        top = jnp.concatenate([first, jnp.zeros_like(first)], axis=-1)
        bottom = jnp.concatenate([corner, second], axis=-1)
        inverse, n = jnp.concatenate([top, bottom], axis=-2), 2 * n
    return inverse[..., 0, :steps, :steps]


def _unit(x):
    """`x` with length 1 along the last axis; the 1e-6 leaves zeros at 0."""
    return x * jax.lax.rsqrt(jnp.sum(jnp.square(x), axis=-1, keepdims=True) + 1e-6)


def _initial_a_log(shape, dtype):
    """The logs of decays uniform in 1 to 16, as in Mamba-2."""
    return jnp.log(RandomUniform(1.0, 16.0)(shape, jnp.float32)).astype(dtype)
