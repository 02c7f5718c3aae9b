"""`RGLRU`: Griffin's real-gated linear recurrent unit."""

import math

import jax
import jax.numpy as jnp

from haiku._core import Module, get_parameter, transparent
from haiku._layers.linear_recurrence import linear_recurrence
from haiku._layers.rnn_unroll import add_batch
from haiku._layers.sequence_layer import SequenceLayer
from haiku.initializers import Initializer, RandomUniform, TruncatedNormal

__all__ = ["RGLRU"]

_SHARPNESS = 8.0  # c in the paper
_SMALLEST = 1e-12  # of 1 - a², whose root has no finite gradient at 0


class RGLRU(SequenceLayer):
    """A linear recurrence of each feature, with gates on its decay and its input.

        h_t = a_t h_(t-1) + sqrt(1 - a_t²) (i_t x_t),    a_t = exp(-8 r_t softplus(λ))
        r_t = σ(x_t w_r + b_r),    i_t = σ(x_t w_i + b_i)

    The output is ``h``. Call it on a sequence, or unroll its method `step`: both give
    the same outputs, states and gradients.

    Args:
      size: Number of features, of ``x`` and of ``h``.
      num_blocks: Blocks on the diagonal of ``w_r`` and ``w_i``; divides `size`.
      w_init: Initializer of both weights, of shape ``[num_blocks, in, out]``. Default:
        a truncated normal with standard deviation ``1 / sqrt(in)``.
      name: Name of the module.

    Parameters:
      ``recurrence_gate`` (``r``), ``input_gate`` (``i``): each ``w``
      ``[num_blocks, in, out]`` and ``b`` ``[size]``; ``decay`` (``λ``): ``[size]``.

    Raises:
      ValueError: `num_blocks` doesn't divide `size`.

    Source:
      De et al., 2024, Griffin: Mixing Gated Linear Recurrences with Local Attention for
      Efficient Language Models, arXiv:2402.19427, section 2.4. At first, ``exp(-8
      softplus(λ))`` is uniform between 0.9 and 0.999. Our λ has the sign of appendix A,
      not that of section 2.4.

    Example:
      >>> x = jnp.ones([2, 5, 6])
      >>> model = hk.bind(hk.RGLRU, 6, num_blocks=2).init(0, x)
      >>> y, state = model(x)
      >>> y.shape, state.shape
      ((2, 5, 6), (2, 6))
    """

    def __init__(
        self,
        size: int,
        num_blocks: int,
        *,
        w_init: Initializer | None = None,
        name: str | None = None,
    ):
        super().__init__(name=name)
        if num_blocks < 1 or size % num_blocks:
            raise ValueError(
                f"num_blocks of {self.module_name!r} must divide its size, got "
                f"{num_blocks} for {size}."
            )
        self.size = size
        self.num_blocks = num_blocks
        self.w_init = w_init

    @transparent
    def initial_state(self, batch_size: int | None) -> jax.Array:
        """Zeros, ``[B, size]`` or ``[size]``."""
        return add_batch(jnp.zeros([self.size]), batch_size)

    @transparent
    def _run(self, x, state, mask):
        if x.shape[-1] != self.size:
            raise ValueError(
                f"{self.module_name!r} of size {self.size} got x of shape {x.shape}: "
                "it needs as many features. Put an hk.Linear before it."
            )
        wide = state.dtype
        r, i = (
            jax.nn.sigmoid(
                _BlockLinear(self.num_blocks, self.w_init, name=name)(x).astype(wide)
            )
            for name in ("recurrence_gate", "input_gate")
        )
        decay = get_parameter("decay", [self.size], x.dtype, init=_initial_decay)
        decay = jax.nn.softplus(decay.astype(wide))
        log_a = -_SHARPNESS * r * decay[None, None]
        kept = jnp.sqrt(jnp.maximum(-jnp.expm1(2 * log_a), _SMALLEST))
        a, term = jnp.exp(log_a), kept * i * x.astype(wide)
        if mask is not None:
            a = jnp.where(mask[:, :, None], a, 1)
            term = jnp.where(mask[:, :, None], term, 0)
        h = linear_recurrence(a, term, state)
        return h, h[:, -1]


class _BlockLinear(Module):
    """An affine map whose matrix is zero outside of blocks on its diagonal."""

    def __init__(self, num_blocks: int, w_init: Initializer | None, name: str):
        super().__init__(name=name)
        self.num_blocks = num_blocks
        self.w_init = w_init

    def __call__(self, x: jax.Array) -> jax.Array:
        blocks = self.num_blocks
        size = x.shape[-1] // blocks
        init = self.w_init or TruncatedNormal(1 / math.sqrt(size))
        w = get_parameter("w", [blocks, size, size], x.dtype, init=init)
        b = get_parameter("b", [blocks * size], x.dtype, init=jnp.zeros)
        y = jnp.einsum("btni,nio->btno", x.reshape(*x.shape[:2], blocks, size), w)
        return y.reshape(x.shape) + b[None, None]


def _initial_decay(shape, dtype):
    """The λ for which ``exp(-8 softplus(λ))`` is uniform in 0.9 to 0.999."""
    decay = RandomUniform(0.9, 0.999)(shape, jnp.float32)
    return jnp.log(jnp.expm1(-jnp.log(decay) / _SHARPNESS)).astype(dtype)
