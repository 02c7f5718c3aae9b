"""Frame: one run of a transformed function, and what it reads and writes."""

import contextlib
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.core import Tracer

from haiku import config
from haiku._core.keys import KeyState, PRNGSequence
from haiku._core.naming import Scope
from haiku._core.stack import Stack
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
      trace: The JAX trace that values are stored from.
      strays: Paths whose values were made inside a JAX transformation, with its name.
      sealed: The loop in whose body nothing new may be made, or None.
      lifted_prefix: Where `lift` puts this frame's parameters in the one outside.
      closed: Whether modules of the frames outside must not be used.
      creating: How many initialisers are running.
      runs_differ: Whether another run may give other values: keys were drawn outside
        initialisers, or the function asked whether `init` runs.
      lifted_values: Whether values of inner functions were stored at `init`; each call
        makes them anew.
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
        self.trace = trace_state()
        self.strays: dict[str, str] = {}
        self.sealed: str | None = None
        self.lifted_prefix: str | None = None
        self.closed = False
        around = lifting.get()
        if around and around[-1].depth == len(frames.get()):
            self.lifted_prefix, self.closed = around[-1].prefix, around[-1].closed
        self.creating = 0
        self.runs_differ = False
        self.lifted_values = False
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

    @contextlib.contextmanager
    def holding(self, contents: Contents, keep_names: bool = False) -> Iterator[None]:
        """Works on `contents` while the block runs, then on what was there before.

        Args:
          contents: What the block reads and writes; read it back with `snapshot`.
          keep_names: Whether the names that modules take in the block stay taken.
        """
        scope = self.scopes[-1]
        names, before, keys = scope.names(), self.snapshot(), self.keys
        outer_trace = self.trace
        self.keys = PRNGSequence(contents.keys) if contents.keys and keys else None
        self.trace = trace_state()
        try:
            self.replace(contents)
            yield
        finally:
            self.params, self.state, self.initial_state, _ = before
            self.keys, self.trace = keys, outer_trace
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


def current_frame(what: str) -> Frame:
    """The running frame.

    Args:
      what: The public name that needs it, for the error.

    Raises:
      ValueError: No transformed function is running.
    """
    running = frames.get()
    if not running:
        raise ValueError(
            f"`{what}` must be used as part of an `hk.transform`: inside the function "
            "that you transform, which runs when you call `init` or `apply`. Write "
            "`net = hk.transform(lambda x: MyModule()(x))`, then "
            "`params = net.init(key, x)` and `net.apply(params, key, x)`."
        )
    return running[-1]


# ---- Which JAX transformation are we in? ------------------------------------------


class JaxUsageError(ValueError):
    """A plain JAX transformation around one of Haiku's side effects."""


class LeakedTracerError(JaxUsageError, jax.errors.UnexpectedTracerError):
    """A value from inside a JAX transformation would outlive it."""


def trace_state() -> Any:
    """What JAX is tracing at the moment, to be compared with `==`."""
    # Imported here: it costs more than all of haiku, and many programs never trace
    # inside `init`. Public, in JAX 0.10 and 0.12, though called opaque.
    from jax.extend import core

    return core.get_opaque_trace_state()


# The functions of JAX that are on Python's stack while they trace the user's function.
_IN_HK = (
    "inside a transformed function write `hk.{}`, which knows of parameters, state "
)
_IN_HK += "and keys"
_AROUND = "put `{}` around `init` or `apply` instead"
_ADVICE = {
    "jax.jit": _AROUND,
    "jax.make_jaxpr": _AROUND,
    "jax.jvp": _AROUND,
    "jax.vjp": _AROUND,
    "jax.linearize": _AROUND,
    "a JAX transformation": "put it around `init` or `apply` instead",
}
_NAMES = {
    "cache_miss": "jax.jit",
    "vmap_f": "jax.vmap",
    "grad_f": "jax.grad",
    "value_and_grad_f": "jax.value_and_grad",
    "fun_remat": "jax.remat",
    "scan": "jax.lax.scan",
    "map": "jax.lax.map",
    "fori_loop": "jax.lax.fori_loop",
    "while_loop": "jax.lax.while_loop",
    "cond": "jax.lax.cond",
    "_cond": "jax.lax.cond",
    "switch": "jax.lax.switch",
    "eval_shape": "jax.eval_shape",
    "make_jaxpr_f": "jax.make_jaxpr",
    "jvp": "jax.jvp",
    "vjp": "jax.vjp",
    "linearize": "jax.linearize",
}
_NOT_STAGING = ("jax.vmap", "jax.grad", "jax.value_and_grad", "jax.jvp", "jax.vjp")
_UNKNOWN = "a JAX transformation"


_MADE_OF = {
    "jax.grad": ("jax.value_and_grad", "jax.linearize", "jax.jvp", "jax.vjp"),
    "jax.value_and_grad": ("jax.linearize", "jax.jvp", "jax.vjp"),
    "jax.lax.fori_loop": ("jax.lax.scan", "jax.lax.while_loop"),
    "jax.lax.map": ("jax.lax.scan",),
}


def running_transformations() -> list[str]:
    """The JAX transformations between the running frame and here, innermost first.

    Read from Python's stack, for messages: JAX has no public way to ask.
    """
    names: list[str] = []
    frame = sys._getframe(1)
    while frame is not None and frame.f_code.co_name != "run_in_frame":
        if frame.f_globals.get("__name__", "").startswith("jax."):
            name = _NAMES.get(frame.f_code.co_name)
            if name is not None:
                while names and names[-1] in (name, *_MADE_OF.get(name, ())):
                    names.pop()
                names.append(name)
        frame = frame.f_back
    return names


def advice_against(transformation: str) -> str:
    """What to write instead of a JAX transformation, as a clause."""
    name = transformation.rpartition(".")[2]
    return _ADVICE.get(transformation, _IN_HK).format(
        transformation if transformation in _ADVICE else name
    )


def note_stray(frame: Frame, path: str, value: Any) -> None:
    """Remembers that `value`, about to be stored, was traced deeper than its frame."""
    if any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(value)):
        frame.strays.pop(path, None)
        if trace_state() != frame.trace:
            inside = running_transformations()
            staging = [name for name in inside if name not in _NOT_STAGING]
            frame.strays[path] = (staging or inside or [_UNKNOWN])[-1]


def check_strays(frame: Frame) -> None:
    """Raises LeakedTracerError if what `init` stores came from inside JAX's own."""
    if not frame.strays:
        return
    for kind, store in (("parameter", frame.params), ("state", frame.initial_state)):
        for module_path, values in store.items():
            for name, value in values.items():
                made_in = frame.strays.get(f"{module_path}/{name}")
                if made_in and is_dead(value, made_in):
                    raise LeakedTracerError(
                        f"The {kind} {module_path}/{name} was made inside {made_in}, "
                        "and its value ends there: `init` can't return it. To make it, "
                        f"{advice_against(made_in)}."
                    )


def is_dead(value: Any, made_in: str) -> bool:
    """Whether a value made in that transformation, which has ended, ended with it."""
    tracers = [x for x in jax.tree.leaves(value) if isinstance(x, Tracer)]
    if made_in not in _NOT_STAGING:
        return bool(tracers)
    try:  # Inside vmap and grad a value may well be one of an outer, living trace.
        for tracer in tracers:
            if jnp.issubdtype(tracer.dtype, jax.dtypes.prng_key):
                jax.random.key_data(tracer)
            else:
                jnp.add(tracer, 0)
    except jax.errors.UnexpectedTracerError:
        return True
    return False


def check_usage(frame: Frame, what: str) -> None:
    """Under `config.check_jax_usage`, raises JaxUsageError inside a plain `jax.*`."""
    if config.settings().check_jax_usage and trace_state() != frame.trace:
        inside = (running_transformations() or [_UNKNOWN])[0]
        raise JaxUsageError(
            f"`{what}` inside {inside}: its side effect may be lost or happen a "
            f"different number of times. Instead, {advice_against(inside)}; or switch "
            "this check off with `hk.experimental.check_jax_usage(False)`."
        )
