"""Which JAX transformation are we in, and what would it keep when it ends?

A plain `jax.*` transformation around side effects is accepted where it is sound.
What is not: a value from inside it that outlives it, as a parameter, a state or a key.
"""

import sys
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
from jax.core import Tracer

from haiku import config

if TYPE_CHECKING:
    from haiku._core.frame import Frame


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


def note_stray(frame: "Frame", path: str, value: Any) -> None:
    """Remembers that `value`, about to be stored, was traced deeper than its frame."""
    if any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(value)):
        frame.strays.pop(path, None)
        if trace_state() != frame.trace:
            inside = running_transformations()
            staging = [name for name in inside if name not in _NOT_STAGING]
            frame.strays[path] = (staging or inside or [_UNKNOWN])[-1]


def check_strays(frame: "Frame") -> None:
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


def check_usage(frame: "Frame", what: str) -> None:
    """Under `config.check_jax_usage`, raises JaxUsageError inside a plain `jax.*`."""
    if config.settings().check_jax_usage and trace_state() != frame.trace:
        inside = (running_transformations() or [_UNKNOWN])[0]
        raise JaxUsageError(
            f"`{what}` inside {inside}: its side effect may be lost or happen a "
            f"different number of times. Instead, {advice_against(inside)}; or switch "
            "this check off with `hk.experimental.check_jax_usage(False)`."
        )
