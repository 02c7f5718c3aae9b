"""Parameters and state: made at `init`, then read and written by path."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from haiku._core.runs.frame import Frame, Values, copied, current_frame
from haiku._core.variables import hooks
from haiku._core.variables.error_messages import (
    known_paths,
    missing_parameter,
    new_in_loop,
    wrong_shape,
)
from haiku._core.variables.hooks import GetterContext, SetterContext


class DoNotStore:
    """A creator or setter returns this to keep a value from being stored."""

    def __repr__(self) -> str:
        return "hk.DO_NOT_STORE"

    def __getattr__(self, name: str) -> Any:
        if name in ("shape", "dtype"):
            raise ValueError(
                f"hk.DO_NOT_STORE isn't an array and has no {name}: a creator kept "
                "this parameter from being stored. Let a custom getter return a value, "
                "such as `context.original_init(context.original_shape, "
                "context.original_dtype)`."
            )
        raise AttributeError(name)


DO_NOT_STORE = DoNotStore()
_MISSING = object()


def get_parameter(
    name: str,
    shape: Sequence[int],
    dtype: Any = None,
    init: Callable[[Sequence[int], Any], Any] | None = None,
) -> jax.Array:
    """A parameter of the current module: made at `init`, read at `apply`.

    Args:
      name: Its name within the module.
      shape: Its shape.
      dtype: Its dtype, float32 by default.
      init: `init(shape, dtype) -> array` makes it. See `hk.initializers`.

    Returns:
      The parameter, the same array at every call of the same name: `[*shape]`.

    Raises:
      ValueError: No transformed function is running; at `apply`, the parameter is
        missing or has another shape; at `init`, there is no `init` to make it.

    Example:
      >>> def f(x):
      ...     w = hk.get_parameter("w", [x.shape[-1], 2], init=jnp.ones)
      ...     return x @ w
      >>> hk.transform(f).init(None, jnp.ones([1, 3]))["~"]["w"].shape
      (3, 2)
    """
    frame = current_frame("hk.get_parameter")
    frame.watch.check_usage("hk.get_parameter")
    path = frame.scopes[-1].path
    values = frame.params.get(path)
    value: Any = _MISSING if values is None else values.get(name, _MISSING)
    if dtype is None:
        dtype = jnp.float32
    context = None
    if value is _MISSING or value is None:
        context = _context(frame, path, name, dtype, shape, init or _no_init)
        value = _create_parameter(frame, path, name, shape, dtype, init, context)
    frame.usage.touched.add((path, name))
    getters = hooks.param_getters.get()
    if getters:
        context = context or _context(frame, path, name, dtype, shape, init or _no_init)
        value = hooks.run_chain(getters, _identity, (value,), context)
    if getattr(value, "shape", None) != tuple(shape):
        if not isinstance(value, (bool, int, float, complex)) or tuple(shape):
            raise ValueError(wrong_shape(frame, path, name, value, shape, dtype))
        value = jnp.asarray(value, dtype)
    return value


def _create_parameter(frame, path, name, shape, dtype, init, context):
    _check_not_closed_over(frame)

    def create(shape, dtype, init):
        if not frame.initialising:
            raise ValueError(missing_parameter(frame, path, name, shape))
        if init is None or init is _no_init:
            raise ValueError(
                f"Initializer must be specified. {path}/{name} does not exist yet: "
                f"write `hk.get_parameter({name!r}, {list(shape)}, init=jnp.zeros)` or "
                "one of `hk.initializers`."
            )
        return _made(frame, path, name, shape, dtype, init)

    creators = hooks.param_creators.get()
    value = hooks.run_chain(creators, create, (shape, dtype, init), context)
    if value is not DO_NOT_STORE:
        if not frame.initialising:
            raise ValueError(missing_parameter(frame, path, name, shape))
        if isinstance(value, (bool, int, float, complex)):
            value = jnp.asarray(value, dtype)
        frame.watch.note_value("parameter", path, name, value)
        frame.params.setdefault(path, {})[name] = value
    return value


def _made(frame, path, name, shape, dtype, init):
    """Calls `init` to make a parameter or state."""
    usage = frame.usage
    if usage.sealed_by:
        raise ValueError(new_in_loop(frame, path, name))
    outer, usage.initialising = usage.initialising, True
    try:
        return init(shape, dtype)
    except Exception as error:
        error.add_note(f"while {path}/{name} was made, of shape {list(shape)}")
        raise
    finally:
        usage.initialising = outer


def get_state(
    name: str,
    shape: Sequence[int] | None = None,
    dtype: Any = jnp.float32,
    init: Callable[[Sequence[int], Any], Any] | None = None,
) -> Any:
    """The current state of the current module; made if it doesn't exist yet.

    Args:
      name: Its name within the module.
      shape: Its shape, needed with `init`.
      dtype: Its dtype.
      init: `init(shape, dtype) -> array` makes it.

    Returns:
      The value that `set_state` wrote last, or that `init` made.

    Raises:
      ValueError: No transformed function is running; or the state doesn't exist, and
        `init` or `shape` is missing.

    Example:
      >>> def f():
      ...     return hk.get_state("count", [], jnp.int32, init=jnp.zeros)
      >>> hk.transform_with_state(f).init(None)[1]
      {'~': {'count': Array(0, dtype=int32)}}
    """
    frame = current_frame("hk.get_state")
    frame.watch.check_usage("hk.get_state")
    path = frame.scopes[-1].path
    value = frame.state.get(path, {}).get(name, _MISSING)
    context = None
    if value is _MISSING:
        context = _context(frame, path, name, dtype, shape, init)
        value = _create_state(frame, path, name, shape, dtype, init, context)
    frame.usage.touched.add((path, name, "state"))
    getters = hooks.state_getters.get()
    if getters:
        context = context or _context(frame, path, name, dtype, shape, init)
        value = hooks.run_chain(getters, _identity, (value,), context)
    return value


def _create_state(frame, path, name, shape, dtype, init, context):
    _check_not_closed_over(frame)
    if init is None:
        raise ValueError(
            f"State {path}/{name} doesn't exist yet and can't be made; set an init "
            f"function: `hk.get_state({name!r}, shape, dtype, init=jnp.zeros)`, or "
            f"call `hk.set_state` before.{known_paths('state', frame.state)}"
        )
    if shape is None or dtype is None:
        raise ValueError(
            f"To make the state {path}/{name} you must provide shape and dtype besides "
            f"init: `hk.get_state({name!r}, shape=(), dtype=jnp.float32, init=...)`."
        )

    def create(shape, dtype, init):
        return _made(frame, path, name, shape, dtype, init)

    creators = hooks.state_creators.get()
    value = hooks.run_chain(creators, create, (shape, dtype, init), context)
    if value is not DO_NOT_STORE:
        _write_state(frame, path, name, value)
    return value


def set_state(name: str, value: Any) -> None:
    """Writes state of the current module.

    `apply` returns it; `init` returns the first value that was written or made.

    Args:
      name: Its name within the module.
      value: An array or a pytree of arrays.

    Raises:
      ValueError: No transformed function is running.

    Example:
      >>> def f():
      ...     hk.set_state("count", 1 + hk.get_state("count", [], init=jnp.zeros))
      >>> _, state = hk.transform_with_state(f).apply({}, {"~": {"count": 7}}, None)
      >>> state["~"]["count"]
      8
    """
    frame = current_frame("hk.set_state")
    frame.watch.check_usage("hk.set_state")
    path = frame.scopes[-1].path
    setters = hooks.state_setters.get()
    if setters:
        shape = jax.tree.map(jnp.shape, value)
        dtype = jax.tree.map(lambda x: jnp.result_type(x), value)
        context = SetterContext(
            f"{path}/{name}",
            frame.scopes[-1].module,
            dtype,
            shape,
            frame.lifting.prefix,
        )
        value = hooks.run_chain(setters, _identity, (value,), context)
    if value is not DO_NOT_STORE:
        frame.watch.check_repeated(f"The state {path}/{name} was set")
        _write_state(frame, path, name, value)


def _write_state(frame: Frame, path: str, name: str, value: Any) -> None:
    frame.watch.note_value("state", path, name, value)
    frame.usage.touched.add((path, name, "state"))
    frame.state.setdefault(path, {})[name] = value
    initial = frame.initial_state.setdefault(path, {})
    if name not in initial:
        initial[name] = value


def get_params() -> Values:
    """The parameters so far, in new dicts: `{module path: {name: array}}`.

    Raises:
      ValueError: No transformed function is running.

    Example:
      >>> def f(x):
      ...     y = hk.Linear(3)(x)
      ...     return y, sum(jnp.sum(w**2) for w in jax.tree.leaves(hk.get_params()))
      >>> params = hk.transform(f).init(jax.random.key(0), jnp.ones([1, 2]))
    """
    return copied(current_frame("hk.get_params").params)


def get_initial_state() -> Values:
    """The state as it was first, in new dicts: `{module path: {name: value}}`.

    Raises:
      ValueError: No transformed function is running.

    Example:
      >>> def f():
      ...     hk.set_state("n", hk.get_state("n", [], init=jnp.zeros) + 1)
      ...     return hk.get_initial_state()
      >>> hk.transform_with_state(f).apply({}, {"~": {"n": 5}}, None)[0]
      {'~': {'n': 5}}
    """
    return copied(current_frame("hk.get_initial_state").initial_state)


def get_current_state() -> Values:
    """The current state, in new dicts: `{module path: {name: value}}`.

    Raises:
      ValueError: No transformed function is running.

    Example:
      >>> def f():
      ...     hk.set_state("n", hk.get_state("n", [], init=jnp.zeros) + 1)
      ...     return hk.get_current_state(), hk.get_initial_state()
      >>> hk.transform_with_state(f).apply({}, {"~": {"n": 5}}, None)[0]
      ({'~': {'n': 6}}, {'~': {'n': 5}})
    """
    return copied(current_frame("hk.get_current_state").state)


def running_init() -> bool:
    """Whether `init` is running, not `apply`.

    Raises:
      ValueError: No transformed function is running.

    Example:
      >>> hk.transform(lambda: hk.running_init()).apply({}, None)
      False
    """
    frame = current_frame("hk.running_init")
    frame.usage.differs = True
    return frame.initialising


def _check_not_closed_over(frame: Frame) -> None:
    """Raises ValueError if a module from an outer run makes values in a lifted one."""
    module = frame.scopes[-1].module
    if frame.lifting.closed and module is not None and module._owner is not frame.owner:
        raise ValueError(
            "You can't close over a module that was built outside of the function "
            "given to hk.transparent_lift or hk.layer_stack: its parameters would be "
            f"shared or stacked by accident. Build {module.module_name!r} inside that "
            "function, or call it outside and pass the result in."
        )


def _identity(value: Any) -> Any:
    return value


def _no_init(shape: Any, dtype: Any) -> Any:
    del shape, dtype
    raise ValueError(
        "This parameter has no initialiser: write `hk.get_parameter(name, shape, "
        "init=...)`."
    )


def _context(frame, path, name, dtype, shape, init) -> GetterContext:
    module = frame.scopes[-1].module
    full_name = f"{path}/{name}"
    return GetterContext(full_name, module, dtype, shape, init, frame.lifting.prefix)
