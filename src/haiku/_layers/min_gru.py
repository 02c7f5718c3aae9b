"""`MinGRU`: a gated recurrent unit whose gates don't see its state."""

import jax
import jax.numpy as jnp

from haiku._core import transparent
from haiku._layers.linear import Linear
from haiku._layers.linear_recurrence import linear_recurrence
from haiku._layers.rnn_unroll import add_batch
from haiku._layers.sequence_layer import SequenceLayer
from haiku.initializers import Initializer

__all__ = ["MinGRU"]


class MinGRU(SequenceLayer):
    """A minimal gated recurrent unit, parallel in time.

        h_t = (1 - z_t) h_(t-1) + z_t c_t
        z_t = σ(x_t w_z + b_z),    c_t = x_t w_c + b_c

    The output is ``h``. Call it on a sequence, or unroll its method `step`: both give
    the same outputs, states and gradients.

    Args:
      size: Size of ``h``.
      with_bias: Whether the two maps have biases.
      w_init: Initializer of both weights. Default: :class:`Linear`'s.
      name: Name of the module.

    Parameters:
      ``gate`` (``z``), ``candidate`` (``c``): each ``w`` ``[D, size]`` and ``b``.

    Source:
      Feng et al., 2024, Were RNNs All We Needed?, arXiv:2410.01201, section 3.1; not
      the variant of its appendix that keeps ``h`` positive and computes logarithms.

    Example:
      >>> x = jnp.ones([2, 5, 3])
      >>> model = hk.bind(hk.MinGRU, 4).init(0, x)
      >>> y, state = model(x)
      >>> y.shape, state.shape
      ((2, 5, 4), (2, 4))
    """

    def __init__(
        self,
        size: int,
        with_bias: bool = True,
        *,
        w_init: Initializer | None = None,
        name: str | None = None,
    ):
        super().__init__(name=name)
        self.check_sizes(size=size)
        self.size = size
        self.with_bias = with_bias
        self.w_init = w_init

    @transparent
    def initial_state(self, batch_size: int | None) -> jax.Array:
        """Zeros, ``[B, size]`` or ``[size]``."""
        return add_batch(jnp.zeros([self.size]), batch_size)

    @transparent
    def _run(self, x, state, mask):
        gate, candidate = (
            Linear(self.size, self.with_bias, self.w_init, name=name)(x)
            for name in ("gate", "candidate")
        )
        z = jax.nn.sigmoid(gate.astype(state.dtype))
        if mask is not None:
            z = jnp.where(mask[:, :, None], z, 0)
        h = linear_recurrence(1 - z, z * candidate.astype(z.dtype), state)
        return h, h[:, -1]
