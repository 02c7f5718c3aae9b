"""The linear recurrence behind every return, trace and V-trace.

    y[t] = step(y[t + 1], inputs[t]),    y[T] = last

where `step` is affine in its first argument: `term + decay * y`. Time is the leading
axis; any further axes are independent. It runs one step after the other
(`jax.lax.scan`: T steps, least work) or in parallel (`jax.lax.associative_scan`: log2 T
steps, more work). Only this file chooses.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero

# From this length on, the log2 T steps of the parallel form win on an accelerator.
# On a CPU the plain scan is near the memory limit at every length.
PARALLEL_FROM = 256


def runs_in_parallel(length: object, parallel: bool | None) -> bool:
    """The caller's choice, or else a choice by backend and length."""
    if not isinstance(length, int):
        return False  # a symbolic length can't be halved
    if parallel is not None:
        return parallel
    return length >= PARALLEL_FROM and jax.default_backend() != "cpu"


def linear_recurrence(
    step: Callable[..., jax.Array],
    inputs: tuple[jax.Array, ...],
    last: jax.Array,
    *,
    cut: jax.Array | None = None,
    parallel: bool | None = None,
) -> jax.Array:
    """Solves `y[t] = step(y[t + 1], *inputs[t])` backwards in time.

    Args:
      step: Elementwise, and affine in its first argument.
      inputs: `[T, ...]` each, or a number for all steps; at least one has a time axis.
      last: `[...]`, the value after the end, y[T].
      cut: `[T, ...]` booleans: y[t] = step(0, *inputs[t]) there, whatever y[t + 1]
        is, NaN included. Default: nowhere.
      parallel: Whether to run as an associative scan. Default: by backend and length.

    Returns:
      y, `[T, ...]`.

    Gradient:
      Reaches inputs and last; forward and reverse mode, any order.
    """
    length = next(x.shape[0] for x in inputs if x.ndim)
    shape = jnp.broadcast_shapes(*(x.shape for x in inputs), (length, *last.shape))
    dtype = jnp.result_type(last, *(x for x in inputs if x.dtype != bool))
    last = jnp.broadcast_to(last, shape[1:]).astype(dtype)
    # A number for all steps stays one: the scan doesn't read it at every step.
    inputs = tuple(jnp.broadcast_to(x, shape) if x.ndim else x for x in inputs)
    if isinstance(length, int) and length == 0:
        return jnp.zeros(shape, dtype)
    if cut is not None:
        cut = jnp.broadcast_to(cut, shape)
    if runs_in_parallel(length, parallel):
        zeros = jnp.zeros(shape, dtype)
        ones = jnp.ones_like(zeros)
        term, decay = jax.jvp(lambda y: step(y, *inputs), (zeros,), (ones,))
        return _compose_all(term, decay, last, cut)
    return _scan(step, inputs, last, cut)


def last_of(x: jax.Array) -> jax.Array:
    """The last step of x [T, ...]; zeros if there is none."""
    if isinstance(x.shape[0], int) and x.shape[0] == 0:
        return jnp.zeros(x.shape[1:], x.dtype)
    return x[-1]


def zeros_after(x: jax.Array) -> jax.Array:
    """Zeros like a step of x [T, ...]: the value after the end of a plain sum."""
    return jnp.zeros(x.shape[1:], x.dtype)


def trace_step(
    y_next: jax.Array, term: jax.Array, discount: jax.Array, trace: jax.Array
) -> jax.Array:
    """One step of a sum of TD errors: `term + discount * trace * y_next`."""
    return term + discount * trace * y_next


def _scan(step, inputs, last, cut):
    timed = [x for x in inputs if x.ndim]

    def body(y_next, now):
        cut_now, *timed_now = now
        rest = iter(timed_now)
        if cut_now is not None:
            y_next = jnp.where(cut_now, 0, y_next)
        y = step(y_next, *(next(rest) if x.ndim else x for x in inputs))
        y = y.astype(last.dtype)
        return y, y

    return jax.lax.scan(body, last, (cut, *timed), reverse=True)[1]


@jax.custom_jvp
def _compose_all(term, decay, last, cut):
    # Step t is the map y -> term + decay * y; maps compose, later ones first. A cut
    # map is constant: nothing later may enter, not even as 0 * NaN.
    if cut is not None:
        decay = jnp.where(cut, 0, decay)
    terms, decays, cuts = jax.lax.associative_scan(
        lambda later, earlier: compose(earlier, later), (term, decay, cut), reverse=True
    )
    return terms + decays * zero_where(cuts, last)


def _compose_all_jvp(primals, tangents):
    # The derivative of a linear recurrence is the same recurrence.
    term, decay, last, cut = primals
    term_dot, decay_dot, last_dot, _ = tangents
    y = _compose_all(term, decay, last, cut)
    change = _or_zeros(term_dot)
    if not isinstance(decay_dot, SymbolicZero):
        y_next = jnp.concatenate([y[1:], last[None]])
        change = change + zero_where(cut, decay_dot * zero_where(cut, y_next))
    return y, _compose_all(change, decay, _or_zeros(last_dot), cut)


_compose_all.defjvp(_compose_all_jvp, symbolic_zeros=True)


def _or_zeros(tangent):
    if isinstance(tangent, SymbolicZero):
        return jnp.zeros(tangent.shape, tangent.dtype)  # pyright: ignore
    return tangent


def zero_where(cut: jax.Array | None, x: jax.Array) -> jax.Array:
    """x, with 0 where cut."""
    return x if cut is None else jnp.where(cut, 0, x)


def compose(earlier: tuple[Any, ...], later: tuple[Any, ...]) -> tuple[Any, ...]:
    """The map `earlier(later(y))` of two maps `(term, decay, cut or None)`."""
    term, decay, cut = earlier
    term_later, decay_later, cut_later = later
    if cut is not None:
        term_later, decay_later = (
            zero_where(cut, term_later),
            zero_where(cut, decay_later),
        )
        cut_later = cut | cut_later
    return term + decay * term_later, decay * decay_later, cut_later
