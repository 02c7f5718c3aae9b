"""`AdaptiveNorm`: a norm whose scale and shift follow from a condition."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from haiku._core import Module
from haiku._layers.inputs import as_array, at_least_single
from haiku._layers.layer_norm import LayerNorm
from haiku._layers.linear import Linear
from haiku.initializers import Initializer

__all__ = ["AdaptiveNorm"]


class AdaptiveNorm(Module):
    """Normalises features; a condition scales and shifts them.

        y = norm(x) (1 + scale) + shift
        scale = condition w_scale + b,  shift = condition w_shift + b

    With the default weights, zeros, it begins as the norm alone.

    Args:
      size: Number of features of `x`.
      norm: Any function or module `[..., D] -> [..., D]`, such as a blueprint of
        :class:`GroupNorm`. Default: a layer norm over the features without scale and
        offset of its own, with statistics in single precision at least.
      eps: Added to the variance by the default norm.
      w_init: Initializer of both weights. Default: zeros.
      name: Name of the module.

    Parameters:
      ``scale``, ``shift``: each ``w`` ``[E, size]`` and ``b``.

    Source:
      Perez et al., 2017, FiLM: Visual Reasoning with a General Conditioning Layer,
      arXiv:1709.07871; Peebles and Xie, 2022, Scalable Diffusion Models with
      Transformers, arXiv:2212.09748, which apply silu to the condition before.

    Example:
      >>> x, condition = jnp.ones([2, 16, 8]), jnp.ones([2, 4])
      >>> hk.bind(hk.AdaptiveNorm, 8).init(0, x, condition)(x, condition).shape
      (2, 16, 8)
    """

    def __init__(
        self,
        size: int,
        norm: Callable[[jax.Array], jax.Array] | None = None,
        *,
        eps: float = 1e-6,
        w_init: Initializer | None = None,
        name: str | None = None,
    ):
        super().__init__(name=name)
        self.size = size
        self.norm = norm
        self.eps = eps
        self.w_init = w_init or jnp.zeros

    def __call__(self, x: jax.Array, condition: jax.Array) -> jax.Array:
        """Normalises, scales and shifts.

        Args:
          x: ``[B, ..., size]``.
          condition: ``[B, E]``; or with more of the leading axes of `x`, or none.

        Returns:
          An array with the shape of `x`.

        Raises:
          ValueError: `x` has another number of features, or the leading axes of
            `condition` aren't those of `x`.
        """
        x, condition = as_array(x), as_array(condition)
        if x.shape[-1:] != (self.size,):
            raise ValueError(
                f"{self.module_name!r} has size={self.size}, so it needs an array of "
                f"shape [B, ..., {self.size}], got {x.shape}."
            )
        lead = condition.shape[:-1]
        if not condition.shape or lead != x.shape[:-1][: len(lead)]:
            raise ValueError(
                f"{self.module_name!r} needs a condition [B, E] whose leading axes are "
                f"those of x: got {condition.shape} for x of shape {x.shape}."
            )

        def from_condition(name):
            y = Linear(self.size, w_init=self.w_init, name=name)(condition)
            ones = (1,) * (len(x.shape) - len(condition.shape))
            y = y.reshape(*lead, *ones, self.size).astype(x.dtype)
            return jnp.broadcast_to(y, x.shape)

        scale, shift = from_condition("scale"), from_condition("shift")
        return self._normal(x) * (1 + scale) + shift

    def _normal(self, x):
        if self.norm is not None:
            return self.norm(x)
        wide = x.astype(at_least_single(x.dtype))
        return LayerNorm(-1, False, False, self.eps, name="norm")(wide).astype(x.dtype)
