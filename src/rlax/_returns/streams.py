"""Where a stream of data ends: padding, truncation, and the end of the array.

`mask_t` marks the steps that belong to the stream (variable length: padding is 0).
`truncation_t` marks steps at which an episode was cut short though its state was not
terminal: the next element belongs to another episode, so the trace stops there and
bootstraps from the value of the state that was reached (Pardo et al. 2018, Time Limits
in Reinforcement Learning, arXiv 1712.00378). A terminal state needs no mark: its
discount is 0.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from rlax._core import arrays, recurrence
from rlax._core.contracts import Entry, parse, shapes
from rlax._core.masks import zero_masked
from rlax._core.types import known_arrays

F = TypeVar("F", bound=Callable[..., Any])

# The contract of the three keywords, for every op that takes them.
_KEYWORDS = (
    "mask_t?:mask[T ...]|[T], truncation_t?:mask[T ...]|[T], bootstrap_t?[T ...]|[T]"
)


def stream_op(spec: str) -> Callable[[F], F]:
    """`shapes`, for an op that takes the three keywords too.

    Its floats reach the op with 0 in the padding, so that NaN there reaches neither a
    value nor a gradient.
    """
    contract = f"{spec}, {_KEYWORDS}"
    times = {entry.name: _time_axis(entry) for entry in parse(contract)}

    def decorate(op: F) -> F:
        names = tuple(inspect.signature(op).parameters)

        @functools.wraps(op)
        def without_padding(*args: Any, **kwargs: Any) -> Any:
            mask = kwargs.get("mask_t")
            if mask is not None:
                args = tuple(
                    _zero_padding(x, mask, times.get(name))
                    for name, x in zip(names, args)
                )
                kwargs = {
                    name: _zero_padding(x, mask, times.get(name))
                    for name, x in kwargs.items()
                }
            return op(*args, **kwargs)

        return shapes(contract)(without_padding)  # type: ignore[return-value]

    return decorate


def _time_axis(entry: Entry) -> str | None:
    """How long an argument is over time: T, T+1, T-1; None if it may have no time."""
    lengths = {dims[0] for dims in entry.alternatives if dims}
    length = min(lengths, default="")
    return length if len(lengths) == 1 and length.startswith("T") else None


def _zero_padding(
    x: jax.Array | None, mask: jax.Array, length: str | None
) -> jax.Array | None:
    """X with 0 at steps that the mask excludes, if x is floats over time."""
    if length is None or x is None or not jnp.ndim(x):
        return x
    if not jnp.issubdtype(x.dtype, jnp.floating):
        return x
    if mask.ndim > x.ndim:  # x is the same for a whole batch
        mask = jnp.any(mask, axis=tuple(range(x.ndim, mask.ndim)))
    if length == "T+1":  # before and after a step
        none = jnp.zeros_like(mask[:1])
        mask = jnp.concatenate([mask, none]) | jnp.concatenate([none, mask])
    elif length == "T-1":  # from a step to the next
        mask = mask[:-1] & mask[1:]
    return zero_masked(x, mask)


class Stream(NamedTuple):
    """Which steps count, and after which of them a trace stops."""

    mask: jax.Array | None  # [T, ...] booleans; None: all steps
    truncation: jax.Array | None
    bootstrap: ArrayLike | None
    cut: jax.Array | None  # where y[t + 1] must not enter y[t]
    parallel: bool | None  # how to solve; None: by backend and length

    def zero_padding(self, x: ArrayLike) -> jax.Array:
        """x, with 0 in the padding."""
        return zero_masked(x, self.mask)

    def bootstrap_values(self, v_t: ArrayLike) -> jax.Array:
        """v_t, with the caller's bootstrap values at truncated steps."""
        (v_t,) = known_arrays(v_t)
        if self.truncation is None or self.bootstrap is None:
            return v_t
        truncation = arrays.align(self.truncation, v_t)
        return jnp.where(truncation, arrays.align(self.bootstrap, v_t), v_t)

    def cut_trace(self, trace_t: ArrayLike, like: ArrayLike) -> jax.Array:
        """A trace coefficient (lambda, c), with 0 where the trace is cut."""
        trace_t = arrays.align(trace_t, like)
        return trace_t if self.cut is None else jnp.where(self.cut, 0, trace_t)

    def solve(
        self,
        step: Callable[..., jax.Array],
        inputs: tuple[jax.Array, ...],
        last: jax.Array,
    ) -> jax.Array:
        """Runs the recurrence over the stream, with its cuts; 0 in the padding."""
        y = recurrence.linear_recurrence(
            step, inputs, last, cut=self.cut, parallel=self.parallel
        )
        return self.zero_padding(y)


def stream_of(
    like: ArrayLike,
    mask_t: ArrayLike | None,
    truncation_t: ArrayLike | None,
    bootstrap_t: ArrayLike | None,
    parallel: bool | None = None,
) -> Stream:
    """The stream of arrays shaped like `like`, `[T, ...]`."""
    (like,) = known_arrays(like)
    mask = None if mask_t is None else arrays.align(mask_t, like)
    truncation = None if truncation_t is None else arrays.align(truncation_t, like)
    cut = truncation
    if mask is not None:
        # A step before padding is the end of its stream.
        ends = jnp.concatenate([~mask[1:], jnp.zeros_like(mask[:1])]) | ~mask
        cut = ends if cut is None else cut | ends
    if cut is not None:
        cut = jnp.broadcast_to(cut, like.shape)
    return Stream(mask, truncation, bootstrap_t, cut, parallel)
