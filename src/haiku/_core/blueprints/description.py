"""Description: a function and its arguments as a value that compares and prints."""

import difflib
import inspect
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from haiku import _text, _treescope

MANY = inspect.Parameter.VAR_POSITIONAL
MANY_BY_NAME = inspect.Parameter.VAR_KEYWORD
_ANY = inspect.Signature(
    [inspect.Parameter("args", MANY), inspect.Parameter("kwargs", MANY_BY_NAME)]
)


class Description:
    """A class or function and the arguments to call it with.

    Attributes:
      module_class: The class or function.
      args: The positional arguments.
      kwargs: The keyword arguments.
    """

    __slots__ = ("__weakref__", "_hash", "args", "kwargs", "module_class")
    module_class: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    def __eq__(self, other: Any) -> bool:
        if not isinstance(other, Description):
            return NotImplemented
        return self is other or _form(self, {}) == _form(other, {})

    def __hash__(self) -> int:
        if self._hash is None:
            object.__setattr__(self, "_hash", hash(_form(self, {})))
        return self._hash  # type: ignore[return-value]

    def __repr__(self) -> str:
        return _Writer(self).written(self, 0)

    def __treescope_repr__(self, path: str | None, subtree_renderer: Any) -> Any:
        name = type(self).__name__
        node = _treescope.called(self.module_class, self.args, self.kwargs, name)
        return node.drawn(path, subtree_renderer)

    @property
    def arguments(self) -> dict[str, Any]:
        """All arguments by name, with defaults."""
        bound_arguments = bound(self)
        bound_arguments.apply_defaults()
        return dict(bound_arguments.arguments)


class Leaf:
    """An argument, equal to another of its type and value; arrays by content."""

    __slots__ = ("value",)

    def __init__(self, value: Any):
        self.value = value

    def __eq__(self, other: Any) -> bool:
        if not isinstance(other, Leaf):
            return NotImplemented
        a, b = self.value, other.value
        if a is b:
            return True
        if type(a) is not type(b) or isinstance(a, Tracer):
            return False
        if _is_array(a):
            return a.shape == b.shape and a.dtype == b.dtype and _same_numbers(a, b)
        try:
            return bool(a == b)
        except Exception:  # A class's own `==` that gives no answer.
            return False

    def __hash__(self) -> int:
        if _is_array(self.value):  # Its content may lie on a device.
            return hash((self.value.shape, str(self.value.dtype)))
        return hash((type(self.value), self.value))


def _is_array(x: Any) -> bool:
    return isinstance(x, (jax.Array, np.ndarray))


def _same_numbers(a: Any, b: Any) -> bool:
    if jnp.issubdtype(a.dtype, jax.dtypes.prng_key):
        a, b = jax.random.key_data(a), jax.random.key_data(b)
    return np.array_equal(np.asarray(a), np.asarray(b))


def mapped(f: Callable[[Any], Any], value: Any) -> Any:
    """Applies `f` to everything in nested lists, tuples and dicts."""
    kind = type(value)
    if kind is dict:
        return {key: mapped(f, item) for key, item in value.items()}
    if kind is list or kind is tuple:
        return kind(mapped(f, item) for item in value)
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return kind(*(mapped(f, item) for item in value))
    return f(value)


def bound(description: Description) -> inspect.BoundArguments:
    """The arguments by name.

    Raises:
      TypeError: The class or function doesn't take them.
    """
    function = description.module_class
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # Some builtins have none.
        signature = _ANY
    try:
        return signature.bind(*description.args, **description.kwargs)
    except TypeError as error:
        known = list(signature.parameters)
        unknown = [name for name in description.kwargs if name not in known]
        near = unknown and difflib.get_close_matches(unknown[0], known, n=1)
        meant = f" Did you mean {near[0]!r}?" if near else ""
        raise TypeError(
            f"{type(description).__name__}({name_of(function)}, ...): {error}.{meant} "
            f"{name_of(function)} takes {_without_types(signature)}."
        ) from None


def _without_types(signature: inspect.Signature) -> inspect.Signature:
    parameters = signature.parameters.values()
    plain = [p.replace(annotation=p.empty) for p in parameters]
    return inspect.Signature(plain)


def _form(value: Any, seen: dict[int, int]) -> Any:
    """A form that equal values share; a description that repeats is its number.

    `[a, a]` builds one module and `[a, b]` two, so they differ, equal as `a` and `b`
    may be.
    """
    if isinstance(value, Description):
        if id(value) in seen:
            return "again", seen[id(value)]
        seen[id(value)] = len(seen)
        return value.module_class, _form(value.arguments, seen)
    if isinstance(value, dict):
        return dict, tuple((k, _form(v, seen)) for k, v in value.items())
    if isinstance(value, (list, tuple)):
        return type(value), tuple(_form(item, seen) for item in value)
    return Leaf(value)


def name_of(f: Any) -> str:
    """A function's or class's own name; the text of anything else."""
    return getattr(f, "__name__", None) or repr(f)


def _parts(value: Any) -> tuple[str, list[tuple[str, Any]], str] | None:
    """The beginning, the parts and the end of a value's text; None without parts."""
    if isinstance(value, Description):
        inside: list[tuple[str, Any]] = [("", value.module_class)]
        inside += [("", item) for item in value.args]
        inside += [(f"{key}=", item) for key, item in value.kwargs.items()]
        return f"{type(value).__name__}(", inside, ")"
    if type(value) is dict:
        return "{", [(f"{key!r}: ", item) for key, item in value.items()], "}"
    if type(value) in (list, tuple):
        ends = "[]" if type(value) is list else "()"
        return ends[0], [("", item) for item in value], ends[1]
    return None


class _Writer:
    """Writes a description; one that repeats inside is written `#1`."""

    def __init__(self, description: Description):
        found: list[int] = []
        _collect(description, found)
        again = [key for key in dict.fromkeys(found) if found.count(key) > 1]
        self.numbers = {key: number for number, key in enumerate(again, 1)}
        self.done: set[int] = set()

    def written(self, value: Any, indent: int) -> str:
        """`value` in one line if it is short, else with one line per part."""
        parts = _parts(value)
        if parts is None:
            return _text.array_text(value) if _is_array(value) else name_of(value)
        number = self.numbers.get(id(value))
        if number and id(value) in self.done:
            return f"#{number}"
        begin, inside, end = parts
        done = set(self.done)
        mark = f"#{number} = " if number else ""
        line = ", ".join(key + self.written(item, -1000) for key, item in inside)
        if indent < 0 or indent + len(mark + begin + line) <= 80:
            comma = "," if type(value) is tuple and len(inside) == 1 else ""
            text = begin + line + comma + end
        else:
            self.done = done
            inner = " " * (indent + 4)
            rows = [
                f"{inner}{key}{self.written(item, indent + 4)},\n"
                for key, item in inside
            ]
            text = f"{begin}\n{''.join(rows)}{' ' * indent}{end}"
        if number:
            self.done.add(id(value))
        return mark + text


def _collect(value: Any, found: list[int]) -> None:
    parts = _parts(value)
    if isinstance(value, Description):
        found.append(id(value))
        if found.count(id(value)) > 1:
            return
    for _, item in parts[1] if parts else ():
        _collect(item, found)
