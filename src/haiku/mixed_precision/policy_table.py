"""The table of policies: of modules, patterns of their paths, and classes."""

from __future__ import annotations

import contextvars
from collections.abc import Mapping
from typing import Any, NamedTuple

from haiku._core import MethodContext, Module
from haiku._core.runs.frame import current_frame
from haiku._trees.patterns import Pattern, pattern
from haiku._trees.rules import Rules
from haiku.mixed_precision.policy import SupportsPolicy


class PolicyTable(NamedTuple):
    """The policies of classes and patterns, in this thread.

    Attributes:
      by_class: Policies by class. Classes go by name, so that one keeps its policy when
        its file is loaded again; those made inside functions share their name.
      by_path: Policies by pattern of module paths; the one set last is on top.
    """

    by_class: Mapping[Any, SupportsPolicy] = {}
    by_path: Rules[SupportsPolicy] = Rules()

    def get(self, key: Any) -> SupportsPolicy | None:
        """The policy that a class or a pattern was given."""
        if isinstance(key, Pattern):
            return dict(self.by_path).get(key)
        return self.by_class.get(key)

    def with_policy(self, key: Any, policy: SupportsPolicy) -> PolicyTable:
        """The table with a policy for a class, or for a pattern, on top."""
        rest = self.without(key)
        if isinstance(key, Pattern):
            return rest._replace(by_path=Rules([(key, policy)]) | rest.by_path)
        return rest._replace(by_class={**rest.by_class, key: policy})

    def without(self, key: Any) -> PolicyTable:
        """The table without the policy of a class or a pattern."""
        if isinstance(key, Pattern):
            return self._replace(by_path=self.by_path.without(key))
        return self._replace(
            by_class={k: v for k, v in self.by_class.items() if k != key}
        )

    def in_order_of(self, other: PolicyTable) -> PolicyTable:
        """The table with patterns that `other` has in its order, the rest on top."""
        known, order = dict(self.by_path), [rule.pattern for rule in other.by_path]
        below = Rules((p, known[p]) for p in order if p in known)
        return self._replace(by_path=self.by_path.without(*order) | below)


policies: contextvars.ContextVar[PolicyTable]
policies = contextvars.ContextVar("policies", default=PolicyTable())  # noqa: B039
# A module's own policy is kept in it, so that it is gone with its run.
OWN = "_mixed_precision_policy"


def key_of(function: str, cls: Any) -> Any:
    """The key of a policy: a module, a `Pattern`, or the name of a class."""
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
    """The policy of a module, of a pattern of its path, its class, or all modules."""
    fields = vars(context.module)
    own = fields.get(OWN)
    if own is not None:
        return own
    known = policies.get()
    if known.by_path and context.method_name != "__init__":
        path = current_frame("hk.mixed_precision").full_path(fields["module_name"])
        match = known.by_path.match(path)
        if match is not None:
            return match.value
    if not known.by_class:
        return None
    own_class = known.by_class.get(class_key(type(context.module)))
    return known.by_class.get(class_key(Module)) if own_class is None else own_class
