"""Checks of the arguments of `transform`, `init` and `apply`."""

import contextlib
from collections.abc import Mapping
from typing import Any

import jax

from haiku._core.errors.help_links import Explained
from haiku._core.keys.key_sequence import WAYS_TO_A_KEY, PRNGSequence, describe
from haiku._core.modules.module import Module
from haiku._packed import Packed, unpack


class NonEmptyStateError(Explained, ValueError):
    """A function that uses state was transformed without state."""

    page = "start/parameters_and_state"


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


INIT = (
    "Init must be called with an RNG as the first argument, "
    "`init(rng, *args, **kwargs)`"
)
APPLY = (
    "Apply must be called with an RNG as the second argument, "
    "`apply(params, rng, *args, **kwargs)`"
)
APPLY_WITH_STATE = (
    "Apply must be called with an RNG as the third argument, "
    "`apply(params, state, rng, *args, **kwargs)`"
)


def key_sequence(rng: Any, signature: str) -> PRNGSequence | None:
    """The keys that a run draws from; none where `rng` is None.

    Args:
      rng: A key, a seed, or None.
      signature: The call's signature, for the error: `INIT`, `APPLY`, ...

    Raises:
      ValueError: `rng` is something else.
    """
    if rng is None:
        return None
    if not isinstance(rng, tuple):  # A sequence's internal state isn't a key.
        with contextlib.suppress(ValueError):
            return PRNGSequence(rng)
    raise ValueError(
        f"{signature}, got {describe(rng)}. {WAYS_TO_A_KEY} Where the function needs "
        "no key pass None, or use `hk.without_apply_rng`."
    )


def check_values(what: str, values: Any) -> Mapping[str, Any]:
    """`values` if it looks like parameters or state; None counts as empty.

    Raises:
      TypeError: It doesn't.
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


def check_not_passed(kwargs: dict[str, Any], name: str) -> None:
    """Raises TypeError if `name`, one of Haiku's own arguments, is among `kwargs`."""
    if name in kwargs:
        raise TypeError(
            f"The keyword {name!r} is also the name of one of Haiku's own arguments. "
            "If the transformed function has such an argument, pass it by position; "
            "Haiku's own isn't an argument of this function."
        )


def check_empty(state: Mapping[str, Any]) -> None:
    """Raises NonEmptyStateError if there is state."""
    if state:
        raise NonEmptyStateError(
            "The function uses state "
            f"({', '.join(f'{m}/{n}' for m, named in state.items() for n in named)}), "
            "which hk.transform would lose: use hk.transform_with_state."
        )
