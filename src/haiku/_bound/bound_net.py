"""Net: a blueprint or function that is bound, and how it runs."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from haiku._core import Blueprint, Module, transform_with_state
from haiku._core.blueprints.description import name_of
from haiku._core.errors.help_links import note
from haiku._core.runs.frame import Frame, frames
from haiku._core.runs.random_keys import MissingRNGError
from haiku._core.variables import hooks

Names = tuple[str | int, ...]


# Stands for what only a run can use: a module, or a method of one.
PART = object()


class Outcome(NamedTuple):
    """What a call gave.

    Attributes:
      value: What was returned.
      state: The state afterwards.
      changed: The paths of state that was changed.
    """

    value: Any
    state: Mapping[str, Mapping[str, Any]]
    changed: list[str]


class Net:
    """A blueprint or a function: it runs in a frame of its own.

    Args:
      function: The blueprint or function.
    """

    def __init__(self, function: Callable[..., Any]):
        self.function = function

    def __eq__(self, other: Any) -> bool:
        return type(other) is Net and self.function == other.function

    def __hash__(self) -> int:
        return hash(self.function)

    def __repr__(self) -> str:
        f = self.function
        return repr(f) if isinstance(f, Blueprint) else name_of(f)

    def init(self, rng: Any, use: Callable[..., Any] | None, args: Any, kwargs: Any):
        """Parameters and state that a call asks for: of the net, or of `use(net)`."""

        def run(*args: Any, **kwargs: Any) -> Any:
            net = self._built()
            return net(*args, **kwargs) if use is None else use(net, *args, **kwargs)

        return transform_with_state(run).init(rng, *args, **kwargs)

    def call(self, params, state, rng, names: Names, args, kwargs) -> Outcome:
        """Calls what is reached through `names`."""
        return self._run(params, state, rng, names, lambda f: f(*args, **kwargs))

    def attribute(self, params: Any, state: Any, names: Names) -> Any:
        """What is reached through `names`; `PART` for what only a run can use."""
        f = self.function
        if isinstance(f, Blueprint) and len(names) == 1:
            member = inspect.getattr_static(f.module_class, str(names[0]), None)
            if inspect.isclass(f.module_class) and inspect.isfunction(member):
                return PART

        def value(found: Any) -> Any:
            owner = getattr(found, "__self__", None)
            used_in_runs = isinstance(found, Module) or isinstance(owner, Module)
            return PART if used_in_runs else found

        return self._run(params, state, None, names, value).value

    def _built(self) -> Any:
        f = self.function
        return f.build() if isinstance(f, Blueprint) else f

    def _run(self, params, state, rng, names, use) -> Outcome:
        written: list[str] = []

        def run() -> Any:
            frame = frames.get()[-1]
            with (
                hooks.param_creators.push(_telling_of_init(frame)),
                hooks.state_creators.push(_noting_new(written)),
                hooks.state_setters.push(_noting(written)),
            ):
                found = self._built()
                for name in names:
                    found = getattr(found, str(name))
                return use(found)

        try:
            out, after = transform_with_state(run).apply(params, state, rng)
        except MissingRNGError as error:
            note(error, "A bound model takes it by keyword: `model(x, rng_key=42)`.")
            raise
        # Loops hand on what they did not change as new arrays.
        return Outcome(out, after, differing(state, after) if written else [])


def differing(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """The paths of what `after` has and `before` has not."""
    missing = object()
    return [
        f"{path}/{name}"
        for path, named in after.items()
        for name, value in named.items()
        if before.get(path, {}).get(name, missing) is not value
    ]


# ---- Hooks ------------------------------------------------------------------------


def _telling_of_init(frame: Frame) -> Callable[..., Any]:
    """A creator that says how a bound model gets a parameter that it lacks."""

    def creator(next_creator, shape, dtype, init, context):
        try:
            return next_creator(shape, dtype, init)
        except ValueError as error:
            if frames.get()[-1] is frame and not hasattr(error, "__notes__"):
                note(
                    error,
                    "A bound model has the parameters that its example asked for when "
                    "it was made. For more methods than one write `hk.bind(net)"
                    ".init_with(key, lambda net, x: net.decode(net.encode(x)), x)`.",
                )
            raise

    return creator


def _noting_new(written: list[str]) -> Callable[..., Any]:
    def creator(next_creator, shape, dtype, init, context):
        written.append(context.full_name)
        return next_creator(shape, dtype, init)

    return creator


def _noting(written: list[str]) -> Callable[..., Any]:
    def setter(next_setter, value, context):
        written.append(context.full_name)
        return next_setter(value)

    return setter
