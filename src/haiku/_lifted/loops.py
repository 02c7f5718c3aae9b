"""Loops: scan, map, fori_loop, while_loop.

At `init` the first step runs before the loop, since it makes parameters and state. The
loop carries state and keys, and closes over parameters.
"""

import contextlib
from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from haiku._core.runs.frame import Contents, Frame, changes, current_frame
from haiku._lifted.pure import once, pure, settle_keys, without_running

Carry = TypeVar("Carry")


def _step(
    frame: Frame, what: str, f: Callable[..., Any], *, keep_first: bool = False
) -> Callable[..., Any]:
    """`f` as `(carried, *args) -> (output, carried)`, with its `start`.

    Args:
      frame: The running frame.
      what: The public name, for errors.
      f: One step of the loop.
      keep_first: Where lifted functions make parameters at each step of `init`, whether
        those of the first step stay, as in the reference's scan, or those of the last,
        as in its other loops.
    """
    if frame.keys is not None:
        frame.keys.reserve_up_to_full()
    before = frame.snapshot()
    # Parameters are closed over, unless they go from step to step.
    remade = frame.initialising and frame.usage.stores_lifted and not keep_first

    def carried(contents: Contents) -> Contents:
        return contents if remade else contents._replace(params={}, initial_state={})

    def step(start: Contents, *args: Any) -> tuple[Any, Contents]:
        def run() -> Any:
            out = f(*args)
            settle_keys(frame, before)
            return out

        if not remade:
            start = start._replace(
                params=before.params, initial_state=before.initial_state
            )
        with frame.usage.sealed(by=what):
            out, after = pure(run)(start)
        _check_same_state(what, start.state, after.state)
        return out, carried(after)

    step.start = carried(before)  # type: ignore[attr-defined]
    return step


def _check_same_state(what: str, before: Any, after: Any) -> None:
    paths = [
        {f"{path}/{name}" for path, named in state.items() for name in named}
        for state in (before, after)
    ]
    if paths[0] != paths[1]:
        raise ValueError(
            f"State {sorted(paths[1] - paths[0])} is new inside {what}, whose steps "
            "can only change existing state. Make it at `init`, and pass `apply` the "
            "state that `init` returned."
        )


def scan(
    f: Callable[[Any, Any], tuple[Any, Any]],
    init: Any,
    xs: Any,
    length: int | None = None,
    reverse: bool = False,
    unroll: int | bool = 1,
) -> tuple[Any, Any]:
    """`jax.lax.scan` for a function that uses modules.

    All steps share the parameters; state and keys go from step to step.

    Args:
      f: `f(carry, x) -> (carry, y)`.
      init: The first carry.
      xs: A pytree of arrays, `[T, ...]` each, or None with `length`.
      length: `T`, needed if `xs` has no arrays.
      reverse: Whether to start with the last `x`.
      unroll: How many steps to compile as one, or whether to compile all.

    Returns:
      `(carry, ys)`: the last carry and a pytree of `[T, ...]`.

    Raises:
      ValueError: No transformed function is running: use `jax.lax.scan`; or lengths
        disagree or are unknown; or a later step makes new parameters or state.
      TypeError: The carry changes its structure, shape or dtype.

    Example:
      >>> def f(x, steps):
      ...     step = lambda h, x: (jnp.tanh(hk.Linear(4)(h) + x), h)
      ...     return hk.scan(step, x, steps)  # one set of parameters
      >>> rows = jnp.ones([4]), jnp.ones([9, 4])
      >>> params = hk.transform(f).init(jax.random.key(0), *rows)
    """
    return scan_by(jax.lax.scan, f, init, xs, length, reverse, unroll)


def scan_by(
    run: Any, f: Any, init: Any, xs: Any, length=None, reverse=False, unroll=1
) -> tuple[Any, Any]:
    """`scan` with `run`, a function like `jax.lax.scan`."""
    frame = current_frame("hk.scan")
    length = _length(xs, length)
    if frame.initialising and length != 0:
        first, rest = (-1, slice(None, -1)) if reverse else (0, slice(1, None))
        one_step = once(frame, f)
        carry, y = one_step(init, jax.tree.map(lambda x: x[first], xs))
        if not isinstance(length, int):
            return _scan_after_first(frame, f, carry, y, xs, length, reverse, unroll)
        xs = jax.tree.map(lambda x: x[rest], xs)
        carry, ys = _scan(run, frame, f, carry, xs, length - 1, reverse, unroll)
        return carry, jax.tree.map(lambda y, ys: _joined(y, ys, reverse), y, ys)
    if frame.initialising:
        without_running(frame, f, init, _zeros(xs))
    return _scan(run, frame, f, init, xs, length, reverse, unroll)


def _length(xs: Any, length: int | None) -> int:
    shapes = [np.shape(x) for x in jax.tree.leaves(xs)]
    if () in shapes:
        raise ValueError(
            "hk.scan goes along the leading axis of each array in `xs`, and one of "
            f"the shapes {shapes} is a scalar's. Pass it in the carry, or let `f` "
            "close over it."
        )
    lengths = {shape[0] for shape in shapes}
    if length is not None:
        lengths.add(length)
    if len(lengths) == 1:
        return lengths.pop()
    if not lengths:
        raise ValueError("hk.scan needs `xs` with arrays or `length`, and got neither.")
    raise ValueError(
        f"hk.scan got different lengths: {sorted(lengths, key=str)}, from the leading "
        f"axes of `xs` ({shapes}) and length={length}."
    )


def traced_if_empty(length: int) -> contextlib.AbstractContextManager[None]:
    """Makes JAX trace a loop without steps, also under `jax.disable_jit()`.

    Without tracing, a step would have to run to show its output.
    """
    return jax.disable_jit(False) if length == 0 else contextlib.nullcontext()


def _joined(one: Any, several: Any, at_end: bool) -> Any:
    one = jnp.asarray(one)[None]
    return jnp.concatenate([several, one] if at_end else [one, several])


def _zeros(xs: Any) -> Any:
    """Zeros like one element of `xs`, which may be empty."""
    return jax.tree.map(lambda x: jnp.zeros(jnp.shape(x)[1:], jnp.result_type(x)), xs)


def _scan(run, frame, f, init, xs, length, reverse, unroll):
    step = _step(frame, "hk.scan", f, keep_first=True)

    def body(carry, x):
        (carry, y), carried = step(carry[1], carry[0], x)
        return (carry, carried), y

    # JAX accepts a symbolic length only from arrays.
    given = None if jax.tree.leaves(xs) else length
    with traced_if_empty(length):
        (carry, carried), ys = run(body, (init, step.start), xs, given, reverse, unroll)
    frame.absorb(carried)
    return carry, ys


def _scan_after_first(frame, f, carry, y, xs, length, reverse, unroll):
    """`_scan` of a symbolic length after the first step has run.

    A symbolic length minus one may be 0, which JAX can't loop over, so this loops over
    all steps and skips the first.
    """
    step = _step(frame, "hk.scan", f, keep_first=True)
    first = length - 1 if reverse else 0

    def body(carry, i_x):
        i, x = i_x

        def run():
            (value, y), carried = step(carry[1], carry[0], x)
            return (value, carried), y

        return jax.lax.cond(i == first, lambda: (carry, y), run)

    xs = jnp.arange(length), xs
    start = carry, step.start
    (carry, carried), ys = jax.lax.scan(body, start, xs, None, reverse, unroll)
    frame.absorb(carried)
    return carry, ys


def map(f: Callable[[Any], Any], xs: Any) -> Any:
    """`jax.lax.map` for a function that uses modules: one element after another.

    Args:
      f: `f(x) -> y`.
      xs: A pytree of arrays, `[N, ...]` each.

    Returns:
      A pytree of `[N, ...]`.

    Raises:
      ValueError: No transformed function is running: use `jax.lax.map`.

    Example:
      >>> def f(xs):
      ...     return hk.map(hk.Linear(3), xs)  # a row at a time
      >>> params = hk.transform(f).init(jax.random.key(0), jnp.ones([9, 2]))
    """
    current_frame("hk.map")
    return scan(lambda carry, x: (carry, f(x)), (), xs)[1]


def fori_loop(
    lower: Any, upper: Any, body_fun: Callable[[Any, Carry], Carry], init_val: Carry
) -> Carry:
    """`jax.lax.fori_loop` for a function that uses modules.

    Args:
      lower: The first index: an integer scalar.
      upper: One past the last index.
      body_fun: `body_fun(i, value) -> value`.
      init_val: The first value.

    Returns:
      The last value.

    Raises:
      ValueError: No transformed function is running: use `jax.lax.fori_loop`; or a
        later step makes new parameters or state.
      TypeError: The value changes its structure, shape or dtype.

    Example:
      >>> def f(x):
      ...     layer = hk.Linear(4)
      ...     return hk.fori_loop(0, 10, lambda _, h: jnp.tanh(layer(h)), x)
      >>> params = hk.transform(f).init(jax.random.key(0), jnp.ones([4]))
    """
    frame = current_frame("hk.fori_loop")
    if frame.initialising:
        if isinstance(lower, int) and isinstance(upper, int) and lower >= upper:
            without_running(frame, body_fun, lower, init_val)
            return init_val
        init_val, lower = once(frame, body_fun)(lower, init_val), lower + 1
    step = _step(frame, "hk.fori_loop", body_fun)

    def body(i, carry):
        return step(carry[1], i, carry[0])

    value, carried = jax.lax.fori_loop(lower, upper, body, (init_val, step.start))
    frame.absorb(carried)
    return value


def while_loop(
    cond_fun: Callable[[Carry], Any],
    body_fun: Callable[[Carry], Carry],
    init_val: Carry,
) -> Carry:
    """`jax.lax.while_loop` for functions that use modules.

    `init` calls both functions once, to make their parameters and state; state stays as
    if they had not run.

    Args:
      cond_fun: `cond_fun(value) -> bool`: whether to continue. It reads the state of
        that step; it can't write state or draw keys.
      body_fun: `body_fun(value) -> value`.
      init_val: The first value.

    Returns:
      The last value.

    Raises:
      ValueError: No transformed function is running: use `jax.lax.while_loop`; or
        `cond_fun` has side effects; or `body_fun` makes new parameters or state at
        `apply`.
      TypeError: The value changes its structure, shape or dtype.

    Example:
      >>> def f(x):
      ...     layer = hk.Linear(4)
      ...     unsettled = lambda h: jnp.max(jnp.abs(h)) > 0.1
      ...     return hk.while_loop(unsettled, lambda h: 0.5 * jnp.tanh(layer(h)), x)
      >>> params = hk.transform(f).init(jax.random.key(0), jnp.ones([4]))
    """
    frame = current_frame("hk.while_loop")
    if frame.initialising:
        arrays = jax.tree.map(jnp.asarray, init_val)  # As the loop passes it.
        without_running(frame, cond_fun, arrays)
        without_running(frame, body_fun, arrays)
    step = _step(frame, "hk.while_loop", body_fun)
    before = frame.snapshot()

    def cond_step(carry):
        value, carried = carry
        start = before._replace(state=carried.state, keys=carried.keys)
        out, after = pure(cond_fun)(start, value)
        changed = changes(start, after)
        if changed.state or changed.keys is not None:
            raise ValueError(
                "hk.while_loop does not support hk.set_state, hk.next_rng_key or a "
                "first hk.get_state in `cond_fun`: its effects would be lost. Do it in "
                "`body_fun` and carry the result."
            )
        return out

    def body(carry):
        return step(carry[1], carry[0])

    value, carried = jax.lax.while_loop(cond_step, body, (init_val, step.start))
    frame.absorb(carried)
    return value
