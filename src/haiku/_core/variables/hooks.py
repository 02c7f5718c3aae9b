"""Hooks: chains of `hook(next, ...)`. Creators, getters, setters and interceptors."""

import contextlib
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

from haiku._core.runs.frame import current_frame
from haiku._core.runs.stack import Stack


class GetterContext(NamedTuple):
    """What a creator or getter is told of the parameter or state it makes or reads.

    Attributes:
      full_name: Module path and name, `mlp/linear/w`.
      module: The module that asks; None outside all modules.
      original_dtype: The dtype that the module asked for.
      original_shape: The shape that the module asked for.
      original_init: The initialiser that the module gave.
      lifted_prefix_name: Inside `hk.lift`, what the path gets put before it; or None.

    Example:
      >>> hook = lambda get, value, context: print(context.full_name) or get(value)
      >>> def f(x):
      ...     with hk.custom_getter(hook):
      ...         return hk.Linear(2)(x)
      >>> params = hk.transform(f).init(0, jnp.ones([3]))
      linear/w
      linear/b
    """

    full_name: str
    module: Any
    original_dtype: Any
    original_shape: Any
    original_init: Any
    lifted_prefix_name: str | None = None

    @property
    def module_name(self) -> str:
        """The module's path."""
        return self.full_name.rpartition("/")[0]

    @property
    def name(self) -> str:
        """The name within the module."""
        return self.full_name.rpartition("/")[2]


class SetterContext(NamedTuple):
    """What a setter is told of the state that is written.

    Attributes:
      full_name: Module path and name.
      module: The module that writes; None outside all modules.
      original_dtype: The dtype of each array in the value.
      original_shape: The shape of each array in the value.
      lifted_prefix_name: Inside `hk.lift`, what the path gets put before it; or None.

    Example:
      >>> hook = lambda put, value, context: print(context.full_name) or put(value)
      >>> def f(x):
      ...     with hk.custom_setter(hook):
      ...         hk.set_state("seen", x)
      >>> params, state = hk.transform_with_state(f).init(None, jnp.zeros([3]))
      ~/seen
    """

    full_name: str
    module: Any
    original_dtype: Any
    original_shape: Any
    lifted_prefix_name: str | None = None

    module_name = GetterContext.module_name
    name = GetterContext.name


class MethodContext(NamedTuple):
    """What an interceptor is told of the method that is called.

    Attributes:
      module: The module; in `__init__` it has no name yet.
      method_name: The method's name.
      orig_method: The method itself, bound, without interceptors and naming.
      orig_class: The class that defines it.

    Example:
      >>> hook = lambda f, args, kwargs, context: print(context.method_name) or f(*args)
      >>> def f(x):
      ...     with hk.intercept_methods(hook):
      ...         return hk.Flatten()(x)
      >>> out = hk.transform(f).apply({}, None, jnp.ones([2, 3]))
      __init__
      __call__
    """

    module: Any
    method_name: str
    orig_method: Callable[..., Any]
    orig_class: type


Hook = Callable[..., Any]

param_creators: Stack[Hook] = Stack("param_creators")
state_creators: Stack[Hook] = Stack("state_creators")
param_getters: Stack[Hook] = Stack("param_getters")
state_getters: Stack[Hook] = Stack("state_getters")
state_setters: Stack[Hook] = Stack("state_setters")
interceptors: Stack[Hook] = Stack("interceptors")


def run_chain(
    hooks: tuple[Hook, ...],
    last: Callable[..., Any],
    args: tuple[Any, ...],
    context: Any,
) -> Any:
    """Calls the outermost hook; each calls the next, the innermost `last`.

    Args:
      hooks: `hook(next, *args, context)`, outermost first. `next` may be called any
        number of times, or never.
      last: What the innermost hook's `next` is.
      args: For the outermost hook.
      context: Given to every hook.

    Returns:
      What the outermost hook returns.
    """

    def step(index: int, *args: Any) -> Any:
        if index == len(hooks):
            return last(*args)
        return hooks[index](functools.partial(step, index + 1), *args, context)

    return step(0, *args)


@contextlib.contextmanager
def _holding(hook: Hook, what: str, *stacks: Stack[Hook]):
    if not callable(hook):
        raise TypeError(
            f"`{what}` takes a function, got {type(hook).__name__} {hook!r}"
        )
    with contextlib.ExitStack() as held:
        for stack in stacks:
            held.enter_context(stack.push(hook))
        yield


def custom_creator(
    creator: Hook, *, params: bool = True, state: bool = False
) -> contextlib.AbstractContextManager[None]:
    """Lets `creator` decide how parameters are made while a `with` block runs.

    Args:
      creator: `creator(next_creator, shape, dtype, init, context) -> value`, called at
        `init` only. `next_creator(shape, dtype, init)` makes the value; `context` is a
        `GetterContext`. Returning `hk.DO_NOT_STORE` keeps it out of what `init`
        returns.
      params: Whether it is asked for parameters.
      state: Whether it is asked for state.

    Returns:
      A context manager. The outermost creator is called first.

    Raises:
      ValueError: No transformed function is running.
      TypeError: `creator` is not a function.

    Example:
      >>> def in_half(next_creator, shape, dtype, init, context):
      ...     return next_creator(shape, jnp.bfloat16, init)
      >>> def f(x):
      ...     with hk.custom_creator(in_half):
      ...         return hk.Linear(3)(x)
    """
    current_frame("hk.custom_creator")
    stacks = [param_creators] * params + [state_creators] * state
    return _holding(creator, "hk.custom_creator", *stacks)


def custom_getter(
    getter: Hook, *, params: bool = True, state: bool = False
) -> contextlib.AbstractContextManager[None]:
    """Lets `getter` change parameters as they are read while a `with` block runs.

    Args:
      getter: `getter(next_getter, value, context) -> value`; `next_getter(value)` hands
        the value on; `context` is a `GetterContext`. What is stored does not change.
      params: Whether it is asked for parameters.
      state: Whether it is asked for state.

    Returns:
      A context manager. The outermost getter is called first.

    Raises:
      ValueError: No transformed function is running.
      TypeError: `getter` is not a function.

    Example:
      >>> def frozen(next_getter, value, context):
      ...     return jax.lax.stop_gradient(next_getter(value))
      >>> def f(x):
      ...     with hk.custom_getter(frozen):
      ...         return hk.Linear(3)(x)
    """
    current_frame("hk.custom_getter")
    stacks = [param_getters] * params + [state_getters] * state
    return _holding(getter, "hk.custom_getter", *stacks)


def custom_setter(setter: Hook) -> contextlib.AbstractContextManager[None]:
    """Lets `setter` change state as it is written while a `with` block runs.

    Args:
      setter: `setter(next_setter, value, context) -> value`; `next_setter(value)` hands
        the value on; `context` is a `SetterContext`. Returning `hk.DO_NOT_STORE` keeps
        it out of the state.

    Returns:
      A context manager. The outermost setter is called first.

    Raises:
      ValueError: No transformed function is running.
      TypeError: `setter` is not a function.

    Example:
      >>> def unchanged(next_setter, value, context):
      ...     return hk.DO_NOT_STORE
      >>> def f(x):
      ...     with hk.custom_setter(unchanged):
      ...         return hk.BatchNorm(True, True, 0.9)(x, is_training=True)
    """
    current_frame("hk.custom_setter")
    return _holding(setter, "hk.custom_setter", state_setters)


def intercept_methods(interceptor: Hook) -> contextlib.AbstractContextManager[None]:
    """Lets `interceptor` stand around every module method while a `with` block runs.

    Args:
      interceptor: `interceptor(next_f, args, kwargs, context) -> output`;
        `next_f(*args, **kwargs)` calls the method; `context` is a `MethodContext`.

    Returns:
      A context manager. The outermost interceptor is called first.

    Raises:
      TypeError: `interceptor` is not a function.

    Example:
      >>> def log(next_f, args, kwargs, context):
      ...     print(context.module.module_name, context.method_name)
      ...     return next_f(*args, **kwargs)
    """
    return _holding(interceptor, "hk.intercept_methods", interceptors)


def run_intercepted(
    hooks: tuple[Hook, ...],
    method: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    context: MethodContext,
) -> Any:
    """Calls a method through interceptors, whose `next_f` takes `*args, **kwargs`."""

    def step(index: int, *args: Any, **kwargs: Any) -> Any:
        if index == len(hooks):
            return method(*args, **kwargs)
        following = functools.partial(step, index + 1)
        return hooks[index](following, args, kwargs, context)

    return step(0, *args, **kwargs)
