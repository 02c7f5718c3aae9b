"""A bias of attention's logits for each distance, as T5 has it."""

import jax
import jax.numpy as jnp
import numpy as np

from haiku._layers.embedding import Embed
from haiku.nets.transformer_config import TransformerConfig


def relative_bias(
    config: TransformerConfig,
    query_positions: jax.Array,
    key_positions: jax.Array,
    causal: bool = False,
) -> jax.Array:
    """A learned logit per head and bucket of distances, ``[1 or B, H, T, S]``.

    Short distances have a bucket each, longer ones share them, wider and wider up to
    `relative_distance`; all beyond are in the last. Unless `causal`, half of the
    buckets are for keys after the query. The table is ``relative/embeddings``.

    Args:
      config: Whose `relative_buckets` and `relative_distance`.
      query_positions: Integers ``[1 or B, T]``.
      key_positions: Integers ``[1 or B, S]``.
      causal: Whether no query sees a later key.
    """
    buckets = config.relative_buckets
    after = key_positions[:, None] - query_positions[:, :, None]
    if causal:
        starts = _starts(buckets, config.relative_distance)
        number = jnp.searchsorted(starts, jnp.maximum(-after, 0), side="right")
    else:
        starts = _starts(buckets // 2, config.relative_distance)
        number = jnp.searchsorted(starts, jnp.abs(after), side="right")
        number = jnp.where(after > 0, number + buckets // 2, number)
    table = Embed(buckets, config.num_heads, name="relative")
    return jnp.moveaxis(table(number), -1, 1)


def _starts(buckets: int, longest: int) -> np.ndarray:
    """The distance at which each bucket but the first begins, ``[buckets - 1]``."""
    exact = buckets // 2
    parts = np.arange(1, buckets - exact) / (buckets - exact)
    wide = exact * (longest / exact) ** parts
    # A power that is a whole number is one, whatever the last bits of the logarithm.
    wide = np.ceil(wide * (1 - 1e-9))
    return np.concatenate([np.arange(1, exact + 1), wide]).astype(np.int32)
