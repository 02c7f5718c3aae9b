"""fast_eval_shape: eval_shape inside and outside of transformed functions."""

from collections.abc import Callable
from typing import Any

import jax

from haiku._core.runs.frame import frames
from haiku._lifted.functions import eval_shape


def fast_eval_shape(fun: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """The shapes and dtypes of a function's output; without side effects.

    Tracing `fun` is already the fastest way; kept for compatibility. Initialisers and
    key splits are traced once for each shape.

    Args:
      fun: A function; inside a transformed function it may use modules.
      *args: Its arguments: arrays, or anything with a shape and a dtype.
      **kwargs: Its keyword arguments.

    Returns:
      A pytree of `jax.ShapeDtypeStruct` like the output of `fun`.

    Example:
      >>> net = hk.transform(lambda x: hk.Linear(2)(x))
      >>> x = jax.ShapeDtypeStruct([8, 3], jnp.float32)
      >>> hk.experimental.fast_eval_shape(net.init, jax.random.key(0), x)["linear"]["w"]
      ShapeDtypeStruct(shape=(3, 2), dtype=float32)
    """
    return (eval_shape if frames.get() else jax.eval_shape)(fun, *args, **kwargs)
