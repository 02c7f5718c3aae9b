"""transform: a function that builds modules as a pair of pure functions."""

import contextlib
import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax

from haiku._core.frame import Frame, frames
from haiku._core.keys import WAYS_TO_A_KEY, PRNGSequence, describe
from haiku._core.module import Module
from haiku._core.signatures import sign
from haiku._core.traces import JaxUsageError
from haiku._packed import Packed, unpack
from haiku.typing import MutableParams, MutableState, Params, State


class Transformed(NamedTuple):
    """A pair of pure functions.

    Attributes:
      init: `init(rng, *args, **kwargs) -> params`.
      apply: `apply(params, rng, *args, **kwargs) -> output`.
    """

    init: Callable[..., MutableParams]
    apply: Callable[..., Any]


class TransformedWithState(NamedTuple):
    """A pair of pure functions.

    Attributes:
      init: `init(rng, *args, **kwargs) -> (params, state)`.
      apply: `apply(params, state, rng, *args, **kwargs) -> (output, state)`.
    """

    init: Callable[..., tuple[MutableParams, MutableState]]
    apply: Callable[..., tuple[Any, MutableState]]


class NonEmptyStateError(ValueError):
    """A function that uses state was transformed as one that does not."""


def run_in_frame(
    frame: Frame, f: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """What `f(*args, **kwargs)` returns, its side effects left in `frame`.

    `init` and `apply` are two calls of this.
    """
    with frames.push(frame):
        try:
            out = f(*args, **kwargs)
        except jax.errors.UnexpectedTracerError as error:
            if not isinstance(error, JaxUsageError):  # It says so itself.
                error.add_note(_TRACER_NOTE)
            raise
        for check in frame.at_end:
            check()
        frame.check_strays()
        return out


_TRACER_NOTE = (
    "Inside a function given to hk.transform you may want to use the Haiku version of "
    "a JAX transformation (hk.scan, hk.remat, hk.cond, hk.vmap, ...): it knows of "
    "parameters, state and keys."
)


def transform_with_state(f: Callable[..., Any]) -> TransformedWithState:
    """Makes a function that uses modules into a pair of pure functions.

    Args:
      f: A function that builds modules and may use `hk.get_parameter`, `hk.get_state`,
        `hk.set_state` and `hk.next_rng_key`.

    Returns:
      `init(rng, *args, **kwargs) -> (params, state)`, which runs `f` to make its
      parameters and state, and `apply(params, state, rng, *args, **kwargs) -> (output,
      state)`. `rng` is a key, a seed, or None where `f` asks for no key; both take the
      arguments of `f` after it. Parameters and state are plain dicts
      `{module path: {name: array}}`.

    Raises:
      TypeError: `f` is no function, or is a module: wrap its construction and its call.
      ValueError: `f` is the result of `jax.jit` or `jax.pmap`: transform first.

    Example:
      >>> norm = lambda x: hk.BatchNorm(True, True, 0.9)(x, is_training=True)
      >>> net = hk.transform_with_state(norm)
      >>> params, state = net.init(jax.random.key(0), jnp.ones([2, 3]))
      >>> out, state = net.apply(params, state, None, jnp.ones([2, 3]))
    """
    check_function(f, "hk.transform_with_state")

    def init_fn(rng, *args, **kwargs):
        frame = Frame(f, True, keys=_sequence(rng, _INIT))
        run_in_frame(frame, f, args, kwargs)
        frame.draw_together()
        return frame.params, frame.initial_state

    def apply_fn(params, state, rng, *args, **kwargs):
        keys = _sequence(rng, _APPLY_WITH_STATE)
        params, state = check_values("params", params), check_values("state", state)
        frame = Frame(f, False, params, state, keys)
        out = run_in_frame(frame, f, args, kwargs)
        return out, frame.state

    sign(init_fn, f, ("rng",), lambda _: tuple[Params, State])
    sign(apply_fn, f, ("params", "state", "rng"), lambda out: tuple[out, State])
    return TransformedWithState(init_fn, apply_fn)


def transform(f: Callable[..., Any], *, apply_rng: bool = True) -> Transformed:
    """Makes a function that uses modules into a pair of pure functions.

    Args:
      f: A function that builds modules and may use `hk.get_parameter` and
        `hk.next_rng_key`; for state see `hk.transform_with_state`.
      apply_rng: Only True: for an `apply` without a key see `hk.without_apply_rng`.

    Returns:
      `init(rng, *args, **kwargs) -> params`, which runs `f` to make its parameters, and
      `apply(params, rng, *args, **kwargs) -> output`. `rng` is a key, a seed, or None
      where `f` asks for no key; both take the arguments of `f` after it. Parameters are
      plain dicts `{module path: {name: array}}`.

    Raises:
      TypeError: `f` is no function, or is a module: wrap its construction and its call.
      ValueError: `f` is the result of `jax.jit` or `jax.pmap`: transform first; or
        `apply_rng` is False.

    Example:
      >>> net = hk.transform(lambda x: hk.nets.MLP([300, 10])(x))
      >>> params = net.init(jax.random.key(0), jnp.ones([1, 784]))
      >>> logits = net.apply(params, None, jnp.ones([1, 784]))
    """
    if not apply_rng:
        raise ValueError(
            "hk.transform has no apply_rng any more: instead of "
            "`hk.transform(f, apply_rng=False)` write "
            "`hk.without_apply_rng(hk.transform(f))`."
        )
    check_function(f, "hk.transform")
    return without_state(transform_with_state(f))


def without_state(f: TransformedWithState) -> Transformed:
    """Takes state out of the signatures of a function that uses none.

    Args:
      f: What `hk.transform_with_state` returned.

    Returns:
      `init(rng, *args) -> params` and `apply(params, rng, *args) -> output`, which
      raise ValueError if the function does use state.
    """

    def init_fn(rng, *args, **kwargs):
        _check_not_passed(kwargs, "state")
        params, state = f.init(rng, *args, **kwargs)
        _check_empty(state)
        return params

    def apply_fn(params, rng, *args, **kwargs):
        _check_not_passed(kwargs, "state")
        _sequence(rng, _APPLY)  # so that an error counts the arguments of this one
        out, state = f.apply(params, None, rng, *args, **kwargs)
        _check_empty(state)
        return out

    _sign_like(init_fn, f.init, (), lambda _: Params)
    _sign_like(apply_fn, f.apply, ("state",), lambda out: out.__args__[0])
    return Transformed(init_fn, apply_fn)


def with_empty_state(f: Transformed) -> TransformedWithState:
    """Puts an empty state into the signatures of a function that uses none.

    Args:
      f: What `hk.transform` returned.

    Returns:
      `init(rng, *args) -> (params, {})` and
      `apply(params, state, rng, *args) -> (output, {})`.

    Raises:
      ValueError: `apply` is given a state that is not empty.
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

    _sign_like(init_fn, f.init, (), lambda _: tuple[Params, State])
    signature = getattr(f.apply, "__signature__", None)
    if signature is not None:
        params, *rest = signature.parameters.values()
        state = inspect.Parameter("state", params.kind, annotation=State | None)
        apply_fn.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
            [params, state, *rest],
            return_annotation=tuple[signature.return_annotation, State],
        )
    return TransformedWithState(init_fn, apply_fn)


def _sign_like(wrapper, wrapped, without: tuple[str, ...], returns) -> None:
    """Gives `wrapper` the signature of `wrapped`, without some parameters."""
    if hasattr(wrapped, "original_function"):
        wrapper.original_function = wrapped.original_function
    signature = getattr(wrapped, "__signature__", None)
    if signature is not None:
        parameters = [p for p in signature.parameters.values() if p.name not in without]
        wrapper.__signature__ = inspect.Signature(
            parameters, return_annotation=returns(signature.return_annotation)
        )


# ---- Checks -----------------------------------------------------------------------


def check_function(f: Any, what: str) -> None:
    """Raises TypeError or ValueError unless `f` can be transformed."""
    if isinstance(f, Module):
        kind = type(f).__name__
        raise TypeError(
            f"`{what}` takes a function, got the module {f!r}: modules are built "
            f"inside. Write `{what}(lambda x: {kind}(...)(x))`."
        )
    if not callable(f):
        raise TypeError(
            f"`{what}` takes a function, got {type(f).__name__} {f!r}: not a callable "
            f"object. Write `{what}(lambda x: hk.Linear(10)(x))`."
        )
    if isinstance(f, jax.stages.Wrapped):
        raise ValueError(
            f"`{what}` was given a function that is jitted (or pmapped) already. It "
            "has side effects until it is transformed, so jit what comes out instead: "
            "`jax.jit(hk.transform(f).apply)`."
        )


_INIT = (
    "Init must be called with an RNG as the first argument, "
    "`init(rng, *args, **kwargs)`"
)
_APPLY = (
    "Apply must be called with an RNG as the second argument, "
    "`apply(params, rng, *args, **kwargs)`"
)
_APPLY_WITH_STATE = (
    "Apply must be called with an RNG as the third argument, "
    "`apply(params, state, rng, *args, **kwargs)`"
)


def _sequence(rng: Any, signature: str) -> PRNGSequence | None:
    if rng is None:
        return None
    if not isinstance(rng, tuple):  # what a sequence keeps, which is no key
        with contextlib.suppress(ValueError):
            return PRNGSequence(rng)
    raise ValueError(
        f"{signature}, got {describe(rng)}. {WAYS_TO_A_KEY} Where the function needs "
        "no key pass None, or use `hk.without_apply_rng`."
    )


def check_values(what: str, values: Any) -> Mapping[str, Any]:
    """`values` if it looks like parameters or state; None counts as empty.

    Raises:
      TypeError: It does not.
    """
    if values is None:
        return {}
    if isinstance(values, Packed):
        values = unpack(values)
    if isinstance(values, Mapping) and all(
        isinstance(named, Mapping) for named in values.values()
    ):
        return values
    if isinstance(values, Mapping):
        path = next(k for k, named in values.items() if not isinstance(named, Mapping))
        given = f"a dict whose {path!r} holds {describe(values[path])}"
    else:
        given = describe(values)
    advice = ""
    if isinstance(values, tuple) and len(values) == 2:
        advice = " hk.transform_with_state: write `params, state = init(...)`."
    raise TypeError(
        f"The {what} argument does not appear valid: wanted `{{module path: {{name: "
        f"array}}}}` as `init` returns it, got {given}.{advice}"
    )


def _check_not_passed(kwargs: dict[str, Any], name: str) -> None:
    if name in kwargs:
        raise TypeError(
            f"The keyword {name!r} can't be told from Haiku's own argument of that "
            "name. If it is an argument of the transformed function, pass them "
            "positionally; if it is Haiku's, this function takes none."
        )


def _check_empty(state: Mapping[str, Any]) -> None:
    if state:
        raise NonEmptyStateError(
            "The function uses state "
            f"({', '.join(f'{m}/{n}' for m, named in state.items() for n in named)}), "
            "which hk.transform would lose: use hk.transform_with_state."
        )
