"""References to functions: wrapped ones, such as `jax.nn.relu`, don't pickle."""

import dataclasses
import importlib
import sys
from typing import Any


@dataclasses.dataclass(frozen=True)
class Reference:
    """Stands for a function or class by its module and name.

    Attributes:
      module: The module's name.
      name: The name in it.
    """

    module: str
    name: str


def reference(value: Any) -> Any:
    """A `Reference` to a function or class that can be imported, else the value."""
    if callable(value):
        module, name = (getattr(value, a, "") for a in ("__module__", "__qualname__"))
        if getattr(sys.modules.get(module), name, None) is value:
            return Reference(module, name)
    return value


def referred(value: Any) -> Any:
    """The inverse of `reference`."""
    if isinstance(value, Reference):
        return getattr(importlib.import_module(value.module), value.name)
    return value
