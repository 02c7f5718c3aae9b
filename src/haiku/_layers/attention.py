"""`Attention`: attention as decoders and encoders of today use it."""

import math

import jax
import jax.numpy as jnp
import numpy as np

from haiku._core import Module, get_parameter, get_state, part_of_init, transparent
from haiku._layers.attend import attend
from haiku._layers.attention_cache import Cache, Kept
from haiku._layers.constrain import is_split, prefer
from haiku._layers.linear import Linear
from haiku._layers.multi_head_attention import PROJECTION_AXES
from haiku._layers.rotary import Rotary
from haiku._layers.wide_norm import WideNorm
from haiku.initializers import Initializer

__all__ = ["Attention"]


class Attention(Module):
    """Attention with grouped heads, positions, windows and a cache.

        y_t = concat_h(sum_s p_hts v_gs) w_o + b_o,    p = softmax(q k^T / sqrt(D))

    with queries of ``H`` heads and keys and values of ``K``: head ``h`` reads group
    ``g = h // (H // K)``. :func:`attend` has the equations of the options.

    Args:
      num_heads: ``H``, the heads of the queries.
      head_size: Size of queries and keys in a head, ``D``.
      num_kv_heads: ``K``, the heads of keys and values; divides `num_heads`. Default:
        `num_heads`.
      value_size: Size of the values in a head. Default: `head_size`.
      output_size: Size of the output. Default: that of the input.
      causal: Whether a step sees only itself and earlier steps.
      window: How many steps a step sees, see :func:`attend`. Default: all.
      rotary: Turns queries and keys by their positions. Default: not.
      alibi: Whether to subtract the distance times a slope that differs between heads.
      qk_norm: ``"head"`` normalises each head of queries and keys, ``"all"`` all heads
        together. Default: neither.
      norm: The norm of `qk_norm`: ``"rms"`` divides by the root mean square and scales,
        ``"rms_offset"`` scales by 1 plus the parameter, ``"layer"`` is a
        :class:`LayerNorm`. In single precision at least.
      norm_eps: Added to its mean of squares.
      soft_cap: Squashes logits into ``(-soft_cap, soft_cap)``. Default: not.
      sinks: Whether each head learns a logit for attending to nothing.
      scale: Factor of the logits. Default: ``1 / sqrt(head_size)``.
      with_bias: Whether the maps to queries, keys and values have biases.
      key_bias: Whether the map to keys has one. Default: `with_bias`.
      output_bias: Whether the map to the output has one. Default: `with_bias`.
      w_init: Initializer of all weights. Default: :class:`Linear`'s.
      name: Name of the module.

    Parameters:
      ``query``, ``key``, ``value``, ``output``: each ``w`` ``[in, out]`` and ``b``;
      ``query_norm``, ``key_norm``: ``scale`` and ``offset``; ``sinks``: ``[H]``.

    State:
      ``keys``, ``values`` ``[B, slots, K, D]`` and ``length`` ``[B]``, if called with a
      `cache_size`; with `alibi`, or a scaling that depends on the length of the text,
      ``positions`` ``[B, slots]`` too. Such a scaling turns all keys anew in each call.
      Of a context: ``keys`` and ``values`` ``[B, S, K, D]``. A creator of state may
      make keys and values int8 (:class:`Hooks`): they are rounded then, and
      ``keys_scale`` and ``values_scale`` ``[B, slots, K]`` lie beside them.

    Raises:
      ValueError: `num_kv_heads` doesn't divide `num_heads`, or `qk_norm` or `norm` is
        none of its choices.

    Source:
      Vaswani et al., 2017, arXiv:1706.03762; ALiBi: Press et al., 2021, Train Short,
      Test Long, arXiv:2108.12409; norms: Henry et al., 2020, Query-Key Normalization
      for Transformers, arXiv:2010.04245.

    Example:
      >>> layer = hk.bind(hk.Attention, 4, 8, num_kv_heads=2, causal=True,
      ...                 rotary=hk.Rotary())
      >>> x = jnp.ones([2, 5, 16])
      >>> model = layer.init(0, x)
      >>> y, cached = model.updating(x[:, :4], cache_size=8)  # four steps, then one
      >>> y, cached = cached.updating(x[:, 4:], cache_size=8)
      >>> bool(jnp.allclose(y, model(x)[:, 4:], atol=1e-6))
      True
    """

    _own_axes = PROJECTION_AXES | {"output/w": ("heads", "embed")}

    def __init__(
        self,
        num_heads: int,
        head_size: int,
        num_kv_heads: int | None = None,
        value_size: int | None = None,
        output_size: int | None = None,
        *,
        causal: bool = False,
        window: int | None = None,
        rotary: Rotary | None = None,
        alibi: bool = False,
        qk_norm: str | None = None,
        norm: str = "rms",
        norm_eps: float = 1e-6,
        soft_cap: float | None = None,
        sinks: bool = False,
        scale: float | None = None,
        with_bias: bool = True,
        key_bias: bool | None = None,
        output_bias: bool | None = None,
        w_init: Initializer | None = None,
        name: str | None = None,
    ):
        super().__init__(name=name)
        self.num_heads = num_heads
        self.head_size = head_size
        self.num_kv_heads = num_heads if num_kv_heads is None else num_kv_heads
        self.value_size = head_size if value_size is None else value_size
        self.output_size = output_size
        if self.num_kv_heads < 1 or num_heads % self.num_kv_heads:
            raise ValueError(
                f"num_kv_heads of {self.module_name!r} must divide num_heads, got "
                f"{num_kv_heads} for {num_heads}."
            )
        if qk_norm not in (None, "head", "all"):
            raise ValueError(
                f"qk_norm of {self.module_name!r} must be 'head', 'all' or None, got "
                f"{qk_norm!r}."
            )
        if norm not in ("rms", "rms_offset", "layer"):
            raise ValueError(
                f"norm of {self.module_name!r} must be 'rms', 'rms_offset' or 'layer', "
                f"got {norm!r}."
            )
        self.causal = causal
        self.window = window
        self.rotary = rotary
        self.alibi = alibi
        self.qk_norm = qk_norm
        self.norm = norm
        self.norm_eps = norm_eps
        self.soft_cap = soft_cap
        self.sinks = sinks
        self.scale = scale
        self.with_bias = with_bias
        self.key_bias = with_bias if key_bias is None else key_bias
        self.output_bias = with_bias if output_bias is None else output_bias
        self.w_init = w_init

    def __call__(
        self,
        x: jax.Array,
        context: jax.Array | None = None,
        *,
        mask: jax.Array | None = None,
        bias: jax.Array | None = None,
        positions: jax.Array | None = None,
        segments: jax.Array | None = None,
        cache_size: int | None = None,
    ) -> jax.Array:
        """Lets each step attend to the others, or to a context.

        Args:
          x: ``[B, T, D]``.
          context: What to attend to, ``[B, S, E]``. Default: `x`.
          mask: True at the steps that count, ``[B, S]``, or where a step may see
            another, an array that broadcasts to ``[B, H, T, S]``.
          bias: Added to the logits; broadcasts to ``[B, H, T, S]``. With a cache, ``S``
            is its size: a step lies in the slot of its number.
          positions: Positions ``[T]`` or ``[B, T]`` for `rotary` and `alibi`. Default:
            each step's number among those that count, from 0, or from where the cache
            ends.
          segments: Integers ``[B, T]``: a step sees only its own segment.
          cache_size: Keeps keys and values in the state, for this many steps, and
            attends to those of earlier calls too. Steps that `mask`, ``[B, T]``,
            excludes aren't kept. With a `window` of at most this size, that many are
            kept. `init` makes none. With a `context`, all of its keys and values are
            kept, whatever this number, and later calls read these: they need a
            `context` of the same shape, and don't look at it. Default: no cache.

        Returns:
          ``[B, T, output_size]``; with more steps than the cache has room for, NaN.

        Raises:
          ValueError: Shapes or options don't fit, or more steps than the cache has
            room for, where that is known.
        """
        self._check(x, context, mask, bias, positions, segments, cache_size)
        keeps = cache_size is not None and not part_of_init()
        query = self._heads(x, self.num_heads, self.head_size, "query")
        if self.qk_norm is not None:
            query = self._normal(query, "query")
        if context is not None and keeps:
            key, value = self._kept_of(context)
        else:
            source = x if context is None else context
            key, value = self._keys(source), self._values(source)
        options = {
            "causal": self.causal,
            "window": self.window,
            "soft_cap": self.soft_cap,
            "scale": self.scale,
        }
        if self.sinks:
            shape = [self.num_heads]
            options["sinks"] = get_parameter("sinks", shape, x.dtype, init=jnp.zeros)
        # Where the heads aren't split, each device has queries of its own.
        of_queries = None if is_split("heads") else "length"
        query = prefer(query, "batch", of_queries, "heads", None)
        key = prefer(key, "batch", None, "heads", None)
        value = prefer(value, "batch", None, "heads", None)
        if keeps and context is None:
            y = self._with_cache(
                query, key, value, mask, bias, positions, cache_size, options
            )
        else:
            own = context is None
            y = self._without_cache(
                query, key, value, own, mask, bias, positions, segments, options
            )
        size = x.shape[-1] if self.output_size is None else self.output_size
        y = y.reshape(*y.shape[:2], self.num_heads * self.value_size)
        return Linear(size, self.output_bias, self.w_init, name="output")(y)

    def _without_cache(
        self, query, key, value, of_itself, mask, bias, positions, segments, options
    ):
        of_steps = mask is not None and mask.shape == key.shape[:2]
        numbers = None  # of the steps that count, if padding may stand before them
        if of_itself and of_steps and mask is not None:
            numbers = jnp.cumsum(jnp.asarray(mask).astype(bool), axis=1) - 1
        if positions is None:
            positions = jnp.arange(query.shape[1]) if numbers is None else numbers
        key_positions = positions if of_itself else jnp.arange(key.shape[1])
        query = self._turned(query, positions)
        key = self._turned(key, key_positions)
        if self.window is not None and numbers is not None:
            options |= {"query_positions": numbers, "key_positions": numbers}
        if self.alibi:
            slopes = _alibi(self.num_heads, positions, key_positions)
            bias = slopes if bias is None else bias + slopes
        return attend(
            query, key, value, mask=mask, bias=bias, query_segments=segments, **options
        )

    def _with_cache(
        self, query, key, value, mask, bias, positions, cache_size, options
    ):
        steps = query.shape[:2]
        valid = (
            jnp.ones(steps, bool) if mask is None else jnp.asarray(mask).astype(bool)
        )
        # Where the angles depend on the length, keys are kept as they are.
        by_length = self.rotary is not None and self.rotary.by_length
        at = jnp.zeros(steps, jnp.float32) if by_length or self.alibi else None
        cache = Cache.read(Kept(key, value, at), cache_size, self.window)
        known = mask is None and isinstance(steps[1], int)  # not in an export
        if known and not cache.ring and steps[1] > cache.slots:
            raise ValueError(
                f"{self.module_name!r} got {steps[1]} steps for a cache of "
                f"{cache_size}: pass a larger cache_size."
            )
        numbers = cache.numbers(valid)
        places = numbers if positions is None else jnp.asarray(positions)
        places = jnp.broadcast_to(places, numbers.shape)
        query = self._turned(query, places)
        key = key if by_length else self._turned(key, places)
        at = None if at is None else places.astype(at.dtype)
        cache, seen = cache.extended(Kept(key, value, at), valid)
        keys, values = seen.kept.read(query.dtype)
        at = seen.kept.positions
        if by_length and at is not None:
            keys = self._turned(keys, jnp.where(seen.counts, at, 0))
        if self.alibi:
            slopes = _alibi(self.num_heads, places, at)
            bias = slopes if bias is None else bias + slopes
        y = attend(
            *(query, keys, values.astype(value.dtype)),
            mask=seen.counts,
            bias=bias,
            query_positions=numbers,
            key_positions=seen.numbers,
            **options,
        )
        cache.write()
        return jnp.where(cache.overflows[:, None, None, None], jnp.nan, y)

    @transparent
    def _kept_of(self, context):
        """Keys and values of the context that the first call got."""

        def held(name, size, make):
            shape = (*context.shape[:2], self.num_kv_heads, size)
            value = get_state(name, shape, context.dtype, init=lambda *_: make(context))
            if value.shape != shape:
                raise ValueError(
                    f"{self.module_name!r} has {name} of shape {value.shape} of an "
                    f"earlier context, but this call needs {shape}: pass a context of "
                    "the same shape, or drop the state to begin a new one."
                )
            return value

        return (
            held("keys", self.head_size, self._keys),
            held("values", self.value_size, self._values),
        )

    @transparent
    def _keys(self, x):
        key = self._heads(x, self.num_kv_heads, self.head_size, "key", self.key_bias)
        return key if self.qk_norm is None else self._normal(key, "key")

    @transparent
    def _values(self, x):
        return self._heads(x, self.num_kv_heads, self.value_size, "value")

    @transparent
    def _heads(self, x, heads, size, name, with_bias=None):
        with_bias = self.with_bias if with_bias is None else with_bias
        y = Linear(heads * size, with_bias, self.w_init, name=name)(x)
        return y.reshape(*y.shape[:2], heads, size)

    @transparent
    def _normal(self, x, name):
        norm = WideNorm(self.norm, self.norm_eps, name=f"{name}_norm")
        if self.qk_norm == "head":
            return norm(x)
        return norm(x.reshape(*x.shape[:2], x.shape[2] * x.shape[3])).reshape(x.shape)

    def _turned(self, x, positions):
        return x if self.rotary is None else self.rotary(x, positions)

    def _check(self, x, context, mask, bias, positions, segments, cache_size) -> None:
        where = repr(self.module_name)
        arrays = {"x": x} | ({} if context is None else {"context": context})
        for name, array in arrays.items():
            if len(array.shape) != 3:
                raise ValueError(
                    f"{where} needs {name} of shape [batch, steps, features], got "
                    f"{array.shape}."
                )
        compares = self.causal or self.window is not None or self.alibi
        if context is not None and (compares or segments is not None):
            raise ValueError(
                f"{where} attends to a context: causal, window, alibi and segments "
                "compare steps of x with each other. Build and call it without them."
            )
        if positions is not None and self.rotary is None and not self.alibi:
            raise ValueError(
                f"{where} has neither rotary nor alibi: positions would change nothing."
            )
        if cache_size is None:
            return
        if cache_size < 1:
            raise ValueError(f"cache_size of {where} must be at least 1: {cache_size}.")
        if segments is not None:
            raise ValueError(
                f"{where} keeps a cache of one text: with cache_size it takes no "
                "segments."
            )
        if context is not None:
            if self.rotary is not None:
                raise ValueError(
                    f"{where} has rotary, which would turn each call's steps from 0 "
                    "on: it takes no cache_size with a context."
                )
            return
        if bias is not None and self.window is not None:
            raise ValueError(
                f"{where} has a window, whose cache holds steps in turns: with "
                "cache_size it takes no bias."
            )
        if not self.causal:
            raise ValueError(
                f"{where} isn't causal: earlier steps would have to see later ones, so "
                "that a cache gives other numbers. Build it with causal=True."
            )
        if mask is not None and mask.shape != x.shape[:2]:
            raise ValueError(
                f"With cache_size, mask of {where} says which steps of x count, [B, T] "
                f"= {list(x.shape[:2])}; got {list(mask.shape)}."
            )


def _alibi(heads, query_positions, key_positions):
    """Distance times a slope for each head, ``[1 or B, H, T, S]``, not above 0."""
    of_query, of_key = (
        jnp.asarray(x)[None] if jnp.ndim(x) == 1 else jnp.asarray(x)
        for x in (query_positions, key_positions)
    )
    of_query, of_key = of_query.astype(jnp.float32), of_key.astype(jnp.float32)
    distance = jnp.abs(of_query[:, :, None] - of_key[:, None])[:, None]
    slopes = jnp.asarray(_slopes(heads))[:, None, None]
    return -slopes[None] * distance


def _slopes(heads: int) -> np.ndarray:
    """ALiBi's slopes: 2^(-8 i / n), and interleaved ones beyond a power of 2."""
    n = 2 ** math.floor(math.log2(heads))
    slopes = [2 ** (-8 * (i + 1) / n) for i in range(n)]
    slopes += [2 ** (-4 * (2 * i + 1) / n) for i in range(heads - n)]
    return np.asarray(slopes, np.float32)
