"""`GatedMLP`: the two-layer network of today's transformers."""

from collections.abc import Callable

import jax

from haiku._core import Module
from haiku._layers.cached_tracing import gated
from haiku._layers.linear import Linear
from haiku.initializers import Initializer

__all__ = ["GatedMLP"]


class GatedMLP(Module):
    """Maps to hidden units that gates scale, and back.

        y = (activation(x w_gate) * (x w_up)) w_down

    Args:
      hidden_size: Number of hidden units.
      output_size: Size of the output. Default: that of the input.
      activation: Of the gates.
      with_bias: Whether the three maps have biases.
      w_init: Initializer of all weights. Default: :class:`Linear`'s.
      name: Name of the module.

    Parameters:
      ``gate``, ``up``, ``down``: each ``w`` ``[in, out]`` and ``b``.

    Source:
      Shazeer, 2020, GLU Variants Improve Transformer, arXiv:2002.05202.

    Example:
      >>> model = hk.bind(hk.GatedMLP, 32).init(0, jnp.ones([2, 8]))
      >>> model(jnp.ones([2, 8])).shape
      (2, 8)
    """

    _own_axes = {
        "gate/w": ("embed", "mlp"),
        "gate/b": ("mlp",),
        "up/w": ("embed", "mlp"),
        "up/b": ("mlp",),
        "down/w": ("mlp", "embed"),
    }

    def __init__(
        self,
        hidden_size: int,
        output_size: int | None = None,
        activation: Callable[[jax.Array], jax.Array] = jax.nn.silu,
        with_bias: bool = False,
        *,
        w_init: Initializer | None = None,
        name: str | None = None,
    ):
        super().__init__(name=name)
        self.hidden_size = hidden_size
        self.output_size = output_size
        self.activation = activation
        self.with_bias = with_bias
        self.w_init = w_init

    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps ``[..., D]`` to ``[..., output_size]``."""
        size = x.shape[-1] if self.output_size is None else self.output_size

        def linear(size, name):
            return Linear(size, self.with_bias, self.w_init, name=name)

        gate = linear(self.hidden_size, "gate")(x)
        up = linear(self.hidden_size, "up")(x)
        return linear(size, "down")(gated(self.activation, gate, up))
