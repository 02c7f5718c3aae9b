"""What is lost, or repeated, when a plain JAX transformation ends?

A plain `jax.*` transformation around side effects is accepted where it is sound. What
is not: a value from inside it that outlives it, as a parameter, a state or a key; and
state and keys in the body of a loop or branch, which Python runs once, and JAX any
number of times.
"""

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.core import Tracer

from haiku import config
from haiku._core.running import (
    CONTROL_FLOW,
    NOT_STAGING,
    UNKNOWN,
    advice_against,
    running_transformations,
    users_line,
)

if TYPE_CHECKING:
    from haiku._core.frame import Frame


class JaxUsageError(ValueError):
    """A plain JAX transformation around one of Haiku's side effects."""


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
    """What JAX is tracing at the moment, to be compared with `==`."""
    return _getter()()


@functools.cache
def _getter() -> Callable[[], Any]:
    # Imported here: it costs more than all of haiku, and many programs never trace
    # inside `init`. Public, in JAX 0.10 and 0.12, though called opaque.
    from jax.extend import core

    return core.get_opaque_trace_state


KEYS = "the random key"


def note_value(frame: "Frame", kind: str, path: str, value: Any) -> None:
    """Before a parameter or a state is stored: is its value one that will last?

    Args:
      frame: Where it is stored.
      kind: "parameter" or "state".
      path: Its path.
      value: Its value.

    Raises:
      LeakedTracerError: It will not, for sure; what isn't sure is seen at the end.
    """
    strays = frame.strays
    if strays:
        strays.pop(path, None)
    if trace_state() == frame.trace:
        return
    if not any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(value)):
        return
    stray = _made_here()
    if stray.made_in != UNKNOWN and _ends_here(value, stray.made_in):
        raise _leaked(kind, path, stray)
    strays[path] = stray


# How JAX calls the values of the transformations in NOT_STAGING.
_NOT_STAGED = ("BatchTracer", "JVPTracer", "LinearizeTracer")


def _ends_here(value: Any, made_in: str) -> bool:
    """Whether a value is for sure one that ends with the transformation around here."""
    if made_in not in NOT_STAGING:
        return True
    if any(x in NOT_STAGING for x in running_transformations(outside=True)):
        return False  # It may be a value of the transformation around `apply`.
    return any(type(x).__name__ in _NOT_STAGED for x in jax.tree.leaves(value))


def _made_here() -> Stray:
    """What a value of here will have ended with: the outermost that stages, if any."""
    inside = running_transformations()
    staging = [name for name in inside if name not in NOT_STAGING]
    return Stray((staging or inside or [UNKNOWN])[-1], users_line())


def check_repeated(frame: "Frame", what: str) -> None:
    """Before state is set, or a key is asked for: does it happen once?

    Args:
      frame: The running frame.
      what: What happens, for the error: "The state a/b was set".

    Raises:
      JaxUsageError: It happens in the body of a plain loop or branch.
    """
    if trace_state() == frame.trace:
        return
    repeating = [x for x in running_transformations() if x in CONTROL_FLOW]
    if repeating:
        raise LeakedTracerError(
            f"{what} inside {repeating[-1]} (at {users_line()}), which traces its "
            "function once and runs it any number of times, so the change would be "
            "lost, or the key be the same each time. You may want to use the Haiku "
            f"version: {advice_against(repeating[-1])}."
        )


def note_keys(frame: "Frame", key: Any) -> None:
    """After a key was split inside a plain transformation: the next one may be lost."""
    frame.strays.pop(KEYS, None)
    if isinstance(key, Tracer) and trace_state() != frame.trace:
        frame.strays[KEYS] = _made_here()


def check_keys(frame: "Frame") -> None:
    """Raises LeakedTracerError if the sequence of keys ended with a transformation."""
    stray = frame.strays.get(KEYS)
    if (
        stray
        and frame.keys is not None
        and trace_state() == frame.trace
        and is_dead(frame.keys.internal_state, stray.made_in)
    ):
        raise LeakedTracerError(
            f"A random key was asked for inside {stray.made_in} (at {stray.line}) "
            "before, so the next key depends on a value that ended there. You may want "
            f"to use the Haiku version: {advice_against(stray.made_in)}."
        )


def check_strays(frame: "Frame") -> None:
    """Raises LeakedTracerError if what is returned came from inside JAX's own."""
    if not frame.strays:
        return
    returned = [("state", frame.state)]
    if frame.initialising:
        returned = [("parameter", frame.params), ("state", frame.initial_state)]
    for kind, store in returned:
        for module_path, values in store.items():
            for name, value in values.items():
                path = f"{module_path}/{name}"
                stray = frame.strays.get(path)
                if stray and is_dead(value, stray.made_in):
                    raise _leaked(kind, path, stray)


def _leaked(kind: str, path: str, stray: Stray) -> LeakedTracerError:
    return LeakedTracerError(
        f"The {kind} {path} was {'made' if kind == 'parameter' else 'set'} inside "
        f"{stray.made_in} (at {stray.line}), and its value ends there: `init` and "
        f"`apply` can't return it. You may want to use the Haiku version: "
        f"{advice_against(stray.made_in)}."
    )


def is_dead(value: Any, made_in: str) -> bool:
    """Whether a value made in that transformation, which has ended, ended with it."""
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


def check_usage(frame: "Frame", what: str) -> None:
    """Under `config.check_jax_usage`, raises JaxUsageError inside a plain `jax.*`."""
    if config.settings().check_jax_usage and trace_state() != frame.trace:
        inside = (running_transformations() or [UNKNOWN])[0]
        raise JaxUsageError(
            f"`{what}` inside {inside}: its side effect may be lost or happen a "
            f"different number of times. Instead, {advice_against(inside)}; or switch "
            "this check off with `hk.experimental.check_jax_usage(False)`."
        )
