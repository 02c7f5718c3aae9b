"""Frame: one run of a transformed function, and the values it reads and writes."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from haiku._core.errors.help_links import Explained
from haiku._core.keys.batched_init import drawn_together, is_staged
from haiku._core.keys.key_sequence import KeyState, PRNGSequence
from haiku._core.leaks.watch import Watch, trace_state
from haiku._core.runs.lifting import lifting_at
from haiku._core.runs.module_registry import ModuleRegistry
from haiku._core.runs.scope import Scope
from haiku._core.runs.stack import Stack
from haiku._core.runs.usage import Usage
from haiku._trees.patterns import Pattern, pattern
from haiku.typing import MutableParams

Values = MutableParams


class Contents(NamedTuple):
    """The traceable part of a run: a pytree.

    Attributes:
      params: Parameters by module path and name.
      state: The current state, by module path and name.
      initial_state: The state as it was first, by module path and name.
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
      state: The current state, by module path and name.
      initial_state: The state as it was first, by module path and name.
      keys: The key sequence; None without keys.
      scopes: The module path, innermost last.
      lifting: Where the values are kept in the run around this one.
      modules: The modules built so far, and their paths.
      usage: How the function has used the values so far.
      watch: Detects values that leak out of plain JAX transformations.
    """

    __slots__ = (
        "initial_state",
        "initialising",
        "keys",
        "lifting",
        "modules",
        "owner",
        "params",
        "scopes",
        "state",
        "usage",
        "watch",
    )

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
        self.lifting = lifting_at(depth=len(frames.get()))
        self.modules = ModuleRegistry()
        self.usage = Usage()
        self.watch = Watch()

    def snapshot(self) -> Contents:
        """A copy of the current contents."""
        return Contents(
            copied(self.params) if self.initialising else self.params,
            copied(self.state),
            copied(self.initial_state),
            self.keys and self.keys.internal_state,
        )

    def replace(self, contents: Contents) -> None:
        """Continues from `contents`."""
        self.params = copied(contents.params) if self.initialising else contents.params
        self.state = copied(contents.state)
        self.initial_state = copied(contents.initial_state)
        if self.keys is not None and contents.keys is not None:
            self.keys.replace_internal_state(contents.keys)

    def absorb(self, changes: Contents, under: str = "") -> None:
        """Writes `changes` over the contents.

        Args:
          changes: The new values; all others stay.
          under: A prefix for the module paths.
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
        """A copy of this run for calls that JAX may make after the run has ended.

        It holds no arrays, since they would outlive their trace.
        """
        kept = Frame(self.owner, self.initialising)
        kept.scopes = [*self.scopes[:-1], self.scopes[-1].fork()]
        kept.lifting, kept.modules = self.lifting, self.modules.fork()
        kept.usage = self.usage.fork()
        kept.watch = Watch(self.watch.trace)
        return kept

    def full_path(self, path: str) -> str:
        """A path of this run as the transformed function names it.

        Inside `hk.layer_stack` the stack's own path comes before it. An inner function
        that `hk.lift` keeps has paths of its own, as its `apply` runs by itself.
        """
        closed = self.lifting.closed
        return (self.lifting.prefix or "") + path if closed else path

    def full_pattern(self, text: str, module: Any = None) -> Pattern:
        """A pattern of full paths, from one that counts from a module.

        Args:
          text: The pattern; one that begins with `/` counts from the root.
          module: A module; None is the one whose method is running.
        """
        if isinstance(text, str) and text.startswith("/"):
            return pattern(text[1:])
        pattern(text)  # Says what is wrong with the text as it was given.
        module = module or self.scopes[-1].module
        base = module.module_name + "/" if module else ""
        return pattern(self.full_path(base) + text)

    def draw_together(self) -> None:
        """Draws initial values again in batches, see `batched_init`."""
        draws = self.keys.draws if self.keys else []
        if not draws or not is_staged():
            return
        values = drawn_together(draws)
        for store in (self.params, self.initial_state):
            for named in store.values():
                for name, value in named.items():
                    named[name] = values.get(id(value), value)

    def check_strays(self) -> None:
        """Raises LeakedTracerError if a result leaked out of a JAX transformation."""
        if not self.watch.strays:
            return
        if self.initialising:
            self.watch.check_values("parameter", self.params)
        state = self.initial_state if self.initialising else self.state
        self.watch.check_values("state", state)

    @contextlib.contextmanager
    def holding(self, contents: Contents, keep_names: bool = False) -> Iterator[None]:
        """Works on `contents` while the block runs, then on its own contents again.

        Args:
          contents: The values for the block; read them back with `snapshot`.
          keep_names: Whether the names that modules take in the block stay taken.
        """
        scope, watch, modules = self.scopes[-1], self.watch, self.modules
        names, before, keys = scope.names(), self.snapshot(), self.keys
        trace, watch.trace = watch.trace, trace_state()
        built, modules.by_blueprint = modules.by_blueprint, dict(modules.by_blueprint)
        self.keys = PRNGSequence(contents.keys) if contents.keys and keys else None
        try:
            self.replace(contents)
            yield
        finally:
            self.params, self.state, self.initial_state, _ = before
            self.keys, watch.trace, modules.by_blueprint = keys, trace, built
            if not keep_names:
                scope.restore(names)


def copied(values: Mapping[str, Mapping[str, Any]]) -> Values:
    """The same values in new dicts."""
    return {path: dict(named) for path, named in values.items()}


def changes(before: Contents, after: Contents) -> Contents:
    """The values of `after` that differ from `before`, and new keys."""

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


def part_of_init() -> bool:
    """Whether the run, or one that it is lifted into, is an `init`.

    A stack calls its layers as `apply` does within `init`, where state is needed.
    """
    for frame in reversed(frames.get()):
        if frame.initialising or frame.lifting.prefix is None:
            return frame.initialising
    return False


class OutsideTransformError(Explained, ValueError):
    """Something that only works inside a transformed function, called outside."""

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
