"""Fingerprints of arrays: 32 bits that don't depend on how an array is split.

    fingerprint = Σ_i mix(word[i] + i C)   mod 2^32

`word[i]` are an element's bits: one word for up to 32 bits, two for 64, four for
complex128, real part first, low half first; `i` counts them in the whole array. Devices
sum their shards where they lie; sums of shards add up to that of the array.

A plain sum of `(2 i + 1) word[i]` would notice each single flipped bit too, but not
this: 256 elements that change from 1.0 to 2.0 together, since the odd numbers below 512
sum to 256², and the change of each is a multiple of 2^16. Constant arrays are common
(scales, counts) and compress to few bytes, of which one flip changes all. `mix` is one
to one, so each change of a single word shows, and changes of several cancel by chance
only.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

_STEP = 0x9E3779B1  # Odd; the golden ratio's bits, as usual in hashing.
_BLOCK = 1 << 15  # Elements at a time, so that the steps between stay in the cache.


def _mix(words: Any, index: Any) -> Any:
    """One to one in `words` for each index; both uint32, of JAX or NumPy."""
    as_type = type(words.dtype.type(0))
    words = words + index * as_type(_STEP)
    words = (words ^ (words >> as_type(16))) * as_type(0x85EBCA6B)
    words = (words ^ (words >> as_type(13))) * as_type(0xC2B2AE35)
    return words ^ (words >> as_type(16))


def of_array(x: np.ndarray) -> int:
    """The fingerprint of an array in the host's memory."""
    x = np.ascontiguousarray(x).reshape(-1)
    total, counted = 0, 0
    for start in range(0, x.size, _BLOCK):
        words = _host_words(x[start : start + _BLOCK])
        index = np.arange(words.size, dtype=np.uint32) + np.uint32(counted % 2**32)
        total += int(np.sum(_mix(words, index), dtype=np.uint32))
        counted += words.size
    return total % 2**32


@jax.jit
def of_devices(x: jax.Array) -> jax.Array:
    """The fingerprint of JAX's array; XLA splits the work as the array is split.

    One program for each shape and sharding. All processes that hold parts call it.
    """
    words = _device_words(x)  # [*shape, words of an element]
    index = lax.broadcasted_iota(jnp.uint32, words.shape, words.ndim - 1)
    for axis in range(x.ndim):
        along = lax.broadcasted_iota(jnp.uint32, words.shape, axis)
        stride = math.prod(words.shape[axis + 1 :]) % 2**32
        index = index + along * jnp.uint32(stride)
    return jnp.sum(_mix(words, index), dtype=jnp.uint32)


def _host_words(x: np.ndarray) -> np.ndarray:
    """An array's words in order, flat."""
    if x.dtype.itemsize >= 4:
        return x.view(np.uint32)
    words = x.view(f"u{x.dtype.itemsize}").astype(np.uint32)
    bits = bits_of(x.dtype)
    return words & np.uint32(2**bits - 1) if bits < 8 else words


def bits_of(dtype: Any) -> int:
    """How many bits an element's value has."""
    dtype = np.dtype(dtype)
    if dtype == np.bool_:
        return 1
    kind = jnp.iinfo if jnp.issubdtype(dtype, jnp.integer) else jnp.finfo
    return kind(dtype).bits


def _device_words(x: jax.Array) -> jax.Array:
    """An array's words, in a last axis of its own."""
    if jnp.iscomplexobj(x):
        parts = [_device_words(part) for part in (jnp.real(x), jnp.imag(x))]
        return jnp.concatenate(parts, -1)
    if x.dtype == jnp.bool_:
        return x.astype(jnp.uint32)[..., None]
    bits = bits_of(x.dtype)
    if bits == 64:
        return lax.bitcast_convert_type(x, jnp.uint32)
    return lax.bitcast_convert_type(x, f"uint{bits}").astype(jnp.uint32)[..., None]
