"""`Sequential`: one layer after another."""

from collections.abc import Callable, Iterable
from typing import Any

from haiku._core import Module
from haiku._layers.cached_tracing import traced_once

__all__ = ["Sequential"]


class Sequential(Module):
    """Calls the given layers in turn, each on what the one before returned.

    Args:
      layers: Modules or functions. The first may take several arguments; the others
        take one.
      name: Name of the module.

    Example:
      >>> mlp = lambda x: hk.Sequential([hk.Linear(8), jax.nn.relu, hk.Linear(2)])(x)
      >>> params = hk.transform(mlp).init(jax.random.key(0), jnp.ones([3, 4]))
      >>> sorted(params)
      ['linear', 'linear_1']
    """

    def __init__(self, layers: Iterable[Callable[..., Any]], name: str | None = None):
        super().__init__(name=name)
        self.layers = tuple(layers)

    def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """Returns what the last layer returns; `args` go to the first layer only."""
        out = inputs
        for i, layer in enumerate(self.layers):
            out = layer(out, *args, **kwargs) if i == 0 else traced_once(layer)(out)
        return out
