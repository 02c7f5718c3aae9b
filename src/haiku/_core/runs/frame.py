"""Frame: one run of a transformed function, and what it reads and writes."""

import contextlib
import copy
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from haiku._core.errors.help_links import Explained
from haiku._core.keys.batched_init import drawn_together, is_staged
from haiku._core.keys.key_sequence import KeyState, PRNGSequence
from haiku._core.leaks.watch import Watch, trace_state
from haiku._core.runs.scope import Scope
from haiku._core.runs.stack import Stack
from haiku.typing import MutableParams

Values = MutableParams


class Contents(NamedTuple):
    """The traceable part of a frame: a pytree.

    Attributes:
      params: Parameters by module path and name.
      state: State as it is now, likewise.
      initial_state: State as it was first, likewise.
      keys: The state of the key sequence; None without keys.
    """

    params: Values
    state: Values
    initial_state: Values
    keys: KeyState | None


class Frame:
    """One run of a transformed function.

    Attributes:
      owner: The function that was transformed.
      initialising: Whether parameters are made (`init`) or only read (`apply`).
      params: Parameters by module path and name.
      state: State as it is now, likewise.
      initial_state: State as it was first, likewise.
      keys: The key sequence; None without keys.
      scopes: The module path, innermost last.
      watch: Where values were stored from, see `traces`.
      sealed: The loop in whose body nothing new may be made, or None.
      lifted_prefix: Where `lift` puts this frame's parameters in the one outside.
      closed: Whether modules of the frames outside must not be used.
      creating: How many initialisers are running.
      runs_differ: Whether another run may give other values: keys were drawn outside
        initialisers, or the function asked whether `init` runs.
      lifted_values: Whether values of inner functions were stored at `init`; each call
        makes them anew.
      built: Modules made of blueprints, see `blueprint`; those made inside a lifted
        transformation are forgotten with it.
      places: The paths that blueprints took, by the blueprint's id.
      held: All these paths, which no other module may take.
      paths: The paths of all modules built so far.
      touched: Parameters and state used so far, outside of lanes that have their own.
      at_end: Called when the run has ended without an error.
    """

    def __init__(
        self,
        owner: Callable[..., Any] | None,
        initialising: bool,
        params: Mapping[str, Mapping[str, Any]] | None = None,
        state: Mapping[str, Mapping[str, Any]] | None = None,
        keys: PRNGSequence | None = None,
    ):
        self.owner = owner
        self.initialising = initialising
        self.params: Any = {} if params is None else params
        self.state: Values = copied(state or {})
        self.initial_state: Values = copied(state or {})
        self.keys = keys
        self.scopes = [Scope(None, "__call__")]
        self.watch = Watch()
        self.sealed: str | None = None
        self.lifted_prefix: str | None = None
        self.closed = False
        around = lifting.get()
        if around and around[-1].depth == len(frames.get()):
            self.lifted_prefix, self.closed = around[-1].prefix, around[-1].closed
        self.creating = 0
        self.runs_differ = False
        self.lifted_values = False
        self.built: dict[int, Any] = {}
        self.places: dict[int, Any] = {}
        self.held: set[str] = set()
        self.paths: set[str] = set()
        self.touched: set[tuple[str, ...]] = set()
        self.at_end: list[Callable[[], None]] = []

    def snapshot(self) -> Contents:
        """The contents as they are now; later changes don't reach it."""
        return Contents(
            copied(self.params) if self.initialising else self.params,
            copied(self.state),
            copied(self.initial_state),
            self.keys and self.keys.internal_state,
        )

    def replace(self, contents: Contents) -> None:
        """Goes on from `contents`."""
        self.params = copied(contents.params) if self.initialising else contents.params
        self.state = copied(contents.state)
        self.initial_state = copied(contents.initial_state)
        if self.keys is not None and contents.keys is not None:
            self.keys.replace_internal_state(contents.keys)

    def absorb(self, changes: Contents, under: str = "") -> None:
        """Writes `changes` over what is here.

        Args:
          changes: What to write; what it does not mention stays.
          under: What to put before the module paths.
        """
        for mine, theirs in (
            (self.params, changes.params),
            (self.state, changes.state),
            (self.initial_state, changes.initial_state),
        ):
            for path, values in theirs.items():
                mine.setdefault(under + path, {}).update(values)
        if changes.keys is not None and self.keys is not None:
            self.keys.replace_internal_state(changes.keys)

    def without_values(self) -> "Frame":
        """This run as it is now, for calls that JAX makes when it may have ended.

        It holds no arrays: one that is kept would outlive its trace.
        """
        kept = copy.copy(self)
        kept.params, kept.state, kept.initial_state, kept.keys = {}, {}, {}, None
        kept.scopes = [*self.scopes[:-1], copy.copy(self.scopes[-1])]
        kept.scopes[-1].restore(self.scopes[-1].names())
        kept.watch, kept.at_end = Watch(self.watch.trace), []
        return kept

    def draw_together(self) -> None:
        """Lets values that were drawn alike be drawn in one loop, see `draws`."""
        draws = self.keys.draws if self.keys else []
        if not draws or not is_staged():
            return
        values = drawn_together(draws)
        for store in (self.params, self.initial_state):
            for named in store.values():
                for name, value in named.items():
                    named[name] = values.get(id(value), value)

    def check_strays(self) -> None:
        """Raises LeakedTracerError if what is returned came from inside JAX's own."""
        if not self.watch.strays:
            return
        if self.initialising:
            self.watch.check_values("parameter", self.params)
        state = self.initial_state if self.initialising else self.state
        self.watch.check_values("state", state)

    @contextlib.contextmanager
    def holding(self, contents: Contents, keep_names: bool = False) -> Iterator[None]:
        """Works on `contents` while the block runs, then on what was there before.

        Args:
          contents: What the block reads and writes; read it back with `snapshot`.
          keep_names: Whether the names that modules take in the block stay taken.
        """
        scope = self.scopes[-1]
        names, before, keys = scope.names(), self.snapshot(), self.keys
        watch, built = self.watch, self.built
        outer_trace, watch.trace = watch.trace, trace_state()
        self.built = dict(built)
        self.keys = PRNGSequence(contents.keys) if contents.keys and keys else None
        try:
            self.replace(contents)
            yield
        finally:
            self.params, self.state, self.initial_state, _ = before
            self.keys, watch.trace, self.built = keys, outer_trace, built
            if not keep_names:
                scope.restore(names)


def copied(values: Mapping[str, Mapping[str, Any]]) -> Values:
    """The same values in new dicts."""
    return {path: dict(named) for path, named in values.items()}


def changes(before: Contents, after: Contents) -> Contents:
    """What of `after` is not in `before`: new values, and keys where they moved on."""

    def differing(old: Values, new: Values) -> Values:
        if old is new:
            return {}
        missing = object()
        found: Values = {}
        for path, values in new.items():
            known = old.get(path, {})
            changed = {
                k: v for k, v in values.items() if known.get(k, missing) is not v
            }
            if changed or path not in old:
                found[path] = changed
        return found

    return Contents(
        differing(before.params, after.params),
        differing(before.state, after.state),
        differing(before.initial_state, after.initial_state),
        None if _same_keys(before.keys, after.keys) else after.keys,
    )


def _same_keys(a: KeyState | None, b: KeyState | None) -> bool:
    if a is None or b is None:
        return a is b
    return a[0] is b[0] and len(a[1]) == len(b[1])


frames: Stack[Frame] = Stack("frames")


class Lifting(NamedTuple):
    """What `lift` tells the frame that runs next.

    Attributes:
      prefix: Where its values will be kept in the frame outside.
      closed: Whether modules of the frames outside must not be used.
      depth: How many frames are around it; deeper ones are not meant.
    """

    prefix: str
    closed: bool
    depth: int


lifting: Stack[Lifting] = Stack("lifting")


class OutsideTransformError(Explained, ValueError):
    """Something that only a transformed function can do, where none is running."""

    page = "start/how_transform_works"


def current_frame(what: str) -> Frame:
    """The running frame.

    Args:
      what: The public name that needs it, for the error.

    Raises:
      ValueError: No transformed function is running.
    """
    running = frames.get()
    if not running:
        raise OutsideTransformError(
            f"`{what}` must be used as part of an `hk.transform`: inside the function "
            "that you transform, which runs when you call `init` or `apply`. Write "
            "`net = hk.transform(lambda x: MyModule()(x))`, then "
            "`params = net.init(key, x)` and `net.apply(params, key, x)`."
        )
    return running[-1]
