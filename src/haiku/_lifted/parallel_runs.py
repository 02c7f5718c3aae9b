"""Parallel runs: a function over examples or devices, and what each run has alone.

`vmap` and `shard_map` share how one run goes, with its own random key or with that of
all, and which parameters and state it shares with the others.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from haiku._core.runs.frame import Contents, Frame, Values, changes
from haiku._lifted.pure import pure
from haiku._text import array_text
from haiku._trees.rules import Rules


def split_keys(frame: Frame, number: int) -> jax.Array | None:
    """A key for each run, `[number, ...]`; None without keys."""
    return None if frame.keys is None else frame.keys.take_array(number)


class Placement(NamedTuple):
    """Where the values of one kind lie: an axis or a `PartitionSpec`, by path.

    Attributes:
      rules: Places by path. Without a rule, or with None, all runs share a value.
      new_ones: Whether to share values that were used outside, whatever the rules say.
    """

    rules: Rules[Any]
    new_ones: bool = False


SHARED = Placement(Rules())


def placement(frame: Frame, given: Any) -> Placement:
    """A placement as users give it: None, one place for what is new, or by path."""
    if given is None:
        return SHARED
    if isinstance(given, Mapping):
        return Placement(Rules((frame.full_pattern(p), x) for p, x in given.items()))
    return Placement(Rules({"**": given}), new_ones=True)


class Layout(NamedTuple):
    """Which parameters and state the runs share, and where the others lie.

    Attributes:
      params: Where parameters lie.
      state: Where state lies.
    """

    params: Placement
    state: Placement

    @property
    def places(self) -> tuple[Any, ...]:
        """The places of what isn't shared, each once."""
        rules = (*self.params.rules, *self.state.rules)
        return tuple(dict.fromkeys(r.value for r in rules if r.value is not None))

    def split(
        self,
        frame: Frame,
        contents: Contents,
        fits: Callable[[Any, Any], bool] = lambda value, place: True,
    ) -> tuple[Contents, tuple[Contents, ...]]:
        """Splits contents into shared values, with the keys, and those at `places`.

        Args:
          frame: The running frame.
          contents: The contents to split.
          fits: Whether a value can lie at a place.

        Raises:
          ValueError: A value can't lie at the place that its path is given.
        """
        places = self.places
        if not places:
            return contents, ()
        parts = [({}, {}, {}) for _ in (None, *places)]

        def add(kind: int, values: Values, placed: Placement, *mark: str) -> None:
            for path, named in values.items():
                for name, value in named.items():
                    full = frame.full_path(f"{path}/{name}")
                    hit = placed.rules.match(full)
                    place = hit and hit.value
                    touched = (path, name, *mark) in frame.usage.touched
                    if placed.new_ones and touched:
                        place = None
                    if place is not None and not fits(value, place):
                        if not placed.new_ones:
                            raise ValueError(_unfitting(full, value, place))
                        place = None
                    index = 0 if place is None else 1 + places.index(place)
                    parts[index][kind].setdefault(path, {})[name] = value

        add(0, contents.params, self.params)
        add(1, contents.state, self.state, "state")
        add(2, contents.initial_state, self.state, "state")
        shared, *own = (Contents(*part, keys=None) for part in parts)
        return shared._replace(keys=contents.keys), tuple(own)

    def check_found(self, frame: Frame, what: str) -> None:
        """Raises ValueError if a pattern of parameters finds none of the run."""
        if not self.params.new_ones and self.params.rules:
            paths = (
                frame.full_path(f"{path}/{name}")
                for path, named in frame.params.items()
                for name in named
            )
            self.params.rules.find(what, paths)


def run_one(
    f: Callable[..., Any],
    frame: Frame,
    layout: Layout,
    shared: Contents,
    own: tuple[Contents, ...],
    key: Any,
    args: Any,
    kwargs: Any,
) -> tuple[Any, Contents, tuple[Contents, ...]]:
    """One run's output, and what it changes of the shared values and of its own.

    Args:
      f: A function that reads and writes the running frame.
      frame: The running frame.
      layout: Which values the runs share.
      shared: The shared values.
      own: This run's own values, one part for each of the layout's places.
      key: This run's own key; None draws from the keys of all.
      args: The arguments of `f`.
      kwargs: Its keyword arguments.
    """
    start = join(shared, own)
    if key is not None:
        start = start._replace(keys=(key, ()))
    apart = contextlib.nullcontext()
    if layout.places:
        apart = frame.usage.forgetting_touched()
    with apart:
        # Free names would be those of modules whose values have other shapes.
        out, after = pure(f, keep_names=bool(layout.places))(start, *args, **kwargs)
    changed = changes(start, after)
    if key is not None:
        changed = changed._replace(keys=None)
    return out, *layout.split(frame, changed)


def _unfitting(path: str, value: Any, place: Any) -> str:
    texts = ", ".join(array_text(x) for x in jax.tree.leaves(value))
    return (
        f"{path} is {texts}, which can't lie along {place!r} of this call. If it was "
        "made or used outside of the call, leave it out of the mapping to share it."
    )


def join(shared: Contents, parts: tuple[Contents, ...]) -> Contents:
    """The inverse of `Layout.split`."""
    for part in parts:
        shared = Contents(
            _merged(shared.params, part.params),
            _merged(shared.state, part.state),
            _merged(shared.initial_state, part.initial_state),
            shared.keys,
        )
    return shared


def _merged(a: Any, b: Any) -> Any:
    return {**a, **{path: {**a.get(path, {}), **b[path]} for path in b}} if b else a


def has_size(value: Any, axis: int, size: Any) -> bool:
    """Whether each array of a value has `size` along an axis."""
    shapes = [jnp.shape(x) for x in jax.tree.leaves(value)]
    return all(-len(s) <= axis < len(s) and s[axis] == size for s in shapes)
