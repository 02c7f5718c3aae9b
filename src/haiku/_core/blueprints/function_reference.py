"""Where a function is found: wrapped ones, `jax.nn.relu` say, don't pickle."""

import dataclasses
import importlib
import sys
from typing import Any


@dataclasses.dataclass(frozen=True)
class Reference:
    """Stands for what a module has under a name.

    Attributes:
      module: The module's name.
      name: The name in it.
    """

    module: str
    name: str


def reference(value: Any) -> Any:
    """A `Reference` to a function or class that can be found again, or the value."""
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
