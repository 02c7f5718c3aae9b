"""A list of every call of a module: what the table is made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax

from haiku._core import intercept_methods, original_function, transform_with_state
from haiku.views.calls import Call, MethodInvocation, recorder

__all__ = ["eval_summary"]


def eval_summary(
    f: Callable[..., Any] | Any,
) -> Callable[..., Sequence[MethodInvocation]]:
    """Makes a function that lists every method call of modules in a function.

    Nothing is computed: shapes and dtypes are all that the list is made of.

    Args:
      f: A function that uses modules, before or after `hk.transform`: the function
        itself, what `hk.transform` returned, its `init` or `apply`, jitted or not; or
        any function that calls one of those.

    Returns:
      A function of the arguments of `f` as it was before `hk.transform`, arrays or
      `jax.ShapeDtypeStruct`s, that returns one `MethodInvocation` per method run, in
      the order in which they began. Constructors are left out.

    Raises:
      TypeError: `f` is no function.

    Example:
      >>> f = lambda x: hk.nets.MLP([300, 100])(x)
      >>> for i in hk.experimental.eval_summary(f)(jnp.ones([8, 28])):
      ...     print(i.module_details.module.module_name, i.output_spec)
      mlp f32[8,100]
      mlp/~/linear_0 f32[8,300]
      mlp/~/linear_1 f32[8,100]
    """
    f = original_function(f)

    def summary(*args: Any, **kwargs: Any) -> Sequence[MethodInvocation]:
        transformed = transform_with_state(f)
        calls: list[Call] = []

        def init_and_apply(key, *args, **kwargs):
            # Only once `init` is over does each module know all that it owns.
            params, state = transformed.init(key, *args, **kwargs)
            with intercept_methods(recorder(calls)):
                transformed.apply(params, state, key, *args, **kwargs)

        # A jitted function that has run before would not run its modules again.
        with jax.disable_jit():
            jax.eval_shape(init_and_apply, jax.random.PRNGKey(42), *args, **kwargs)
        return [call.invocation for call in calls]

    return summary
