"""lift: keeps parameters of an inner, pure function among the outer one's."""

import contextlib
from collections.abc import Callable, Mapping
from typing import Any

from haiku._core.runs.frame import Contents, Frame, Values, current_frame, frames
from haiku._core.runs.lifting import Lifting, lifting
from haiku._core.runs.scope import check_name
from haiku._core.transforms.arguments import NonEmptyStateError
from haiku.typing import MutableParams, MutableState


def prefix_of(frame: Frame, name: str | None) -> str:
    """The prefix of lifted paths: `outer/lifted/`; `outer/` if `name` is None."""
    scope = frame.scopes[-1]
    if name is None:
        return scope.prefix
    check_name(name)
    return scope.claim(name) + "/"


def under(values: Mapping[str, Mapping[str, Any]], prefix: str) -> Values:
    """The values stored under `prefix`, by the inner function's paths."""
    return {
        path[len(prefix) :]: dict(named)
        for path, named in values.items()
        if path.startswith(prefix)
    }


def inside(
    frame: Frame, prefix: str, closed: bool
) -> contextlib.AbstractContextManager[Lifting]:
    """Sets where the next frame's values will be kept.

    Args:
      frame: The frame that keeps them.
      prefix: The prefix of their paths in it.
      closed: Whether modules of outer runs are forbidden.
    """
    full = (frame.lifting.prefix or "") + prefix
    return lifting.push(Lifting(full, closed, len(frames.get())))


def _store(
    kind: str, destination: Values, values: Values, what: str, allow_reuse: bool
) -> None:
    for path, named in values.items():
        if path in destination and not allow_reuse:
            raise ValueError(
                f"Key {path!r} already exists in the destination {kind}: {what} would "
                "overwrite its values. Give the lifted function another `name`, or "
                "share with `allow_reuse=True`."
            )
        destination.setdefault(path, {}).update(named)


def _lifted(
    init_fn: Callable[..., Any],
    what: str,
    prefix: str,
    *,
    closed: bool,
    allow_reuse: bool,
    with_state: bool = False,
) -> Callable[..., tuple[MutableParams, MutableState]]:
    """`init_fn`, with its values stored at `init` and read at `apply`."""

    def lifted(*args: Any, **kwargs: Any) -> Any:
        frame = current_frame(what)
        if not frame.initialising:
            return under(frame.params, prefix), under(frame.state, prefix)
        with inside(frame, prefix, closed):
            made = init_fn(*args, **kwargs)
        params, state = made if isinstance(made, tuple) else (made, {})
        frame.usage.stores_lifted = True
        if state and not with_state:
            raise NonEmptyStateError(
                f"{what} got a function that uses state ({sorted(state)}): use "
                f"{what}_with_state, which hands the state out and back."
            )
        for kind, destination, values in (
            ("params", frame.params, params),
            ("state", frame.state, state),
            ("state", frame.initial_state, state),
        ):
            values = {prefix + path: named for path, named in values.items()}
            _store(kind, destination, values, what, allow_reuse)

        return params, state

    return lifted


def lift(
    init_fn: Callable[..., MutableParams],
    *,
    allow_reuse: bool = False,
    name: str = "lifted",
) -> Callable[..., MutableParams]:
    """Keeps the parameters of an inner, pure function among those of the outer one.

    At `init` it calls `init_fn` and stores the result under `name`; at `apply` it reads
    it there, and `init_fn` doesn't run. The inner function's `apply` is pure, so any
    plain `jax.*` transformation may go around it.

    Args:
      init_fn: `hk.transform(f).init`.
      allow_reuse: Whether a second call at the same place shares the parameters.
      name: The first part of their paths.

    Returns:
      A function like `init_fn`.

    Raises:
      ValueError: No transformed function is running; the inner function uses state; or
        a second call would overwrite the parameters of the first.

    Example:
      >>> def f(x):
      ...     inner = hk.transform(hk.Linear(3))
      ...     params = hk.lift(inner.init, name="inner")(hk.maybe_next_rng_key(), x[0])
      ...     return jax.vmap(inner.apply, (None, None, 0))(params, None, x)
    """
    prefix = prefix_of(current_frame("hk.lift"), name)
    lifted = _lifted(init_fn, "hk.lift", prefix, closed=False, allow_reuse=allow_reuse)
    return lambda *args, **kwargs: lifted(*args, **kwargs)[0]


def transparent_lift(
    init_fn: Callable[..., MutableParams], *, allow_reuse: bool = False
) -> Callable[..., MutableParams]:
    """`lift` that keeps the paths which the inner modules would have without it.

    Args:
      init_fn: `hk.transform(f).init`. `f` must not use modules built outside of it.
      allow_reuse: Whether existing paths are shared.

    Returns:
      A function like `init_fn`.

    Raises:
      ValueError: No transformed function is running; the inner function uses state, or
        a module from outside; or a path exists already.

    Example:
      >>> inner = hk.transform(lambda x: hk.Linear(2)(x))
      >>> def f(x):
      ...     params = hk.transparent_lift(inner.init)(hk.maybe_next_rng_key(), x)
      ...     return inner.apply(params, None, x)
      >>> list(hk.transform(f).init(0, jnp.ones([3])))
      ['linear']
    """
    prefix = prefix_of(current_frame("hk.transparent_lift"), None)
    lifted = _lifted(
        init_fn, "hk.transparent_lift", prefix, closed=True, allow_reuse=allow_reuse
    )
    return lambda *args, **kwargs: lifted(*args, **kwargs)[0]


class LiftWithStateUpdater:
    """Writes the inner function's state back; must be used exactly once.

    Args:
      name: The first part of the state's paths.

    Example:
      >>> inner = hk.transform_with_state(lambda: hk.get_state("n", [], init=jnp.zeros))
      >>> def f():
      ...     init, updater = hk.lift_with_state(inner.init)
      ...     params, state = init(None)
      ...     updater.ignore_update()  # or updater.update(new state)
      >>> hk.transform_with_state(f).init(None)[1]
      {'lifted/~': {'n': Array(0., dtype=float32)}}
    """

    __slots__ = ("_frame", "_prefix", "_used")

    def __init__(self, name: str | None):
        frame = current_frame("hk.lift_with_state")
        self._prefix = prefix_of(frame, name)
        self._frame = frame
        self._used = False
        frame.usage.at_end.append(self.assert_used)

    def assert_used(self) -> None:
        """Raises ValueError unless `update` or `ignore_update` was called."""
        if not self._used:
            raise ValueError(
                "The StateUpdater returned by hk.lift_with_state must be used: call "
                "`updater.update(state)` with the state that the inner `apply` "
                "returned, or `updater.ignore_update()` to drop it."
            )

    def _use(self) -> None:
        if self._used:
            raise ValueError(
                "The StateUpdater returned by hk.lift_with_state must only be used "
                "once: call `hk.lift_with_state` again for a second update."
            )
        if current_frame("hk.lift_with_state") is not self._frame:
            raise ValueError(
                "The StateUpdater returned by hk.lift_with_state must be used within "
                "the same call to init/apply that made it."
            )
        self._used = True

    def ignore_update(self) -> None:
        """Keeps the state as it is.

        Raises:
          ValueError: The updater was used before, or belongs to another call of `init`
            or `apply`.
        """
        self._use()

    def update(self, state: Mapping[str, Mapping[str, Any]]) -> None:
        """Writes the inner function's state.

        Args:
          state: The state that the inner `apply` returned.

        Raises:
          ValueError: The updater was used before, or belongs to another call of `init`
            or `apply`.
        """
        self._use()
        initial = {
            self._prefix + path: {
                name: value
                for name, value in named.items()
                if name not in self._frame.initial_state.get(self._prefix + path, {})
            }
            for path, named in state.items()
        }
        now = {self._prefix + path: dict(named) for path, named in state.items()}
        self._frame.absorb(Contents({}, now, initial, None))


def lift_with_state(
    init_fn: Callable[..., tuple[MutableParams, MutableState]],
    *,
    allow_reuse: bool = False,
    name: str = "lifted",
) -> tuple[
    Callable[..., tuple[MutableParams, MutableState]],
    LiftWithStateUpdater,
]:
    """`lift` for an inner function with state.

    Args:
      init_fn: `hk.transform_with_state(f).init`.
      allow_reuse: Whether a second call at the same place shares parameters and state.
      name: The first part of their paths.

    Returns:
      A function like `init_fn`, and an updater: call its `update` with the state that
      the inner `apply` returned, or its `ignore_update`.

    Raises:
      ValueError: No transformed function is running; a second call would overwrite the
        values of the first; or the updater wasn't used by the end of the run.

    Example:
      >>> inner = hk.transform_with_state(lambda: hk.get_state("n", [], init=jnp.ones))
      >>> def f():
      ...     init, updater = hk.lift_with_state(inner.init, name="inner")
      ...     out, state = inner.apply(*init(None), None)
      ...     updater.update(state)
      >>> hk.transform_with_state(f).init(None)[1]
      {'inner/~': {'n': Array(1., dtype=float32)}}
    """
    updater = LiftWithStateUpdater(name)
    lifted = _lifted(
        init_fn,
        "hk.lift_with_state",
        updater._prefix,
        closed=False,
        allow_reuse=allow_reuse,
        with_state=True,
    )
    return lifted, updater


def transparent_lift_with_state(
    init_fn: Callable[..., tuple[MutableParams, MutableState]],
    *,
    allow_reuse: bool = False,
) -> tuple[
    Callable[..., tuple[MutableParams, MutableState]],
    LiftWithStateUpdater,
]:
    """`lift_with_state` that keeps the paths of the inner modules.

    Args:
      init_fn: `hk.transform_with_state(f).init`. `f` must not use modules from outside.
      allow_reuse: Whether existing paths are shared.

    Returns:
      A function like `init_fn`, and an updater as `lift_with_state` returns it.

    Raises:
      ValueError: As for `lift_with_state`; or a module from outside is used.

    Example:
      >>> norm = lambda x: hk.BatchNorm(True, True, 0.9)(x, True)
      >>> inner = hk.transform_with_state(norm)
      >>> def f(x):
      ...     init, updater = hk.transparent_lift_with_state(inner.init)
      ...     out, state = inner.apply(*init(None, x), None, x)
      ...     updater.update(state)
      >>> list(hk.transform_with_state(f).init(None, jnp.ones([2, 3]))[0])
      ['batch_norm']
    """
    updater = LiftWithStateUpdater(None)
    lifted = _lifted(
        init_fn,
        "hk.transparent_lift_with_state",
        updater._prefix,
        closed=True,
        allow_reuse=allow_reuse,
        with_state=True,
    )
    return lifted, updater
