"""transform: makes a pair of pure functions of a function that builds modules."""

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import jax

from haiku._core.errors.help_links import explain
from haiku._core.leaks.jax_transformations import keeps_contents
from haiku._core.leaks.watch import JaxUsageError
from haiku._core.runs.frame import Frame, frames
from haiku._core.transforms.arguments import (
    APPLY,
    APPLY_WITH_STATE,
    INIT,
    check_empty,
    check_function,
    check_not_passed,
    check_values,
    key_sequence,
)
from haiku._core.transforms.pure_functions import (
    Apply,
    ApplyWithState,
    Init,
    InitWithState,
    Transformed,
    TransformedWithState,
)
from haiku._core.transforms.signatures import (
    sign,
    sign_like,
    unchanged,
    with_state,
    without,
)
from haiku.typing import Params, State

P = ParamSpec("P")
R = TypeVar("R")


@keeps_contents
def run_in_frame(
    frame: Frame, f: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """Calls `f(*args, **kwargs)`; its side effects stay in `frame`.

    `init` and `apply` are two calls of this.
    """
    with frames.push(frame):
        try:
            out = f(*args, **kwargs)
        except Exception as error:
            foreign = not isinstance(error, JaxUsageError)
            if foreign and isinstance(error, jax.errors.UnexpectedTracerError):
                frame.check_strays()  # Says so if it is one of ours.
                error.add_note(_TRACER_NOTE)
            explain(error)
            raise
        for check in frame.usage.at_end:
            check()
        frame.check_strays()
        return out


_TRACER_NOTE = (
    "Inside a function given to hk.transform you may want to use the Haiku version of "
    "a JAX transformation (hk.scan, hk.remat, hk.cond, hk.vmap, ...): it knows of "
    "parameters, state and keys."
)


def transform_with_state(
    f: Callable[P, R],
) -> TransformedWithState[InitWithState[P], ApplyWithState[P, R]]:
    """Turns a function that uses modules into a pair of pure functions.

    Args:
      f: A function that builds modules and may use `hk.get_parameter`, `hk.get_state`,
        `hk.set_state` and `hk.next_rng_key`.

    Returns:
      `init(rng, *args, **kwargs) -> (params, state)`, which runs `f` to make its
      parameters and state, and `apply(params, state, rng, *args, **kwargs) -> (output,
      state)`. `rng` is a key, a seed, or None if `f` needs no key; the arguments of `f`
      follow it. Parameters and state are plain dicts
      `{module path: {name: array}}`.

    Raises:
      TypeError: `f` isn't a function, or is a module: wrap its construction and call.
      ValueError: `f` is the result of `jax.jit` or `jax.pmap`: transform first.

    Example:
      >>> norm = lambda x: hk.BatchNorm(True, True, 0.9)(x, is_training=True)
      >>> net = hk.transform_with_state(norm)
      >>> params, state = net.init(jax.random.key(0), jnp.ones([2, 3]))
      >>> out, state = net.apply(params, state, None, jnp.ones([2, 3]))
    """
    check_function(f, "hk.transform_with_state")

    def init_fn(rng, *args, **kwargs):
        frame = Frame(f, True, keys=key_sequence(rng, INIT))
        run_in_frame(frame, f, args, kwargs)
        frame.draw_together()
        return frame.params, frame.initial_state

    def apply_fn(params, state, rng, *args, **kwargs):
        keys = key_sequence(rng, APPLY_WITH_STATE)
        params, state = check_values("params", params), check_values("state", state)
        frame = Frame(f, False, params, state, keys)
        out = run_in_frame(frame, f, args, kwargs)
        return out, frame.state

    sign(init_fn, f, ("rng",), lambda _: tuple[Params, State])
    sign(apply_fn, f, ("params", "state", "rng"), lambda out: tuple[out, State])
    return TransformedWithState(init_fn, apply_fn)


def transform(
    f: Callable[P, R], *, apply_rng: bool = True
) -> Transformed[Init[P], Apply[P, R]]:
    """Turns a function that uses modules into a pair of pure functions.

    Args:
      f: A function that builds modules and may use `hk.get_parameter` and
        `hk.next_rng_key`; for state see `hk.transform_with_state`.
      apply_rng: Must be True; for an `apply` without a key see `hk.without_apply_rng`.

    Returns:
      `init(rng, *args, **kwargs) -> params`, which runs `f` to make its parameters, and
      `apply(params, rng, *args, **kwargs) -> output`. `rng` is a key, a seed, or None
      if `f` needs no key; the arguments of `f` follow it. Parameters are plain dicts
      `{module path: {name: array}}`.

    Raises:
      TypeError: `f` isn't a function, or is a module: wrap its construction and call.
      ValueError: `f` is the result of `jax.jit` or `jax.pmap`: transform first; or
        `apply_rng` is False.

    Example:
      >>> net = hk.transform(lambda x: hk.nets.MLP([300, 10])(x))
      >>> params = net.init(jax.random.key(0), jnp.ones([1, 784]))
      >>> logits = net.apply(params, None, jnp.ones([1, 784]))
    """
    if not apply_rng:
        raise ValueError(
            "hk.transform takes apply_rng=True alone: instead of "
            "`hk.transform(f, apply_rng=False)` write "
            "`hk.without_apply_rng(hk.transform(f))`."
        )
    check_function(f, "hk.transform")
    return without_state(transform_with_state(f))


def without_state(
    f: TransformedWithState[InitWithState[P], ApplyWithState[P, R]],
) -> Transformed[Init[P], Apply[P, R]]:
    """Removes state from the signatures of a function that doesn't use any.

    Args:
      f: The result of `hk.transform_with_state`.

    Returns:
      `init(rng, *args) -> params` and `apply(params, rng, *args) -> output`, which
      raise ValueError if the function does use state.

    Example:
      >>> with_state = hk.transform_with_state(lambda x: hk.Linear(2)(x))
      >>> net = hk.without_state(with_state)
      >>> params = net.init(jax.random.key(0), jnp.ones([3]))
      >>> net.apply(params, None, jnp.ones([3])).shape
      (2,)
    """

    def init_fn(rng, *args, **kwargs):
        check_not_passed(kwargs, "state")
        params, state = f.init(rng, *args, **kwargs)
        check_empty(state)
        return params

    def apply_fn(params, rng, *args, **kwargs):
        check_not_passed(kwargs, "state")
        key_sequence(rng, APPLY)  # Errors count the arguments of this function.
        out, state = f.apply(params, None, rng, *args, **kwargs)
        check_empty(state)
        return out

    sign_like(init_fn, f.init, unchanged, lambda _: Params)
    sign_like(apply_fn, f.apply, without("state"), lambda out: out.__args__[0])
    return Transformed(init_fn, apply_fn)


def with_empty_state(
    f: Transformed[Init[P], Apply[P, R]],
) -> TransformedWithState[InitWithState[P], ApplyWithState[P, R]]:
    """Adds an empty state to the signatures of a function that doesn't use any.

    Args:
      f: The result of `hk.transform`.

    Returns:
      `init(rng, *args) -> (params, {})` and
      `apply(params, state, rng, *args) -> (output, {})`.

    Raises:
      ValueError: `apply` is given a state that is not empty.

    Example:
      >>> net = hk.with_empty_state(hk.transform(lambda x: hk.Linear(2)(x)))
      >>> params, state = net.init(jax.random.key(0), jnp.ones([3]))
      >>> state
      {}
    """

    def init_fn(rng, *args, **kwargs):
        return f.init(rng, *args, **kwargs), {}

    def apply_fn(params, state, rng, *args, **kwargs):
        if state:
            raise ValueError(
                "hk.with_empty_state was given a state that is not empty: "
                f"{sorted(state)}. Pass {{}}, or transform with "
                "hk.transform_with_state."
            )
        return f.apply(params, rng, *args, **kwargs), {}

    sign_like(init_fn, f.init, unchanged, lambda _: tuple[Params, State])
    sign_like(apply_fn, f.apply, with_state, lambda out: tuple[out, State])
    return TransformedWithState(init_fn, apply_fn)
