"""Who has which policy: modules, patterns of their paths, and classes."""

from __future__ import annotations

import contextvars
from collections.abc import Mapping
from typing import Any

from haiku._core import MethodContext, Module
from haiku._core.runs.frame import current_frame
from haiku._core.sharing.parameter_replacement import full_path
from haiku._patterns import Pattern, pattern
from haiku.mixed_precision.policy import SupportsPolicy

# Which class or pattern has which policy, in this thread. Classes by name, so that one
# stays what it is when its file is loaded again; those made inside functions share
# their name.
policies: contextvars.ContextVar[Mapping[Any, SupportsPolicy]]
policies = contextvars.ContextVar("policies", default={})  # noqa: B039 - never changed
# A module's own is kept with it: it is gone with its run.
OWN = "_mixed_precision_policy"


def without(key: Any) -> dict[Any, SupportsPolicy]:
    """The policies of classes and patterns but one."""
    return {k: v for k, v in policies.get().items() if k != key}


def key_of(function: str, cls: Any) -> Any:
    """What keeps a policy: a module itself, a `Pattern`, or a class's name."""
    if isinstance(cls, str):
        return pattern(cls)
    if isinstance(cls, Module):
        return cls
    if not (isinstance(cls, type) and issubclass(cls, Module)):
        raise TypeError(
            f"hk.mixed_precision.{function} takes a subclass of hk.Module, such as "
            "hk.Linear, a pattern of module paths, such as 'encoder/**', or a module; "
            f"got {cls!r}."
        )
    return class_key(cls)


def class_key(cls: type[Module]) -> Any:
    """A class's name, by which it keeps its policy; itself, if made in a function."""
    if "<locals>" in cls.__qualname__:
        return cls
    return cls.__module__, cls.__qualname__


def own_policy(context: MethodContext) -> Any | None:
    """The policy of a module, a pattern of its path, its class, or of all modules."""
    fields = vars(context.module)
    own = fields.get(OWN)
    if own is not None:
        return own
    known = policies.get()
    if not known:
        return None
    patterns = [key for key in known if isinstance(key, Pattern)]
    if patterns and context.method_name != "__init__":
        path = full_path(current_frame("hk.mixed_precision"), fields["module_name"])
        for key in reversed(patterns):
            if key.match(path):
                return known[key]
    own_class = known.get(class_key(type(context.module)))
    return known.get(class_key(Module)) if own_class is None else own_class
