"""`Sequential`: one layer after the other."""

from collections.abc import Callable, Iterable
from typing import Any

from haiku._core import Module
from haiku._layers.cached_tracing import jit_activation

__all__ = ["Sequential"]


class Sequential(Module):
    """Calls layers in turn, each on the output of the previous one.

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
        """Returns the output of the last layer; only the first gets all arguments."""
        out = inputs
        for i, layer in enumerate(self.layers):
            out = layer(out, *args, **kwargs) if i == 0 else jit_activation(layer)(out)
        return out
