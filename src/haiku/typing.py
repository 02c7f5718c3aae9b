"""Names for what goes in and out, for annotations and `isinstance`."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import jax

__all__ = [
    "Initializer",
    "ModuleProtocol",
    "MutableParams",
    "MutableState",
    "PRNGKey",
    "Params",
    "State",
    "StrictProtocol",
    "SupportsCall",
]

Params = Mapping[str, Mapping[str, Any]]
State = Mapping[str, Mapping[str, Any]]
MutableParams = dict[str, dict[str, Any]]
MutableState = dict[str, dict[str, Any]]
PRNGKey = jax.Array
Initializer = Callable[[Sequence[int], Any], jax.Array]


class StrictProtocol(Protocol):
    """A protocol that only protocols may extend: it has no behaviour to inherit.

    Example:
      >>> from typing import Protocol, runtime_checkable
      >>> @runtime_checkable
      ... class HasSize(hk.typing.StrictProtocol, Protocol):
      ...     output_size: int
      >>> hk.transform(lambda: isinstance(hk.Linear(3), HasSize)).apply({}, None)
      True
    """

    def __init_subclass__(cls, *args: Any, **kwargs: Any) -> None:
        super().__init_subclass__(*args, **kwargs)
        if cls.__dict__.get("_is_protocol", False):
            return
        parent = cls.__bases__[0].__name__
        raise TypeError(
            f"{cls.__name__} is a Protocol's subclass, and {parent} should not be "
            "subclassed: it is there for `isinstance` and annotations. For a protocol "
            f"of your own write `class {cls.__name__}({parent}, Protocol)`; for a "
            "module `hk.Module`."
        )


@runtime_checkable
class ModuleProtocol(StrictProtocol, Protocol):
    """What every module has.

    Example:
      >>> f = lambda: isinstance(hk.Linear(1), hk.ModuleProtocol)
      >>> hk.transform(f).apply({}, None)
      True
    """

    name: str
    module_name: str

    def params_dict(self) -> Mapping[str, jax.Array]:
        """Parameters of this module and those inside it, by path."""
        ...

    def state_dict(self) -> Mapping[str, jax.Array]:
        """State of this module and those inside it, by path."""
        ...


@runtime_checkable
class SupportsCall(ModuleProtocol, Protocol):
    """A module that can be called.

    Example:
      >>> f = lambda: isinstance(hk.Linear(1), hk.SupportsCall)
      >>> hk.transform(f).apply({}, None)
      True
    """

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Runs the module."""
        ...


def __dir__() -> list[str]:
    return __all__
