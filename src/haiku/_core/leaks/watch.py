"""Watch: detects values that leak out of plain JAX transformations.

A plain `jax.*` transformation around side effects is accepted where it is sound. Two
things are not: a parameter, state or key that outlives the transformation in which it
was made; and state or keys in the body of a loop or branch, which Python runs once and
JAX any number of times.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.core import Tracer

from haiku._core.errors.help_links import Explained
from haiku._core.leaks.jax_transformations import (
    BRANCHES,
    LOOPS,
    NOT_STAGING,
    UNKNOWN,
    advice_against,
    running_transformations,
    transformations,
    users_line,
)
from haiku._settings import current_settings


class JaxUsageError(Explained, ValueError):
    """A plain JAX transformation around one of Haiku's side effects."""

    page = "guide/transformations"


class LeakedTracerError(JaxUsageError, jax.errors.UnexpectedTracerError):
    """A value from inside a JAX transformation would outlive it."""


class Stray(NamedTuple):
    """A value that was stored from inside a JAX transformation.

    Attributes:
      made_in: The transformation.
      line: Where in the user's program.
    """

    made_in: str
    line: str


def trace_state() -> Any:
    """The trace that JAX is in, to be compared with `==`."""
    return _getter()()


@functools.cache
def _getter() -> Callable[[], Any]:
    # The import takes longer than all of haiku, and many programs never trace inside
    # `init`. The function is public in JAX 0.10 and 0.12, though it is called opaque.
    from jax.extend import core

    return core.get_opaque_trace_state


class Watch:
    """Watches the values that a run stores from inside plain transformations.

    Args:
      trace: The JAX trace of the run; the current one by default.

    Attributes:
      trace: The JAX trace of the run.
      strays: Where values were made inside a JAX transformation, by module path and
        name.
      keys: Where the key sequence was last split inside one, or None.
    """

    __slots__ = ("keys", "strays", "trace")

    def __init__(self, trace: Any = None):
        self.trace = trace_state() if trace is None else trace
        self.strays: dict[tuple[str, str], Stray] = {}
        self.keys: Stray | None = None

    def note_value(self, kind: str, path: str, name: str, value: Any) -> None:
        """Notes a value that is about to be stored, if it may not outlive its trace.

        Args:
          kind: "parameter" or "state".
          path: Its module's path.
          name: Its name.
          value: Its value.

        Raises:
          LeakedTracerError: The value certainly escapes. Doubtful cases are checked
            when the run ends.
        """
        strays = self.strays
        if strays:
            strays.pop((path, name), None)
        if trace_state() == self.trace:
            return
        if not any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(value)):
            return
        stray = _made_here()
        if stray.made_in != UNKNOWN and _ends_here(value, stray.made_in):
            raise _leaked(kind, path, name, stray)
        strays[path, name] = stray

    def check_values(self, kind: str, values: Mapping[str, Mapping[str, Any]]) -> None:
        """Raises LeakedTracerError if a value to return ended with a transformation.

        Args:
          kind: "parameter" or "state".
          values: By module path and name.
        """
        for (path, name), stray in self.strays.items():
            value = values.get(path, {}).get(name)
            if _is_dead(value, stray.made_in):
                raise _leaked(kind, path, name, stray)

    def check_repeated(self, what: str, or_never: bool = True) -> None:
        """Raises if JAX may repeat a side effect, or leave it out.

        Args:
          what: The side effect, for the error: "The state a/b was set".
          or_never: Whether it must not be left out either. Drawing a key may be: the
            program draws in the branch that it runs.

        Raises:
          LeakedTracerError: It happens in the body of a plain loop or branch.
        """
        if trace_state() == self.trace:
            return
        kinds = LOOPS + BRANCHES if or_never else LOOPS
        repeating = [x for x in running_transformations() if x in kinds]
        if repeating:
            raise LeakedTracerError(
                f"{what} inside {repeating[-1]} (at {users_line()}), which traces its "
                "function once and runs it any number of times, so the change would be "
                "lost, or the key be the same each time. You may want to use the Haiku "
                f"version: {advice_against(repeating[-1])}."
            )

    def note_keys(self, key: Any) -> None:
        """Notes that a key was split: inside a transformation the next may be lost."""
        inside = isinstance(key, Tracer) and trace_state() != self.trace
        self.keys = _made_here() if inside else None

    def check_keys(self, keys: Any) -> None:
        """Raises LeakedTracerError if the next keys ended with a transformation."""
        stray = self.keys
        if stray and trace_state() == self.trace and _is_dead(keys, stray.made_in):
            raise LeakedTracerError(
                f"A random key was drawn inside {stray.made_in} (at {stray.line}) "
                "before, so the next key depends on a value that ended there. You may "
                f"want to use the Haiku version: {advice_against(stray.made_in)}."
            )

    def check_usage(self, what: str) -> None:
        """Raises JaxUsageError inside a plain `jax.*` if `check_jax_usage` is on."""
        if current_settings().check_jax_usage and trace_state() != self.trace:
            inside = (running_transformations() or [UNKNOWN])[0]
            raise JaxUsageError(
                f"`{what}` inside {inside}: its side effect may be lost or happen a "
                f"different number of times. Instead, {advice_against(inside)}; or "
                "switch this check off with `hk.experimental.check_jax_usage(False)`."
            )


def _made_here() -> Stray:
    """The transformation that ends a value made here: the outermost staging one."""
    inside = running_transformations()
    staging = [name for name in inside if name not in NOT_STAGING]
    return Stray((staging or inside or [UNKNOWN])[-1], users_line())


def _ends_here(value: Any, made_in: str) -> bool:
    """Whether a value certainly ends with the transformation around here."""
    if made_in not in NOT_STAGING:
        return True
    if any(x in NOT_STAGING for x in running_transformations(outside=True)):
        return False  # It may be a value of the transformation around `apply`.
    return any(
        isinstance(x, transformations().not_staged) for x in jax.tree.leaves(value)
    )


def _is_dead(value: Any, made_in: str) -> bool:
    """Whether a value ended with the transformation in which it was made."""
    tracers = [x for x in jax.tree.leaves(value) if isinstance(x, Tracer)]
    if made_in not in NOT_STAGING:
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


def _leaked(kind: str, path: str, name: str, stray: Stray) -> LeakedTracerError:
    stored = "made" if kind == "parameter" else "set"
    return LeakedTracerError(
        f"The {kind} {path}/{name} was {stored} inside {stray.made_in} (at "
        f"{stray.line}), and its value ends there: `init` and `apply` can't return it. "
        f"You may want to use the Haiku version: {advice_against(stray.made_in)}."
    )
