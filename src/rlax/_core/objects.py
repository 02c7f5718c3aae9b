"""`record`: a frozen dataclass that is a mapping and a pytree.

The states that ops return can be read as attributes or as mappings, and pass through
jit, vmap and scan.
"""

import collections.abc
import dataclasses
from collections.abc import Iterable
from typing import Any, Self, dataclass_transform

import jax

from rlax._core.types import ArrayTree


class Record(collections.abc.Mapping):
    """The methods of every record."""

    @classmethod
    def from_tuple(cls, args: tuple[ArrayTree, ...]) -> Self:
        """A record of these values, in the order of its fields."""
        return cls(**dict(zip(_names(cls), args, strict=True)))

    def to_tuple(self) -> tuple[ArrayTree, ...]:
        """The values, in the order of the fields."""
        return tuple(self.values())

    def replace(self, **kwargs: ArrayTree) -> Self:
        """A copy with some fields changed.

        Raises:
          ValueError: If a name isn't a field.
        """
        return type(self)(**{**self, **kwargs})

    def __getitem__(self, name: str) -> ArrayTree:
        if name not in _names(type(self)):
            raise KeyError(name)
        return getattr(self, name)

    def __iter__(self):
        return iter(_names(type(self)))

    def __len__(self) -> int:
        return len(_names(type(self)))


def _names(cls: type) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(cls))


@dataclass_transform(frozen_default=True, kw_only_default=True)
def record(cls: type) -> Any:
    """Class decorator: fields by keyword, or from one mapping; frozen; a pytree."""
    cls = dataclasses.dataclass(frozen=True)(cls)
    fill = cls.__init__
    names = _names(cls)

    def __init__(self, *args: ArrayTree, **kwargs: ArrayTree) -> None:
        if len(args) == 1 and isinstance(args[0], collections.abc.Mapping):
            kwargs = {**args[0], **kwargs}
        elif args:
            raise ValueError(
                f"{cls.__name__} takes its fields by keyword, as a dict does: write "
                f"{cls.__name__}({', '.join(f'{n}=...' for n in names)})."
            )
        unknown = set(kwargs) - set(names)
        if unknown:
            raise ValueError(
                f"{cls.__name__} has no field {sorted(unknown)}; it has {list(names)}."
            )
        fill(self, **kwargs)

    __init__.__wrapped__ = fill  # type: ignore[attr-defined]  # for inspect.signature
    cls.__init__ = __init__
    names = tuple(sorted(names))  # leaves in sorted order, as a dict has them
    jax.tree_util.register_pytree_with_keys(
        cls,
        lambda x: (
            tuple((jax.tree_util.GetAttrKey(n), getattr(x, n)) for n in names),
            None,
        ),
        lambda _, children: _restore(cls, names, children),
    )
    return cls


def _restore(
    cls: type, names: tuple[str, ...], children: Iterable[ArrayTree]
) -> ArrayTree:
    # Without __init__: children may be tracers, None or any placeholder.
    new = object.__new__(cls)
    for name, child in zip(names, children):
        object.__setattr__(new, name, child)
    return new
