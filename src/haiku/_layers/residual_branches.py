"""Residual branches that begin small, or are left out: for deep networks."""

from typing import Any

import jax
import jax.numpy as jnp
from jax.core import Tracer

from haiku._core import Module, get_parameter
from haiku._layers.inputs import as_array
from haiku.initializers import Constant

__all__ = ["LayerScale", "stochastic_depth"]


class LayerScale(Module):
    """Scales each feature by a learned number that begins small.

        y = scale * x

    Around the branch of a residual block, ``x + hk.LayerScale()(branch(x))``, it makes
    deep networks begin near the identity.

    Args:
      init: Initial value.
      name: Name of the module.

    Parameters:
      ``scale`` ``[D]``.

    Source:
      Touvron et al., 2021, Going Deeper with Image Transformers, arXiv:2103.17239,
      equation 4.

    Example:
      >>> x = jnp.ones([2, 3])
      >>> print(hk.bind(hk.LayerScale, 0.5).init(0, x)(x))
      [[0.5 0.5 0.5]
       [0.5 0.5 0.5]]
    """

    def __init__(self, init: float = 1e-5, name: str | None = None):
        super().__init__(name=name)
        self.init = init

    def __call__(self, x: jax.Array) -> jax.Array:
        """Scales ``[..., D]``.

        Raises:
          ValueError: `x` is a scalar.
        """
        x = as_array(x)
        if not x.shape:
            raise ValueError(
                f"{self.module_name!r} needs an array of shape [..., D], got a scalar."
            )
        scale = get_parameter("scale", x.shape[-1:], x.dtype, init=Constant(self.init))
        return x * jnp.broadcast_to(scale, x.shape)


def stochastic_depth(key: Any, rate: float | jax.Array, x: jax.Array) -> jax.Array:
    """Sets random examples to zero and scales the others up to keep the mean.

        y[b] = keep[b] x[b] / (1 - rate),  keep[b] ~ Bernoulli(1 - rate)

    For the branch of a residual block: ``x + hk.stochastic_depth(key, 0.1, branch(x))``
    leaves the block out for some examples of a batch.

    Args:
      key: A key.
      rate: Probability in [0, 1) that an example is dropped; may be an array, for
        layers in a loop that have rates of their own.
      x: ``[B, ...]``.

    Returns:
      An array with the shape and dtype of `x`.

    Raises:
      ValueError: `rate` is outside [0, 1), or `x` has no axis of examples.
      TypeError: `key` is None.

    Source:
      Huang et al., 2016, Deep Networks with Stochastic Depth, arXiv:1603.09382.

    Example:
      >>> y = hk.stochastic_depth(jax.random.key(0), 0.5, jnp.ones([1000, 2]))
      >>> bool((y[:, 0] == y[:, 1]).all()), sorted(set(y.ravel().tolist()))
      (True, [0.0, 2.0])
    """
    x = as_array(x)
    if not x.shape:
        raise ValueError(
            "hk.stochastic_depth drops examples of an array of shape [B, ...], got a "
            "scalar."
        )
    if not isinstance(rate, Tracer):
        if not 0 <= rate < 1:
            raise ValueError(
                f"rate of hk.stochastic_depth must be in [0, 1), got {rate}. It is the "
                "probability that an example is dropped, 0.1 for a tenth of them."
            )
        if rate == 0:
            return x
    if key is None:
        raise TypeError(
            "hk.stochastic_depth needs a key, got None: pass hk.next_rng_key(), and a "
            "key to apply."
        )
    keep_rate = 1.0 - rate
    keep = jax.random.bernoulli(key, keep_rate, x.shape[:1] + (1,) * (x.ndim - 1))
    y = x * jnp.broadcast_to(jnp.asarray(1 / keep_rate, x.dtype), x.shape)
    return jnp.where(jnp.broadcast_to(keep, x.shape), y, 0)
