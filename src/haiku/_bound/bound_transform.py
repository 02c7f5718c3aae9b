"""Pair: a bound result of `hk.transform` or its kin, whose functions are called."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any, cast

import jax

from haiku._bound.bound_net import Names, Outcome, differing, entered
from haiku._core import (
    Blueprint,
    MultiTransformed,
    MultiTransformedWithState,
    Transformed,
    TransformedWithState,
    original_function,
)
from haiku._core.blueprints.description import name_of

PAIRS = (
    Transformed,
    TransformedWithState,
    MultiTransformed,
    MultiTransformedWithState,
)


class Pair:
    """A result of `hk.transform` or one of its kin; its functions are called.

    Args:
      pair: The result.
    """

    def __init__(self, pair: Any):
        self.pair = self.function = pair
        self.has_state = isinstance(
            pair, (TransformedWithState, MultiTransformedWithState)
        )

    def _leaves(self) -> tuple[Any, ...]:
        leaves, treedef = jax.tree.flatten(self.pair)
        return type(self.pair), treedef, *leaves

    def __eq__(self, other: Any) -> bool:
        return type(other) is Pair and self._leaves() == other._leaves()

    def __hash__(self) -> int:
        return hash(self._leaves())

    def __repr__(self) -> str:
        original = original_function(self.pair.init)
        inside = (
            repr(original) if isinstance(original, Blueprint) else name_of(original)
        )
        return f"{type(self.pair).__name__}({inside})"

    def init(
        self,
        rng: Any,
        use: Callable[..., Any] | None,
        args: Any,
        kwargs: Any,
        held: Any,
    ) -> tuple[Any, Any]:
        """Parameters and state, made by its `init`."""
        if use is not None:
            raise TypeError(
                f"`init_with` is for blueprints and functions; {_kind(self.pair)} has "
                "its own `init`: write `hk.bind(pair).init(key, x)`."
            )
        with entered(held):
            made = self.pair.init(rng, *args, **kwargs)
        return made if self.has_state else (made, {})

    def call(self, params, state, held, rng, names: Names, args, kwargs) -> Outcome:
        """Calls the `apply` that `names` lead to."""
        apply = self._reached(names)
        if not callable(apply):
            raise TypeError(
                f"A bound {_kind(self.pair)} has several functions, {_known(apply)}: "
                "call one of them, `model.encode(x)` or `model[0](x)`."
            )
        before = (params, state) if self.has_state else (params,)
        if _takes_rng(apply, len(before)):
            before = (*before, rng)
        elif rng is not None:
            raise TypeError(
                "This model takes no random key (`hk.without_apply_rng`): leave out "
                "`rng_key`, or bind the pair with its keys."
            )
        with entered(held):
            out = apply(*before, *args, **kwargs)
        if not self.has_state:
            return Outcome(out, state, [])
        value, after = cast(tuple[Any, Any], out)
        return Outcome(value, after, differing(state, after))

    def has_method(self, names: Names) -> bool:
        """True; AttributeError if `names` lead nowhere."""
        self._reached(names)
        return True

    def _reached(self, names: Names) -> Any:
        found = self.pair.apply
        for name in names:
            try:
                found = (
                    getattr(found, str(name))
                    if hasattr(found, "_fields") and isinstance(name, str)
                    else found[name]
                )
            except (AttributeError, KeyError, IndexError, TypeError):
                raise AttributeError(
                    f"This {_kind(self.pair)} has no function {name!r}: it has "
                    f"{_known(found)}."
                ) from None
        return found


def _kind(pair: Any) -> str:
    return f"hk.{type(pair).__name__}"


def _known(functions: Any) -> str:
    if hasattr(functions, "_fields"):
        return ", ".join(functions._fields)
    if isinstance(functions, Mapping):
        return ", ".join(map(str, functions))
    return f"{len(functions)}" if isinstance(functions, (tuple, list)) else "one"


def _takes_rng(apply: Callable[..., Any], place: int) -> bool:
    """Whether `apply` takes a key: all but those of `hk.without_apply_rng` do."""
    try:
        names = list(inspect.signature(apply).parameters)
    except (TypeError, ValueError):
        return True
    return names[place : place + 1] == ["rng"] or names[:1] == ["args"]
