"""Rounding to dtypes of 8 bits, in which JAX does little arithmetic."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp


def is_narrow(dtype: Any) -> bool:
    """Whether numbers of a floating point dtype are too short to compute with."""
    return jnp.finfo(dtype).bits <= 8


def saturated(x: Any, dtype: Any) -> Any:
    """`x` in a dtype of 8 bits; what is too large becomes the largest number there."""
    if x.dtype == dtype:
        return x
    limit = float(jnp.finfo(dtype).max)
    wide = x.astype(jnp.promote_types(jnp.float32, _usual(x.dtype)))
    # NaN stays NaN.
    return jnp.clip(wide, -limit, limit).astype(dtype)


_MOST = 120  # Powers of two up to it, and what they divide, are numbers of float32.


@functools.partial(jax.custom_jvp, nondiff_argnums=(1, 2))
def rounded(x: Any, narrow: Any, wide: Any) -> Any:
    """The numbers of `x` as a dtype of 8 bits has them, in a wider dtype.

    They are scaled by a power of two before, so that the largest one just fits, and
    back afterwards: exactly, so this is what a product of 8-bit numbers with a wide
    sum computes with. Derivatives are those of `x` itself.

    Args:
      x: An array.
      narrow: The dtype to round to.
      wide: The dtype of the result.

    Returns:
      An array of the shape of `x`.
    """
    with jax.named_scope("haiku_rounding"):  # Views leave these operations out.
        return x.astype(wide) if x.dtype == narrow else _scaled(x, narrow, wide)


@rounded.defjvp
def _rounded_jvp(narrow, wide, primals, tangents):
    (x,), (dx,) = primals, tangents
    return rounded(x, narrow, wide), dx.astype(wide)


def _scaled(x: Any, narrow: Any, wide: Any) -> Any:
    x = x.astype(jnp.promote_types(jnp.float32, _usual(x.dtype)))
    largest = jnp.max(jnp.abs(x), initial=0.0)
    room = float(jnp.finfo(narrow).max) / largest
    # room = m 2^e with 1/2 <= m < 1: 2^(e - 1) is the largest power that it holds.
    power = jnp.where(jnp.isinf(room), _MOST, jnp.frexp(room)[1] - 1)
    power = jnp.where(jnp.isfinite(largest), jnp.clip(power, -_MOST, _MOST), 0)
    scale = jnp.ldexp(jnp.ones([], x.dtype), power)
    return ((x * scale).astype(narrow).astype(x.dtype) / scale).astype(wide)


def _usual(dtype: Any) -> Any:
    """The dtype itself, or float32 for one that JAX does not promote."""
    return jnp.float32 if is_narrow(dtype) else dtype
