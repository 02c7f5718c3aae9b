"""Hooks: chains of `hook(next, ...)`. Creators, getters, setters and interceptors."""

import contextlib
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

from haiku._core.runs.frame import current_frame
from haiku._core.runs.stack import Stack


class GetterContext(NamedTuple):
    """Describes to a creator or getter the parameter or state that it makes or reads.

    Attributes:
      full_name: Module path and name, `mlp/linear/w`.
      module: The module that uses it; None outside all modules.
      original_dtype: The dtype that the module passed.
      original_shape: The shape that the module passed.
      original_init: The initialiser that the module passed.
      lifted_prefix_name: Inside `hk.lift`, the text before the path; otherwise None.

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
    """Describes to a setter the state that is written.

    Attributes:
      full_name: Module path and name.
      module: The module that writes; None outside all modules.
      original_dtype: The dtype of each array in the value.
      original_shape: The shape of each array in the value.
      lifted_prefix_name: Inside `hk.lift`, the text before the path; otherwise None.

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
    """Describes to an interceptor the method that is called.

    Attributes:
      module: The module; during `__init__` it has no name yet.
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
      last: The innermost hook's `next`.
      args: The outermost hook's arguments.
      context: Passed to every hook.

    Returns:
      The result of the outermost hook.
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
        `GetterContext`. With `hk.DO_NOT_STORE` returned, the value isn't stored.
      params: Whether it is called for parameters.
      state: Whether it is called for state.

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
        the value on; `context` is a `GetterContext`. The stored value doesn't change.
      params: Whether it is called for parameters.
      state: Whether it is called for state.

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
        the value on; `context` is a `SetterContext`. With `hk.DO_NOT_STORE` returned,
        the value isn't stored.

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


class Hooks:
    """Hooks as one value, which a `with` block or a bound model holds.

    A subclass may define its hooks as methods of these names. In a bound model hooks
    are part of the structure, so that equal ones count as one under `jax.jit`; two are
    equal if their functions are the same, or as a subclass says (a frozen dataclass).

    Args:
      creator: As `hk.custom_creator` takes it, for parameters.
      getter: As `hk.custom_getter` takes it, for parameters.
      state_creator: As `creator`, for state.
      state_getter: As `getter`, for state.
      setter: As `hk.custom_setter` takes it.
      interceptor: As `hk.intercept_methods` takes it.

    Raises:
      TypeError: One of them isn't a function.

    Example:
      >>> def halved(next_getter, value, context):
      ...     return next_getter(value / 2)
      >>> model = hk.bind(hk.Linear, 2).init(0, jnp.ones([1, 3]))
      >>> model = model.replace(hooks=[hk.Hooks(getter=halved)])
      >>> model(jnp.ones([1, 3])).shape
      (1, 2)
    """

    creator: Any = None
    getter: Any = None
    state_creator: Any = None
    state_getter: Any = None
    setter: Any = None
    interceptor: Any = None

    def __init__(
        self,
        *,
        creator: Hook | None = None,
        getter: Hook | None = None,
        state_creator: Hook | None = None,
        state_getter: Hook | None = None,
        setter: Hook | None = None,
        interceptor: Hook | None = None,
    ):
        given = (creator, getter, state_creator, state_getter, setter, interceptor)
        for name, hook in zip(_STACKS, given):
            if not (hook is None or callable(hook)):
                raise TypeError(
                    f"hk.Hooks takes functions, got {name}={hook!r}: give it a "
                    "function of (next, ...), as hk.custom_getter and its kin take it."
                )
            if hook is not None:
                setattr(self, name, hook)

    def __eq__(self, other: Any) -> bool:
        return type(other) is type(self) and vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash((type(self), *vars(self).items()))

    def __enter__(self):
        opened = contextlib.ExitStack()
        for name, stack in _STACKS.items():
            hook = getattr(self, name)
            if hook is not None:
                opened.enter_context(stack.push(hook))
        _opened.set((*_opened.get(), opened))
        return self

    def __exit__(self, *error: Any) -> None:
        *others, opened = _opened.get()
        _opened.set(tuple(others))
        opened.close()

    def __repr__(self) -> str:
        inside = ", ".join(
            f"{name}={getattr(hook, '__qualname__', repr(hook))}"
            for name, hook in vars(self).items()
        )
        return f"{type(self).__name__}({inside})"


_STACKS = {
    "creator": param_creators,
    "getter": param_getters,
    "state_creator": state_creators,
    "state_getter": state_getters,
    "setter": state_setters,
    "interceptor": interceptors,
}
# The open `with hk.Hooks(...)` blocks, innermost last.
_opened: Stack[contextlib.ExitStack] = Stack("opened_hooks")
