"""Elementwise value transforms, and pairs of a transform and its inverse."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from rlax._core.arrays import at_least_single
from rlax._core.contracts import shapes
from rlax._core.errors import check_above, check_range
from rlax._core.types import ArrayTree, known_arrays

Array = jax.Array


@shapes("x:number[...]")
def identity(x: ArrayLike) -> Array:
    """Returns x.

    Example:
      >>> print(rlax.identity([1.0, -2.0]))
      [ 1. -2.]
    """
    return known_arrays(x)[0]


@shapes("x[...]")
def sigmoid(x: ArrayLike) -> Array:
    """1 / (1 + e^-x): from the real line to (0, 1).

    Example:
      >>> print(rlax.sigmoid([-100.0, 0.0, 100.0]))
      [0.  0.5 1. ]
    """
    return jax.nn.sigmoid(x)


@shapes("x[...]")
def logit(x: ArrayLike) -> Array:
    """log(x / (1 - x)), the inverse of sigmoid; NaN outside [0, 1].

    Example:
      >>> print(rlax.logit(rlax.sigmoid([-2.0, 2.0])).round(2))
      [-2.  2.]
    """
    return -jnp.log(1 / x - 1)


def _signed(size: Callable[[Array], Array], x: ArrayLike) -> Array:
    """sign(x) size(|x|), whose derivative at 0 is that of size."""
    (x,) = known_arrays(x)
    sign = jnp.where(x < 0, -1, 1).astype(x.dtype)
    return sign * size(sign * x)


@shapes("x[...]")
def signed_logp1(x: ArrayLike) -> Array:
    """sign(x) log(1 + |x|).

    Example:
      >>> print(rlax.signed_logp1([-1.0, 0.0, 1.0]).round(2))
      [-0.69  0.    0.69]
    """
    return _signed(jnp.log1p, x)


@shapes("x[...]")
def signed_expm1(x: ArrayLike) -> Array:
    """sign(x) (e^|x| - 1), the inverse of signed_logp1.

    Example:
      >>> print(rlax.signed_expm1(rlax.signed_logp1([-3.0, 3.0])).round(2))
      [-3.  3.]
    """
    return _signed(jnp.expm1, x)


def symlog(x: ArrayLike) -> Array:
    """Compresses large values of both signs: another name of `signed_logp1`.

        sign(x) log(1 + |x|)

    Args:
      x: `[...]`.

    Returns:
      `[...]`.

    Gradient:
      Reaches x; 1 / (1 + |x|), so 1 at 0.

    Source: Hafner et al. 2023, Mastering Diverse Domains through World Models, arXiv
    2301.04104, equation 9.

    Example:
      >>> print(rlax.symlog([-1.0, 0.0, 1.0]).round(2))
      [-0.69  0.    0.69]
    """
    return signed_logp1(x)


def symexp(x: ArrayLike) -> Array:
    """Undoes `symlog`: another name of `signed_expm1`.

        sign(x) (exp(|x|) - 1)

    Args:
      x: `[...]`.

    Returns:
      `[...]`.

    Gradient:
      Reaches x; e^|x|, so 1 at 0.

    Source: Hafner et al. 2023, arXiv 2301.04104, equation 9.

    Example:
      >>> print(rlax.symexp(rlax.symlog([-3.0, 3.0])).round(2))
      [-3.  3.]
    """
    return signed_expm1(x)


@shapes("x[...]")
def signed_hyperbolic(x: ArrayLike, eps: float = 1e-3) -> Array:
    """sign(x) (√(|x| + 1) - 1) + eps x.

    Args:
      x: `[...]`.
      eps: Slope far from 0; above 0 for an invertible transform.

    Returns:
      `[...]`.

    Raises:
      ContractError: If eps is negative.

    Source: Pohlen et al. 2018, Observe and Look Further, arXiv 1805.11593.

    Example:
      >>> print(rlax.signed_hyperbolic([-3.0, 0.0, 3.0], eps=0.1))
      [-1.3  0.   1.3]
    """
    check_range("signed_hyperbolic", "eps", eps, 0, jnp.inf)
    return jnp.sign(x) * (jnp.sqrt(jnp.abs(x) + 1) - 1) + eps * x


@shapes("x[...]")
def signed_parabolic(x: ArrayLike, eps: float = 1e-3) -> Array:
    """The inverse of signed_hyperbolic with the same eps.

    Args:
      x: `[...]`.
      eps: Above 0.

    Returns:
      `[...]`.

    Raises:
      ContractError: If eps is negative.

    Source: Pohlen et al. 2018, arXiv 1805.11593.

    Example:
      >>> print(rlax.signed_parabolic([-1.3, 0.0, 1.3], eps=0.1).round(2))
      [-3.  0.  3.]
    """
    check_range("signed_parabolic", "eps", eps, 0, jnp.inf)
    (x,) = known_arrays(x)
    # In half precision the difference of nearly equal numbers loses every digit.
    size = jnp.abs(x).astype(at_least_single(x.dtype))
    root = jnp.sqrt(1 + 4 * eps * (eps + 1 + size)) / 2 / eps - 1 / 2 / eps
    return jnp.sign(x) * (jnp.square(root) - 1).astype(x.dtype)


@shapes("x[...]")
def hyperbolic_sin(x: ArrayLike) -> Array:
    """sinh(x)."""
    return jnp.sinh(x)


@shapes("x[...]")
def hyperbolic_arcsin(x: ArrayLike) -> Array:
    """arcsinh(x), the inverse of hyperbolic_sin."""
    return jnp.arcsinh(x)


@shapes("x[...]")
def power(x: ArrayLike, p: float) -> Array:
    """sign(x) ((|x| / √p + 1)^p - 1) / √p: a signed power with slope 1 at 0.

    Args:
      x: `[...]`.
      p: The exponent, above 0; `power(_, 1 / p)` is the inverse.

    Returns:
      `[...]`.

    Raises:
      ContractError: If p is not above 0.

    Example:
      >>> print(rlax.power([-3.0, 0.0, 3.0], 1.0))
      [-3.  0.  3.]
    """
    check_above("power", "p", p)
    scale = jnp.sqrt(jnp.asarray(p))
    return jnp.sign(x) * (jnp.power(jnp.abs(x) / scale + 1, p) - 1) / scale


class TxPair(NamedTuple):
    """A transform of values and its inverse.

    Attributes:
      apply: From values to what a network predicts.
      apply_inv: From there to values.

    Example:
      >>> pair = rlax.TxPair(jnp.sqrt, jnp.square)
      >>> print(pair.apply(9.0), pair.apply_inv(3.0))
      3.0 9.0
    """

    apply: Callable[[ArrayLike], Array]
    apply_inv: Callable[[ArrayLike], Array]


IDENTITY_PAIR = TxPair(identity, identity)
SIGNED_LOGP1_PAIR = TxPair(signed_logp1, signed_expm1)
SIGNED_HYPERBOLIC_PAIR = TxPair(signed_hyperbolic, signed_parabolic)
HYPERBOLIC_SIN_PAIR = TxPair(hyperbolic_arcsin, hyperbolic_sin)
# From a discount to the logarithm of its horizon.
DISCOUNT_TRANSFORM_PAIR = TxPair(
    lambda x: -jnp.log(1 - jnp.asarray(x)), lambda x: 1 - jnp.exp(-jnp.asarray(x))
)


def compose_tx(*tx_list: TxPair) -> TxPair:
    """Chains pairs: the first is applied first, and undone last.

    Args:
      *tx_list: Pairs; none gives the identity.

    Returns:
      The pair of both chains.

    Example:
      >>> pair = rlax.compose_tx(rlax.SIGNED_LOGP1_PAIR, rlax.twohot_pair(-2.0, 2.0, 9))
      >>> pair.apply(jnp.array([3.0])).shape
      (1, 9)
    """

    def apply_fn(x: ArrayTree) -> ArrayTree:
        for tx in tx_list:
            x = tx.apply(x)
        return x

    def apply_inv_fn(x: ArrayTree) -> ArrayTree:
        for tx in reversed(tx_list):
            x = tx.apply_inv(x)
        return x

    return TxPair(apply_fn, apply_inv_fn)
