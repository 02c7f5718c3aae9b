"""associative_scan: all partial results of an associative function, in parallel."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from haiku._core.runs.frame import current_frame
from haiku._lifted.pure import once, without_running


def associative_scan(
    fn: Callable[[Any, Any], Any], elems: Any, reverse: bool = False, axis: int = 0
) -> Any:
    """`jax.lax.associative_scan` for a function that uses modules.

    JAX calls `fn` a few times, each time on whole slices. All calls share parameters
    and names; state and keys go from one call to the next.

    Args:
      fn: `fn(a, b) -> c`, associative; its arrays keep the scanned axis.
      elems: A pytree of arrays, `[T, ...]` each along `axis`.
      reverse: Whether to start with the last element.
      axis: The axis to scan.

    Returns:
      A pytree like `elems`: element t is `fn` of elements 0 to t.

    Raises:
      ValueError: No transformed function is running: use `jax.lax.associative_scan`; or
        the axes differ in length.

    Example:
      >>> def f(xs):
      ...     decay = hk.get_parameter("decay", [], init=jnp.ones)
      ...     return hk.associative_scan(lambda a, b: decay * a + b, xs)
      >>> params = hk.transform(f).init(None, jnp.ones([5]))
    """
    frame = current_frame("hk.associative_scan")
    lengths = {jnp.shape(x)[axis] for x in jax.tree.leaves(elems)}
    if frame.initialising and lengths and max(lengths) < 2:
        without_running(frame, fn, elems, elems)
    return jax.lax.associative_scan(once(frame, fn), elems, reverse, axis)
