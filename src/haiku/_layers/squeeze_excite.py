"""`SqueezeExcite`: scales channels by what the whole image contains."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from haiku._core import Module
from haiku._layers.inputs import as_array
from haiku._layers.linear import Linear
from haiku.initializers import Initializer

__all__ = ["SqueezeExcite"]


class SqueezeExcite(Module):
    """Scales each channel by a gate that sees the means of all channels.

        y = x * gate(activation(mean(x) w_squeeze + b) w_excite + b)

    Args:
      ratio: Number of hidden units per channel, above 0.
      activation: Of the hidden units.
      gate: Maps to the factors.
      w_init: Initializer of both weights. Default: :class:`Linear`'s.
      name: Name of the module.

    Parameters:
      ``squeeze``, ``excite``: each ``w`` ``[in, out]`` and ``b``.

    Raises:
      ValueError: `ratio` isn't above 0.

    Source:
      Hu et al., 2017, Squeeze-and-Excitation Networks, arXiv:1709.01507.

    Example:
      >>> images = jnp.ones([2, 8, 8, 16])
      >>> model = hk.bind(hk.SqueezeExcite).init(0, images)
      >>> model(images).shape, model.params["squeeze_excite/squeeze"]["w"].shape
      ((2, 8, 8, 16), (16, 4))
    """

    def __init__(
        self,
        ratio: float = 0.25,
        activation: Callable[[jax.Array], jax.Array] = jax.nn.relu,
        gate: Callable[[jax.Array], jax.Array] = jax.nn.sigmoid,
        *,
        w_init: Initializer | None = None,
        name: str | None = None,
    ):
        super().__init__(name=name)
        if not ratio > 0:
            raise ValueError(
                f"ratio of {self.module_name!r} must be above 0, got {ratio}."
            )
        self.ratio = ratio
        self.activation = activation
        self.gate = gate
        self.w_init = w_init

    def __call__(self, x: jax.Array) -> jax.Array:
        """Scales the channels of ``[B, *space, C]``.

        Raises:
          ValueError: `x` has no spatial axis.
        """
        x = as_array(x)
        if len(x.shape) < 3:
            raise ValueError(
                f"{self.module_name!r} needs an array of shape [B, *space, C], got "
                f"{x.shape}."
            )
        space = tuple(range(1, len(x.shape) - 1))
        channels = x.shape[-1]
        hidden = max(1, int(channels * self.ratio))
        y = jnp.mean(x, axis=space, keepdims=True)
        y = self.activation(Linear(hidden, w_init=self.w_init, name="squeeze")(y))
        y = self.gate(Linear(channels, w_init=self.w_init, name="excite")(y))
        return x * jnp.broadcast_to(y, x.shape)
