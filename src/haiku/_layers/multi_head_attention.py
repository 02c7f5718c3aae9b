"""`MultiHeadAttention`: attention with several heads."""

import math

import jax
import jax.numpy as jnp
import numpy as np

from haiku._core import Module, transparent
from haiku._layers.cached_tracing import compiled
from haiku._layers.linear import Linear
from haiku.initializers import Initializer, VarianceScaling

__all__ = ["MultiHeadAttention"]

# A masked logit, if the dtype can hold it: as good as minus infinity, without NaNs.
_MASKED = -1e30

# Names of axes, for `hk.parallel`, of the maps to queries, keys and values.
PROJECTION_AXES = {
    f"{name}/{parameter}": axes
    for name in ("query", "key", "value")
    for parameter, axes in (("w", ("embed", "heads")), ("b", ("heads",)))
}


class MultiHeadAttention(Module):
    """Averages values, weighted in each head by how well their keys match the query.

        head_h = softmax(Q_h K_h^T / sqrt(key_size)) V_h
        y = [head_1, ..., head_H] w_o + b_o

    ``Q_h``, ``K_h`` and ``V_h`` are learned linear maps of query, key and value.

    Args:
      num_heads: Number of heads, ``H``.
      key_size: Size of the keys and queries in a head.
      w_init_scale: Scale of a :class:`VarianceScaling` for all weights, instead of
        `w_init`.
      w_init: Initializer of all weights.
      with_bias: Whether the linear maps have biases.
      b_init: Initializer of the biases. Default: zeros.
      value_size: Size of the values in a head. Default: `key_size`.
      model_size: Size of the output. Default: ``key_size * num_heads``.
      name: Name of the module.

    Raises:
      ValueError: Neither or both of `w_init` and `w_init_scale` are given.

    Source:
      Vaswani et al., 2017, Attention Is All You Need, arXiv:1706.03762.

    Example:
      >>> def f(x):  # [B, T, D]: each step attends to itself and earlier ones
      ...     w_init = hk.initializers.VarianceScaling()
      ...     attend = hk.MultiHeadAttention(num_heads=2, key_size=8, w_init=w_init)
      ...     return attend(x, x, x, mask=jnp.tri(x.shape[1])[None, None])
    """

    _own_axes = PROJECTION_AXES | {"linear/w": ("heads", "embed")}

    def __init__(
        self,
        num_heads: int,
        key_size: int,
        w_init_scale: float | None = None,
        *,
        w_init: Initializer | None = None,
        with_bias: bool = True,
        b_init: Initializer | None = None,
        value_size: int | None = None,
        model_size: int | None = None,
        name: str | None = None,
    ):
        super().__init__(name=name)
        self.num_heads = num_heads
        self.key_size = key_size
        self.value_size = value_size or key_size
        self.model_size = model_size or key_size * num_heads
        if w_init_scale is not None:
            if w_init is not None:
                raise ValueError(
                    "Please provide only `w_init`, and not `w_init_scale` as well: got "
                    f"{w_init} and {w_init_scale}. A scale s is short for w_init="
                    "hk.initializers.VarianceScaling(s)."
                )
            w_init = VarianceScaling(w_init_scale)
        if w_init is None:
            raise ValueError(
                "Please provide a weight initializer: hk.MultiHeadAttention(..., "
                "w_init=hk.initializers.VarianceScaling()), for example."
            )
        self.w_init = w_init
        self.with_bias = with_bias
        self.b_init = b_init

    def __call__(
        self,
        query: jax.Array,
        key: jax.Array,
        value: jax.Array,
        mask: jax.Array | None = None,
    ) -> jax.Array:
        """Attends from each query to the values.

        Args:
          query: ``[..., T', D_q]``.
          key: ``[..., T, D_k]``.
          value: ``[..., T, D_v]``.
          mask: Nonzero where a query may attend to a value. Has the rank of the logits
            ``[..., H, T', T]`` and broadcasts to them.

        Returns:
          ``[..., T', model_size]``.

        Raises:
          ValueError: An input has fewer than two axes, leading axes don't broadcast,
            key and value differ in length, or the mask doesn't fit the logits.
        """
        _check_shapes(self, query, key, value, mask)
        query_heads = self._linear_projection(query, self.key_size, "query")
        key_heads = self._linear_projection(key, self.key_size, "key")
        value_heads = self._linear_projection(value, self.value_size, "value")
        attended = _attend(query_heads, key_heads, value_heads, mask)
        final_projection = Linear(
            self.model_size,
            w_init=self.w_init,
            with_bias=self.with_bias,
            b_init=self.b_init,
        )
        return final_projection(attended)

    @transparent
    def _linear_projection(
        self, x: jax.Array, head_size: int, name: str | None = None
    ) -> jax.Array:
        """Maps `x` linearly for each head, to ``[..., T, num_heads, head_size]``."""
        y = Linear(
            self.num_heads * head_size,
            w_init=self.w_init,
            with_bias=self.with_bias,
            b_init=self.b_init,
            name=name,
        )(x)
        return jnp.reshape(y, (*x.shape[:-1], self.num_heads, head_size))


def _check_shapes(layer, query, key, value, mask) -> None:
    shapes = query.shape, key.shape, value.shape
    where = f"{layer.module_name!r} needs query, key and value of shape [..., length, "
    if min(map(len, shapes)) < 2:
        raise ValueError(f"{where}features], got {shapes}.")
    if key.shape[-2] != value.shape[-2]:
        raise ValueError(f"{where}features], and as many keys as values, got {shapes}.")
    try:
        leading = jnp.broadcast_shapes(*(shape[:-2] for shape in shapes))
    except ValueError:
        raise ValueError(
            f"{where}features], whose leading axes broadcast, got {shapes}."
        ) from None
    if mask is None:
        return
    logits = (*leading, layer.num_heads, query.shape[-2], key.shape[-2])
    if len(mask.shape) != len(logits):
        raise ValueError(
            f"Mask dimensionality {len(mask.shape)} must match logits dimensionality "
            f"{len(logits)}: {layer.module_name!r} got a mask of shape {mask.shape} "
            f"for logits of shape [..., heads, queries, keys] = {logits}."
        )
    if any(n not in (1, m) for n, m in zip(mask.shape, logits)):
        raise ValueError(
            f"{layer.module_name!r} got a mask of shape {mask.shape}, which does not "
            f"broadcast to logits of shape [..., heads, queries, keys] = {logits}."
        )


@compiled("attention")
def _attend(query, key, value, mask):
    """The concatenated outputs of the heads, ``[..., T', H * V]``."""
    logits = jnp.einsum("...thd,...Thd->...htT", query, key)
    logits = logits / np.asarray(math.sqrt(key.shape[-1]), logits.dtype)
    if mask is not None:
        masked = max(_MASKED, float(jnp.finfo(logits.dtype).min))
        logits = jnp.where(mask, logits, masked)
    weights = jax.nn.softmax(logits)
    attended = jnp.einsum("...htT,...Thd->...thd", weights, value)
    *leading, heads, size = attended.shape
    return jnp.reshape(attended, (*leading, heads * size))
