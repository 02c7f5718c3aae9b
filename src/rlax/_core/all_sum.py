"""A sum over an array and, if named, over a mapped axis."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp


class AllSum:
    """Sums over axes of an array and, if it is named, over a mapped axis.

    Args:
      axis_name: The `vmap`, `pmap` or `shard_map` axis. Default: this device alone.

    Example:
      >>> all_sum = rlax.AllSum("devices")
      >>> print(jax.vmap(all_sum, axis_name="devices")(jnp.ones((2, 3))))
      [6. 6.]
    """

    def __init__(self, axis_name: str | Sequence[str] | None = None):
        self._axis_name = axis_name

    def __call__(
        self, x: jax.Array, axis: int | tuple[int, ...] | None = None
    ) -> jax.Array:
        """The sum of x over `axis` (default: all axes) and the mapped axis."""
        total = jnp.sum(x, axis=axis)
        if self._axis_name is None:
            return total
        return jax.lax.psum(total, axis_name=self._axis_name)
