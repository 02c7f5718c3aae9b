"""fast_eval_shape: eval_shape inside and outside of transformed functions."""

from collections.abc import Callable
from typing import Any

import jax

from haiku._core.runs.frame import frames
from haiku._lifted.functions import eval_shape


def fast_eval_shape(fun: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """The shapes that `fun` returns; it has no side effects.

    There is no faster way to find them any more than to trace `fun`: initialisers and
    key splits are traced once for each shape, not each time.

    Args:
      fun: A function; inside a transformed function it may use modules.
      *args: Its arguments: arrays, or anything with a shape and a dtype.
      **kwargs: Likewise.

    Returns:
      A pytree of `jax.ShapeDtypeStruct` like what `fun` returns.

    Example:
      >>> net = hk.transform(lambda x: hk.Linear(2)(x))
      >>> x = jax.ShapeDtypeStruct([8, 3], jnp.float32)
      >>> hk.experimental.fast_eval_shape(net.init, jax.random.key(0), x)["linear"]["w"]
      ShapeDtypeStruct(shape=(3, 2), dtype=float32)
    """
    return (eval_shape if frames.get() else jax.eval_shape)(fun, *args, **kwargs)
