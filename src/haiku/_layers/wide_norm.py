"""Norms as transformers of today use them: statistics in single precision at least."""

import jax
import jax.numpy as jnp

from haiku._core import Module, get_parameter
from haiku._layers.cached_tracing import elementwise


class WideNorm(Module):
    """Normalises the last axis, with statistics in at least single precision.

    Args:
      kind: ``"rms"`` divides by the root mean square and scales; ``"rms_offset"``
        scales by 1 plus the parameter, as Gemma does; ``"layer"`` subtracts the mean,
        divides by the deviation, scales and shifts.
      eps: Added to the mean of squares.
      with_offset: Whether a ``"layer"`` shifts.
      name: Name of the module.
      groups: In how many equal parts of the axis statistics are taken.
    """

    def __init__(
        self,
        kind: str,
        eps: float,
        with_offset: bool = True,
        name: str | None = None,
        groups: int = 1,
    ):
        super().__init__(name=name)
        self.kind = kind
        self.eps = eps
        self.with_offset = with_offset
        self.groups = groups

    def __call__(self, x: jax.Array) -> jax.Array:
        shape, kind = [x.shape[-1]], self.kind
        init = jnp.zeros if kind == "rms_offset" else jnp.ones
        scale, offset = get_parameter("scale", shape, x.dtype, init=init), None
        if kind == "layer" and self.with_offset:
            offset = get_parameter("offset", shape, x.dtype, init=jnp.zeros)
        return _normalise(x, scale, offset, self.eps, kind=kind, groups=self.groups)


@elementwise("wide_norm", "kind", "groups")
def _normalise(x, scale, offset, eps, *, kind, groups):
    wide = x.astype(jnp.float64 if x.dtype == jnp.float64 else jnp.float32)
    if groups > 1:
        wide = wide.reshape(*x.shape[:-1], groups, x.shape[-1] // groups)
    if kind == "layer":
        wide = wide - jnp.mean(wide, axis=-1, keepdims=True)
    mean = jnp.mean(jnp.square(wide), axis=-1, keepdims=True)
    y = (wide * jax.lax.rsqrt(mean + jnp.asarray(eps, mean.dtype))).reshape(x.shape)
    if kind == "rms_offset":
        y = y * jnp.broadcast_to(1 + scale.astype(y.dtype), y.shape)
        return y.astype(x.dtype)
    y = y.astype(x.dtype) * jnp.broadcast_to(scale, y.shape)
    return y if offset is None else y + jnp.broadcast_to(offset, y.shape)
