"""Types of parameters, state, keys and modules, for annotations and `isinstance`."""

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
    "SupportsCall",
]

Params = Mapping[str, Mapping[str, Any]]
State = Mapping[str, Mapping[str, Any]]
MutableParams = dict[str, dict[str, Any]]
MutableState = dict[str, dict[str, Any]]
PRNGKey = jax.Array
Initializer = Callable[[Sequence[int], Any], jax.Array]


class _StrictProtocol(Protocol):
    """A protocol that only protocols may extend, since it has nothing to inherit."""

    def __init_subclass__(cls, *args: Any, **kwargs: Any) -> None:
        super().__init_subclass__(*args, **kwargs)
        if cls.__dict__.get("_is_protocol", False):
            return
        parent = cls.__bases__[0].__name__
        raise TypeError(
            f"{cls.__name__} extends a Protocol, but {parent} should not be "
            "subclassed: it is for `isinstance` and annotations. For another protocol "
            f"write `class {cls.__name__}({parent}, Protocol)`; for a module extend "
            "`hk.Module`."
        )


@runtime_checkable
class ModuleProtocol(_StrictProtocol, Protocol):
    """The attributes and methods that every module has.

    Example:
      >>> f = lambda: isinstance(hk.Linear(1), hk.ModuleProtocol)
      >>> hk.transform(f).apply({}, None)
      True
    """

    name: str
    module_name: str

    def params_dict(self) -> Mapping[str, jax.Array]:
        """Returns the parameters of this module and its submodules, by path."""
        ...

    def state_dict(self) -> Mapping[str, jax.Array]:
        """Returns the state of this module and its submodules, by path."""
        ...


@runtime_checkable
class SupportsCall(ModuleProtocol, Protocol):
    """A module with a `__call__` method.

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
