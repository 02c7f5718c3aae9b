"""`Adaptation`: how weights that a pattern finds are stored and read."""

from __future__ import annotations

import contextlib
import dataclasses
import numbers
from collections.abc import Callable
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np

from haiku._core import (
    DO_NOT_STORE,
    GetterContext,
    Hooks,
    current_name,
    get_parameter,
    get_params,
    next_rng_key,
)
from haiku._core.runs.frame import frames
from haiku._core.runs.stack import Stack
from haiku._core.variables.hooks import param_getters
from haiku._text import array_text
from haiku._trees.patterns import nearest, pattern

Arrays = dict[str, Any]
Shape = tuple[int, ...]

# In this order a weight passes adaptations; it has at most one of each kind.
STORED, FROZEN, UPDATED = "quantised", "frozen", "updated"
KINDS = (STORED, FROZEN, UPDATED)

_LARGEST = float(np.finfo(np.float32).max)
# Names of parameters that are vectors in every layer, also where a stack adds an axis.
_VECTORS = ("b", "bias", "scale", "offset", "sinks", "decay", "time_step_bias", "d")


@dataclasses.dataclass(frozen=True, repr=False)
class Adaptation:
    """Weights that are stored and read in another way, by pattern.

    Subclasses say which parameters they keep beside a weight (`_shapes`), how these and
    the stored weight are made (`_made`), and how it is read (`_read`). A bound model
    holds them as `Held`; in a transformed function they are context managers.

    Attributes:
      pattern: Which parameters, by their path.
    """

    pattern: str
    kind: ClassVar[str]

    def __post_init__(self):
        pattern(self.pattern)

    # ---- What subclasses say ---------------------------------------------------------

    def _check(self, where: str, w: Any) -> None:
        """Raises ValueError unless a weight, as it is read so far, can be adapted.

        Args:
          where: Its path.
          w: The weight, or its shape and dtype.
        """

    def _shapes(self, shape: Shape, name: str) -> dict[str, Shape]:
        """Names and shapes of the parameters beside a weight of a shape and name."""
        return {}

    def _made(self, w: Any, name: str, key: Callable[[], Any]) -> tuple[Any, Arrays]:
        """The weight as it is stored, and the parameters beside it.

        Args:
          w: The weight as it is read so far.
          name: Its name.
          key: Returns a random key.
        """
        return w, {}

    def _read(self, w: Any, own: Arrays, name: str, key: Any = None) -> Any:
        """The weight as its module gets it.

        Args:
          w: The weight as it is stored, or as adaptations before this one read it.
          own: The parameters beside it.
          name: Its name.
          key: A random key, in a call that has keys.
        """
        raise NotImplementedError

    # ---- In a run --------------------------------------------------------------------

    def _finds(self, path: str) -> bool:
        """Whether the pattern finds a path."""
        return pattern(self.pattern).match(path) is not None

    def _is_of(self, context: GetterContext) -> bool:
        """Whether it adapts the parameter of a hook's call."""
        # Parameters that adaptations keep are theirs, not the net's.
        return not isinstance(context.original_init, Own) and self._finds(path(context))

    def _creator(self, next_creator, shape, dtype, init, context: GetterContext):
        """Makes a weight, as it is stored."""
        return next_creator(shape, dtype, init)

    def _getter(self, next_getter, value, context: GetterContext):
        """Reads a weight, before hooks inside get it."""
        if value is DO_NOT_STORE or not self._is_of(context):
            return next_getter(value)
        own = self._own(value, context)
        return next_getter(self._read(value, own, context.name))

    def _own(self, w: Any, context: GetterContext) -> Arrays:
        """The parameters beside a weight, made of it at `init`."""
        name = context.name
        _check_once(self, path(context))
        shapes = self._shapes(w.shape, name)
        if current_name() != context.module_name:
            return self._of_other_module(context, shapes)
        made = _Once(lambda: self._made(w, name, next_rng_key)[1])
        return {
            own: get_parameter(own, shape, jnp.float32, init=Own(made, own))
            for own, shape in shapes.items()
        }

    def _of_other_module(self, context: GetterContext, names: Any) -> Arrays:
        """Those of a weight that another module uses in place of its own."""
        there = get_params().get(context.module_name, {})
        if not all(name in there for name in names):
            raise ValueError(
                f"{self!r}: {current_name()} uses {context.full_name}, which has no "
                f"{' and '.join(names)} yet. Call {context.module_name} first, which "
                "makes them."
            )
        return {name: there[name] for name in names}

    def __enter__(self):
        held = Block(self) if frames.get() else Held(self)
        opened = contextlib.ExitStack()
        opened.enter_context(held)
        _opened.set((*_opened.get(), (opened, held)))
        return self

    def __exit__(self, *error: Any) -> None:
        *others, (opened, held) = _opened.get()
        _opened.set(tuple(others))
        opened.close()
        if isinstance(held, Block) and not any(error):
            held.check_found()

    def __repr__(self) -> str:
        shown = [
            repr(value) if field.name == "pattern" else f"{field.name}={value!r}"
            for field in dataclasses.fields(self)
            if (value := getattr(self, field.name)) != field.default
        ]
        return f"{type(self).__name__}({', '.join(shown)})"


class Held(Hooks):
    """The hooks of an adaptation, as a bound model holds them.

    Args:
      adaptation: The adaptation.
    """

    def __init__(self, adaptation: Adaptation):
        self.adaptation = adaptation

    def creator(self, next_creator, shape, dtype, init, context):
        """As the adaptation's."""
        return self.adaptation._creator(next_creator, shape, dtype, init, context)

    def getter(self, next_getter, value, context):
        """As the adaptation's."""
        return self.adaptation._getter(next_getter, value, context)

    def __repr__(self) -> str:
        return repr(self.adaptation)


class Block(Held):
    """A `with` block in a transformed function, and the parameters that it has seen."""

    def __init__(self, adaptation: Adaptation):
        super().__init__(adaptation)
        self.seen: dict[str, None] = {}

    def getter(self, next_getter, value, context):
        """As the adaptation's; notes the parameter."""
        if not isinstance(context.original_init, Own):
            self.seen[path(context)] = None
        return super().getter(next_getter, value, context)

    def check_found(self) -> None:
        """Raises ValueError if the pattern found nothing in the block."""
        if not any(map(self.adaptation._finds, self.seen)):
            near = nearest(self.adaptation.pattern, self.seen)
            have = f"it used {near}" if near else "it used none"
            raise ValueError(
                f"The block of hk.adapt.{self.adaptation!r} used no parameter like "
                f"{self.adaptation.pattern!r}: {have}. Paths count from the root, as "
                "in the parameters that `init` returns."
            )


_opened: Stack[tuple[contextlib.ExitStack, Held]] = Stack("adaptations")


class _Once:
    """A function's arrays, made when the first of them is needed."""

    def __init__(self, make: Callable[[], Arrays]):
        self._make, self._made = make, None

    def __getitem__(self, name: str) -> Any:
        if self._made is None:
            self._made = self._make()
        return self._made[name]


class Own:
    """The initialiser of a parameter that an adaptation keeps beside a weight.

    Args:
      made: Holds its array.
      name: Its name.
    """

    def __init__(self, made: Any, name: str):
        self._made, self._name = made, name

    def __call__(self, shape: Any, dtype: Any) -> Any:
        """The array."""
        return self._made[self._name]


def path(context: GetterContext) -> str:
    """The path of the parameter of a hook's call."""
    return (context.lifted_prefix_name or "") + context.full_name


# ---- Checks --------------------------------------------------------------------------


def check_matrix(adaptation: Adaptation, where: str, w: Any) -> None:
    """Raises ValueError unless a weight is `[..., in, out]`, of floats."""
    name = where.rpartition("/")[2]
    is_vector = len(w.shape) < 2 or name in _VECTORS or name.endswith("_b")
    if is_vector or not jnp.issubdtype(w.dtype, jnp.floating):
        raise ValueError(
            f"hk.adapt.{adaptation!r} finds {where}, {array_text(w)}, and that isn't a "
            "matrix [..., in, out] of floats. Choose matrices, '**/w' for instance."
        )


def _check_once(adaptation: Adaptation, where: str) -> None:
    """Raises ValueError if two of a kind are open that find a weight."""
    held = (getattr(getter, "__self__", None) for getter in param_getters.get())
    found = [x.adaptation for x in held if isinstance(x, Held)]
    same = [x for x in found if x.kind == adaptation.kind and x._finds(where)]
    if len(same) > 1:
        raise ValueError(twice(where, same[0], same[1]))


def twice(where: str, one: Adaptation, other: Adaptation) -> str:
    """The message for a weight that two adaptations of a kind find."""
    return (
        f"hk.adapt: {where} would be {one.kind} twice, by {one!r} and by {other!r}. "
        "Choose other weights, or merge the model before the second."
    )


def is_count(x: Any) -> bool:
    """Whether `x` is an integer of at least 1."""
    whole = isinstance(x, numbers.Integral) and not isinstance(x, bool)
    return whole and int(x) >= 1


def is_finite(x: Any) -> bool:
    """Whether `x` is a finite number, also in single precision."""
    real = isinstance(x, numbers.Real) and not isinstance(x, bool)
    size: Any = abs(x) if real else None
    return real and bool(size <= _LARGEST)
