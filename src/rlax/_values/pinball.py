"""The quantile regression loss: a sum over all pairs of predictions and targets.

Neither the loss nor its derivatives store an array of all pairs.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax.custom_derivatives import SymbolicZero
from jax.typing import ArrayLike

from rlax._core import arrays
from rlax._core.errors import is_host
from rlax._core.types import ArrayTree, known_arrays

Array = jax.Array


def pinball_loss(
    src: ArrayLike, tau: ArrayLike, target: ArrayLike, huber_param: ArrayLike
) -> Array:
    """The sum over predictions of their mean loss over targets.

    Args:
      src: Predicted quantiles, `[N]`.
      tau: Their levels, `[N]`.
      target: Samples, `[M]`.
      huber_param: Where the loss turns linear, from a square near 0.

    Returns:
      `[]`.
    """
    dtype = jnp.result_type(src, tau, target)
    src, tau, target = known_arrays(src, tau, target)
    src, tau, target = (arrays.fresh(x).astype(dtype) for x in (src, tau, target))
    if is_host(huber_param):
        return _pinball(np.asarray(huber_param).item(), src, tau, target)
    # A JAX array: 0 must still mean the absolute loss.
    huber_param = jnp.asarray(huber_param, dtype)
    huber = _pinball_value(huber_param, src, tau, target)
    return jnp.where(huber_param == 0, _pinball(0.0, src, tau, target), huber)


# Rows of pairs to sum in one step on a CPU.
_UNROLL = 8


def _sum_pairs(
    terms: Callable[..., tuple[Array, ...]], rows: ArrayTree, columns: ArrayTree
) -> ArrayTree:
    """The sums of terms(row, columns) over all rows, elementwise in the columns."""
    if jax.default_backend() != "cpu":
        across = jax.vmap(terms, in_axes=(0, None))(rows, columns)
        return jax.tree.map(lambda x: jnp.sum(x, axis=0), across)
    # On a CPU the compiler doesn't fuse this reduction, and would store every pair. A
    # loop over the rows stores the columns alone, in at least single precision.
    first = jax.tree.map(lambda x: x[0], rows)
    start = jax.tree.map(
        lambda x: jnp.zeros(x.shape, arrays.at_least_single(x.dtype)),
        jax.eval_shape(terms, first, columns),
    )

    def add(totals, row):
        summed = jax.tree.map(
            lambda total, term: total + term.astype(total.dtype),
            totals,
            terms(row, columns),
        )
        return summed, None

    length = jax.tree.leaves(rows)[0].shape[0]
    unroll = _UNROLL if isinstance(length, int) else 1
    return jax.lax.scan(add, start, rows, unroll=unroll)[0]


def _slope(kappa, delta, tau):
    """The loss's derivative in δ, and the loss divided by it."""
    weight = jnp.where(delta < 0, 1 - tau, tau)
    if is_host(kappa) and kappa == 0:
        return weight * jnp.where(delta < 0, -1, 1), delta
    near = jnp.clip(delta, -kappa, kappa)
    return weight * near, delta - 0.5 * near


def _pinball_value(kappa, src, tau, target):
    def terms(target_j, columns):
        src, tau = columns
        slope, rest = _slope(kappa, target_j - src, tau)
        return (slope * rest,)

    (losses,) = _sum_pairs(terms, target, (src, tau))
    return (jnp.sum(losses) / target.shape[0]).astype(src.dtype)


_pinball = jax.custom_jvp(_pinball_value, nondiff_argnums=(0,))


def _pinball_jvp(kappa, primals, tangents):
    # Each derivative is one more sum over the pairs.
    src, tau, target = primals
    src_dot, tau_dot, target_dot = tangents

    def for_src(target_j, columns):
        src, tau = columns
        delta = target_j - src
        slope, rest = _slope(kappa, delta, tau)
        loss = slope * rest
        # d loss / d τ: the loss without its weight, signed.
        unweighted, _ = _slope(kappa, delta, jnp.ones_like(tau) / 2)
        by_tau = 2 * unweighted * rest * jnp.where(delta < 0, -1, 1)
        return loss, slope + 0 * delta, by_tau

    def for_target(row, target):
        src_i, tau_i = row
        delta = target - src_i
        return (_slope(kappa, delta, tau_i)[0] + 0 * delta,)

    losses, by_src, by_tau = _sum_pairs(for_src, target, (src, tau))
    loss = (jnp.sum(losses) / target.shape[0]).astype(src.dtype)
    change = jnp.zeros_like(losses[0])
    if not isinstance(src_dot, SymbolicZero):
        change -= jnp.sum(src_dot.astype(by_src.dtype) * by_src)
    if not isinstance(tau_dot, SymbolicZero):
        change += jnp.sum(tau_dot.astype(by_tau.dtype) * by_tau)
    if not isinstance(target_dot, SymbolicZero):
        (by_target,) = _sum_pairs(for_target, (src, tau), target)
        change += jnp.sum(target_dot.astype(by_target.dtype) * by_target)
    return loss, (change / target.shape[0]).astype(loss.dtype)


_pinball.defjvp(_pinball_jvp, symbolic_zeros=True)
