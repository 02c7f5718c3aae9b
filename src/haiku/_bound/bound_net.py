"""Net: a blueprint or function that is bound, and how it runs."""

import contextlib
import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from haiku._core import Blueprint, transform_with_state
from haiku._core.blueprints.description import name_of
from haiku._core.errors.help_links import note
from haiku._core.runs.frame import Frame, frames
from haiku._core.runs.random_keys import MissingRNGError
from haiku._core.transforms.transform import run_in_frame
from haiku._core.variables import hooks

Names = tuple[str | int, ...]


class Outcome(NamedTuple):
    """The result of a call.

    Attributes:
      value: The call's output.
      state: The state afterwards.
      changed: The paths of state that changed.
    """

    value: Any
    state: Mapping[str, Mapping[str, Any]]
    changed: list[str]


class Opened(NamedTuple):
    """A module that was built to read its attributes, in a run of its own.

    Attributes:
      frame: The run.
      built: The module.
    """

    frame: Frame
    built: Any

    def attribute(self, names: Names) -> Any:
        """The attribute that `names` lead to."""
        found = self.built
        with frames.push(self.frame):
            for name in names:
                found = getattr(found, str(name))
        return found


@contextlib.contextmanager
def entered(held: tuple[Any, ...]) -> Iterator[None]:
    """Enters the hooks of a bound model while the block runs."""
    with contextlib.ExitStack() as stack:
        for hook in held:
            stack.enter_context(hook)
        yield


class Net:
    """A blueprint or a function; it runs in a frame of its own.

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

    def init(
        self,
        rng: Any,
        use: Callable[..., Any] | None,
        args: Any,
        kwargs: Any,
        held: Any,
    ) -> tuple[Any, Any]:
        """The parameters and state that a call of the net, or of `use(net)`, needs."""

        def run(*args: Any, **kwargs: Any) -> Any:
            net = self._build()
            return net(*args, **kwargs) if use is None else use(net, *args, **kwargs)

        with entered(held):
            return transform_with_state(run).init(rng, *args, **kwargs)

    def call(self, params, state, held, rng, names: Names, args, kwargs) -> Outcome:
        """Calls what `names` lead to."""
        written: list[str] = []

        def run() -> Any:
            frame = frames.get()[-1]
            with (
                hooks.param_creators.push(_explain_init(frame)),
                hooks.state_creators.push(_note_new(written)),
                hooks.state_setters.push(_note_written(written)),
            ):
                found = self._build()
                for name in names:
                    found = getattr(found, str(name))
                return found(*args, **kwargs)

        try:
            with entered(held):
                out, after = transform_with_state(run).apply(params, state, rng)
        except MissingRNGError as error:
            note(error, "A bound model takes it by keyword: `model(x, rng_key=42)`.")
            raise
        # Loops hand on what they did not change as new arrays.
        return Outcome(out, after, differing(state, after) if written else [])

    def has_method(self, names: Names) -> bool:
        """Whether `names` lead to a method, as far as the class alone shows."""
        f = self.function
        if not isinstance(f, Blueprint) or len(names) != 1:
            return False
        member = inspect.getattr_static(f.module_class, str(names[0]), None)
        return inspect.isclass(f.module_class) and inspect.isfunction(member)

    def open(self, params: Any, state: Any, held: tuple[Any, ...]) -> Opened:
        """Builds the module, to read its attributes."""
        frame = Frame(self._build, False, params, state)
        with entered(held):
            return Opened(frame, run_in_frame(frame, self._build, (), {}))

    def _build(self) -> Any:
        f = self.function
        return f.build() if isinstance(f, Blueprint) else f


def differing(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """The paths of values in `after` that `before` lacks or has other values for."""
    missing = object()
    return [
        f"{path}/{name}"
        for path, named in after.items()
        for name, value in named.items()
        if before.get(path, {}).get(name, missing) is not value
    ]


# ---- Hooks ------------------------------------------------------------------------


def _explain_init(frame: Frame) -> Callable[..., Any]:
    """A creator whose errors say how a bound model gets a parameter that it lacks."""

    def creator(next_creator, shape, dtype, init, context):
        try:
            return next_creator(shape, dtype, init)
        except ValueError as error:
            if frames.get()[-1] is frame and not hasattr(error, "__notes__"):
                note(
                    error,
                    "A bound model has the parameters that its example needed when it "
                    "was made. For several methods write `hk.bind(net)"
                    ".init_with(key, lambda net, x: net.decode(net.encode(x)), x)`.",
                )
            raise

    return creator


def _note_new(written: list[str]) -> Callable[..., Any]:
    def creator(next_creator, shape, dtype, init, context):
        written.append(context.full_name)
        return next_creator(shape, dtype, init)

    return creator


def _note_written(written: list[str]) -> Callable[..., Any]:
    def setter(next_setter, value, context):
        written.append(context.full_name)
        return next_setter(value)

    return setter
