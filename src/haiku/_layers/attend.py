"""`attend`: attention as a function of queries, keys and values."""

import functools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from haiku._layers.cached_tracing import recomputed
from haiku._layers.inputs import whole_on_cpu

__all__ = ["attend"]


def attend(
    query: jax.Array,
    key: jax.Array,
    value: jax.Array,
    *,
    causal: bool = False,
    window: int | None = None,
    mask: jax.Array | None = None,
    bias: jax.Array | None = None,
    query_segments: jax.Array | None = None,
    key_segments: jax.Array | None = None,
    query_positions: jax.Array | None = None,
    key_positions: jax.Array | None = None,
    soft_cap: float | None = None,
    sinks: jax.Array | None = None,
    scale: float | None = None,
) -> jax.Array:
    """Averages values, weighted by how well their keys match each query.

        y_t = sum_s p_ts v_s,    p_t = softmax_s(scale q_t k_s + bias_ts)

    over the keys that a query may see: those that `causal`, `window`, `mask` and the
    segments all allow. A query that may see none gets zeros. Query head ``h`` reads
    key head ``h // (H // K)``. The softmax is float32.

    Args:
      query: ``[B, T, H, D]``.
      key: ``[B, S, K, D]``; ``K`` divides ``H``.
      value: ``[B, S, K, V]``.
      causal: Whether a query sees only keys at its own position and before.
      window: How many keys a query sees: at its own position and the ``window - 1``
        before it, if `causal`; else up to ``window // 2`` away on both sides.
        Default: any distance.
      mask: True where a key counts, ``[B, S]``, or where a query may see a key, an
        array that broadcasts to ``[B, H, T, S]``.
      bias: Added to the logits; broadcasts to ``[B, H, T, S]``.
      query_segments: Integers ``[B, T]``: a query sees only keys of its own segment.
      key_segments: Integers ``[B, S]``. Default: `query_segments`.
      query_positions: Integers ``[T]`` or ``[B, T]``, for `causal` and `window`.
        Default: 0, 1, ...
      key_positions: Integers ``[S]`` or ``[B, S]``. Default: 0, 1, ...
      soft_cap: Squashes products to ``soft_cap * tanh(x / soft_cap)``, before bias and
        mask; above 0.
      sinks: Logits ``[H]`` of one more key per head, whose value is 0.
      scale: Default: ``1 / sqrt(D)``.

    Returns:
      ``[B, T, H, V]``, of the dtype of `value`.

    Raises:
      ValueError: Shapes don't fit, or `window` or `soft_cap` isn't above 0.

    Source:
      Vaswani et al., 2017, arXiv:1706.03762; groups: Ainslie et al., 2023, GQA,
      arXiv:2305.13245; soft cap: Gemma Team, 2024, Gemma 2, arXiv:2408.00118; sinks:
      OpenAI, 2025, gpt-oss-120b and gpt-oss-20b, arXiv:2508.10925.

    Example:
      >>> x = jnp.arange(3.0).reshape(1, 3, 1, 1)  # the mean of what each step sees
      >>> hk.attend(jnp.zeros_like(x), x, x, causal=True).ravel()
      Array([0. , 0.5, 1. ], dtype=float32)
      >>> hk.attend(jnp.zeros_like(x), x, x, causal=True, window=2).ravel()
      Array([0. , 0.5, 1.5], dtype=float32)
    """
    sizes = _sizes(query, key, value)
    _check_options(window, soft_cap, sinks, sizes)
    key_segments = query_segments if key_segments is None else key_segments
    if query_segments is None and key_segments is not None:
        raise ValueError("hk.attend got key_segments without query_segments.")
    scale = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    if bias is not None:
        bias = _as_logits("bias", bias, sizes)
    by_index = query_positions is None and key_positions is None
    masks = []
    if mask is not None:
        masks.append(_as_mask(mask, sizes))
    if query_segments is not None:
        ids = _per_step("query_segments", query_segments, sizes.batch, sizes.queries)
        others = _per_step("key_segments", key_segments, sizes.batch, sizes.keys)
        masks.append((ids[:, :, None] == others[:, None])[:, None])
    if (causal or window is not None) and not by_index:
        masks.append(_near(causal, window, query_positions, key_positions, sizes))
    by_rules = by_index or not (causal or window)
    capped = soft_cap is not None or sinks is not None
    rules = by_rules and not capped and not _is_one(sizes.queries)
    fits = rules and _fits_jax(query, value, sizes)
    if fits and not whole_on_cpu(query, key, value):  # where it is the slower one
        return recomputed(
            lambda q, k, v, masks, bias: _fused(
                q, k, v, causal, window, masks, bias, scale
            )
        )(query, key, value, masks, bias)
    if (causal or window is not None) and by_index:
        masks.append(_near(causal, window, None, None, sizes))
    seen = _all_of(masks)
    return recomputed(
        lambda q, k, v, seen, bias, sinks: _plain(
            q, k, v, seen, bias, soft_cap, sinks, scale
        )
    )(query, key, value, seen, bias, sinks)


class _Sizes(NamedTuple):
    """Sizes of the logits."""

    batch: Any
    heads: int
    queries: Any
    keys: Any


def _sizes(query, key, value) -> _Sizes:
    shapes = query.shape, key.shape, value.shape
    if {len(shape) for shape in shapes} == {4}:
        (b, t, h, d), (b1, s, k, d1), (b2, s2, k2, _) = shapes
        if (b, d) == (b1, d1) and b == b2 and (s, k) == (s2, k2) and k and not h % k:
            return _Sizes(b, h, t, s)
    raise ValueError(
        "hk.attend needs query [B, T, H, D], key [B, S, K, D] and value [B, S, K, V], "
        f"where K divides H, got {shapes[0]}, {shapes[1]} and {shapes[2]}."
    )


def _check_options(window, soft_cap, sinks, sizes) -> None:
    if window is not None and window < 1:
        raise ValueError(f"window of hk.attend must be at least 1, got {window}.")
    if soft_cap is not None and not soft_cap > 0:
        raise ValueError(f"soft_cap of hk.attend must be above 0, got {soft_cap}.")
    if sinks is not None and sinks.shape != (sizes.heads,):
        raise ValueError(
            f"sinks of hk.attend must be one logit per head, [{sizes.heads}], got "
            f"{sinks.shape}."
        )


def _as_logits(name: str, x: jax.Array, sizes: _Sizes) -> jax.Array:
    """X with four axes, which broadcasts to the logits."""
    shape = (1,) * (4 - len(x.shape)) + tuple(x.shape)
    if len(shape) != 4 or any(n not in (1, m) for n, m in zip(shape, sizes)):
        also = f"be [B, S] = {[sizes.batch, sizes.keys]}, or " if name == "mask" else ""
        raise ValueError(
            f"{name} of hk.attend must {also}broadcast to [B, H, T, S] = "
            f"{list(sizes)}, got {list(x.shape)}."
        )
    return x.reshape(shape)


def _as_mask(mask: jax.Array, sizes: _Sizes) -> jax.Array:
    mask = jnp.asarray(mask).astype(bool)
    if mask.shape == (sizes.batch, sizes.keys):
        return mask[:, None, None]
    return _as_logits("mask", mask, sizes)


def _per_step(name: str, x: Any, batch: Any, length: Any) -> jax.Array:
    """Integers ``[1 or B, length]``."""
    x = jnp.asarray(x)
    x = x[None] if len(x.shape) == 1 else x
    if len(x.shape) != 2 or x.shape[0] not in (1, batch) or x.shape[1] != length:
        raise ValueError(
            f"{name} of hk.attend must be [{length}] or [{batch}, {length}], got "
            f"{list(x.shape)}."
        )
    return x


def _near(causal, window, query_positions, key_positions, sizes) -> jax.Array:
    """Where the rules on distance let a query see a key, ``[1 or B, 1, T, S]``."""
    if query_positions is None:
        query_positions = jnp.arange(sizes.queries, dtype=jnp.int32)
    if key_positions is None:
        key_positions = jnp.arange(sizes.keys, dtype=jnp.int32)
    of_query = _per_step("query_positions", query_positions, sizes.batch, sizes.queries)
    of_key = _per_step("key_positions", key_positions, sizes.batch, sizes.keys)
    distance = of_query[:, :, None] - of_key.astype(of_query.dtype)[:, None]
    near = distance >= 0 if causal else jnp.ones_like(distance, bool)
    if window is not None:
        near &= distance < window if causal else jnp.abs(distance) <= window // 2
    return near[:, None]


def _all_of(masks: list[jax.Array]) -> jax.Array | None:
    return functools.reduce(jnp.logical_and, masks) if masks else None


def _fits_jax(query, value, sizes) -> bool:
    """Whether JAX's function takes arrays of these kinds.

    It wants one size of keys and values, known lengths, and single precision or
    bfloat16.
    """
    known = all(isinstance(n, int) and n for n in sizes)
    kinds = jnp.float32, jnp.bfloat16
    return known and query.shape[-1] == value.shape[-1] and query.dtype in kinds


def _fused(query, key, value, causal, window, masks, bias, scale):
    """By `jax.nn.dot_product_attention`, which knows causal and window as rules."""
    mask = _all_of(masks)
    local = None
    if window is not None:
        local = (window - 1, 0) if causal else (window // 2, window // 2)
    # Inside it JAX promotes, whatever the caller's settings allow.
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        y = jax.nn.dot_product_attention(
            query,
            *(key.astype(query.dtype), value.astype(query.dtype)),
            bias=bias,
            mask=mask,
            scale=scale,
            is_causal=causal,
            local_window_size=local,
        ).astype(value.dtype)
    if mask is None and (window is None or query.shape[1] == key.shape[1]):
        return y  # every query sees its own key, or the first
    # Where a query sees nothing, that function takes the mean of all values.
    if causal or window is not None:
        sizes = _Sizes(query.shape[0], query.shape[2], query.shape[1], key.shape[1])
        masks = [*masks, _near(causal, window, None, None, sizes)]
    sees = jnp.any(
        functools.reduce(jnp.logical_and, masks), axis=-1
    )  # [B or 1, H or 1, T]
    return jnp.where(jnp.swapaxes(sees, 1, 2)[..., None], y, 0)


def _plain(query, key, value, seen, bias, soft_cap, sinks, scale):
    """The same in plain operations, with soft caps and sinks.

    Passes over ``[B, H, T, S]`` take most of the time on a CPU. So queries are scaled,
    not logits, and sums of values are divided by the sum of weights, not the weights.
    """
    (batch, steps, heads, size), (keys, groups) = query.shape, key.shape[1:3]
    each, kind = heads // groups, value.dtype
    wide = jnp.float64 if query.dtype == jnp.float64 else jnp.float32
    if query.dtype == jnp.float16:  # CPUs don't add up products in another precision
        query, key = query.astype(wide), key.astype(wide)
    key = key.astype(query.dtype)
    if query.dtype == wide:
        query, scale = query * scale, None
    wide_sum = jnp.float64 if kind == jnp.float64 else wide
    # A sum of values over the keys may be beyond what half precision holds.
    value = value.astype(wide_sum) if kind == jnp.float16 else value
    query = query.reshape(batch, steps, groups, each, size)
    on_cpu = whole_on_cpu(query, key, value)
    # The heads of a group are rows of one product, of which XLA turns nothing.
    rows = (each * steps,) if on_cpu else (each, steps)
    one = _is_one(steps) and on_cpu  # a step of a decoder
    if one:
        logits = jnp.matmul(
            key.reshape(batch, keys, groups * size),
            _in_blocks(query[:, 0]),
            preferred_element_type=wide,
        )  # [B, S, H]
        # Else XLA turns the products round instead of the logits, to slower ones.
        logits = jnp.swapaxes(jax.lax.optimization_barrier(logits), 1, 2)
    else:
        query = jnp.moveaxis(query, 1, 3).reshape(batch, groups, *rows, size)
        logits = jnp.einsum(
            "bk...d,bskd->bk...s", query, key, preferred_element_type=wide
        )
    logits = logits.reshape(batch, heads, steps, keys)
    logits = logits if scale is None else logits * scale
    weights, total = _weights(logits, seen, bias, soft_cap, sinks)
    weights = weights.astype(value.dtype)
    if one:
        y = jnp.matmul(
            weights[:, :, 0],
            value.reshape(batch, keys, groups * value.shape[3]),
            preferred_element_type=wide_sum,
        )  # [B, H, K * V]
        y = _of_blocks(y, groups)
    else:
        weights = weights.reshape(batch, groups, *rows, keys)
        y = jnp.einsum(
            "bk...s,bskd->bk...d", weights, value, preferred_element_type=wide_sum
        )
        y = jnp.moveaxis(y.reshape(batch, heads, steps, value.shape[-1]), 1, 2)
    return (y / jnp.swapaxes(total, 1, 2).astype(wide_sum)).astype(kind)


def _in_blocks(query):
    """Queries ``[B, K, G, D]`` as a block for each group, ``[B, K * D, K * G]``.

    With zeros elsewhere, one product takes the cache ``[B, S, K * D]`` as it lies; XLA
    copies and transposes it, in each step, for a product per group.
    """
    batch, groups, each, size = query.shape
    own = jnp.eye(groups, dtype=bool)[None, :, None, :, None]
    blocks = jnp.where(own, jnp.moveaxis(query, 3, 1)[:, None], 0)
    return blocks.reshape(batch, groups * size, groups * each)


def _of_blocks(y, groups: int):
    """Of values of all groups, ``[B, H, K * V]``, each head's own, ``[B, 1, H, V]``."""
    batch, heads, size = y.shape
    each, size = heads // groups, size // groups
    y = jnp.swapaxes(y.reshape(batch, groups, each, groups, size), 2, 3)
    diagonal = y.reshape(batch, groups**2, each, size)[:, :: groups + 1]
    return diagonal.reshape(batch, 1, heads, size)


def _weights(logits, seen, bias, soft_cap, sinks):
    """The softmax of logits ``[B, H, T, S]``.

    As weights of at most 1, and what their sums are divided by.
    """
    if soft_cap is not None:
        logits = soft_cap * jnp.tanh(logits / soft_cap)
    if bias is not None:
        logits = logits + bias.astype(logits.dtype)
    if seen is not None:
        logits = jnp.where(seen, logits, -jnp.inf)
    largest = jax.lax.reduce_max(logits, (3,))[..., None]
    if sinks is not None:
        sinks = sinks.astype(logits.dtype).reshape(1, -1, 1, 1)
        largest = jnp.maximum(largest, sinks)
    may_be_blind = seen is not None or bias is not None or logits.shape[3] == 0
    # All weights of a query that sees nothing are 0. Literals are floats for jax2onnx,
    # which takes others for integers in a loop.
    if may_be_blind:
        largest = jnp.where(largest == -jnp.inf, 0.0, largest)
    largest = jax.lax.stop_gradient(largest)
    weights = jnp.exp(logits - largest)
    total = jnp.sum(weights, axis=3, keepdims=True)
    if sinks is not None:
        total = total + jnp.exp(sinks - largest)
    return weights, jnp.where(total == 0, 1.0, total) if may_be_blind else total


def _is_one(steps: Any) -> bool:
    """Whether a length, which may be a symbol, is known to be 1."""
    return isinstance(steps, int) and steps == 1
