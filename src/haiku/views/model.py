"""A model with its arguments, as JAX can trace it and as it can be run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax

from haiku._core import original_function, transform_with_state
from haiku.views.arrays import split_arrays, taking_arrays
from haiku.views.jaxprs import open_jaxpr

__all__ = ["Model"]


class Model:
    """A model with its arguments.

    Args:
      f: A function that uses modules, before or after `hk.transform`.
      args: Its positional arguments, arrays or `jax.ShapeDtypeStruct`s; what is no
        array, such as `is_training=True`, stays as it is.
      kwargs: Its keyword arguments.

    Attributes:
      init: `init(key, arrays)` returns parameters and state.
      apply: `apply(params, state, key, arrays)` returns output and state.
      key: A key.
      arrays: Those among the arguments.
    """

    def __init__(
        self,
        f: Callable[..., Any] | Any,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
    ):
        net = transform_with_state(original_function(f))
        self.arrays, join = split_arrays((args, dict(kwargs)))
        self.init = taking_arrays(net.init, join)
        self.apply = taking_arrays(net.apply, join)
        self.key = jax.random.PRNGKey(42)

    def specs(self) -> tuple[Any, Any]:
        """Shapes and dtypes of parameters and state."""
        # A jitted function that has run before would not run its modules again.
        with jax.disable_jit():
            return jax.eval_shape(self.init, self.key, self.arrays)

    def program(self, params: Any, state: Any) -> tuple[Any, Any]:
        """What `apply` runs, and shapes and dtypes of its output."""
        trace = jax.make_jaxpr(self.apply, return_shape=True)
        with jax.disable_jit():
            closed, (out, _) = trace(params, state, self.key, self.arrays)
        return open_jaxpr(closed), out
