"""The named scopes of equations: which modules, and which calls, they belong to."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import jax

from haiku.views.jaxprs import without_kernels

__all__ = ["Group", "call_scope", "calls_around", "grouped", "scopes"]

_CALL = "haiku_call_"
_NUMBER = re.compile(_CALL + r"(\d+)")


def call_scope(number: int) -> Any:
    """A `with` block whose equations belong to the call of that number."""
    return jax.named_scope(f"{_CALL}{number}")


def calls_around(eqn: Any) -> list[int]:
    """The numbers of the calls that an equation belongs to, the outermost first."""
    return [int(n) for n in _NUMBER.findall(str(eqn.source_info.name_stack))]


def scopes(eqn: Any) -> list[str]:
    """The named scopes around an equation, outermost first: `["mlp", "linear_0"]`."""
    text = str(eqn.source_info.name_stack)
    # A slash inside of parentheses is part of a name: `jvp(a/b)`.
    names, depth, start = [], 0, 0
    for i, letter in enumerate(text + "/"):
        depth += (letter == "(") - (letter == ")")
        if letter == "/" and depth <= 0:
            names.append(text[start:i])
            start = i + 1
    return [n for n in names if n]


@dataclasses.dataclass
class Group:
    """Equations in a row that share a named scope.

    Attributes:
      name: The scope's name.
      path: The names of the scopes around it, and its own, outermost first.
      items: Equations, and groups of those in a further scope.
    """

    name: str
    path: tuple[str, ...]
    items: list[Any] = dataclasses.field(default_factory=list)


def grouped(jaxpr: Any) -> list[Any]:
    """A program's equations, with those in named scopes put into `Group`s."""
    root = Group("", ())
    open_groups = [root]  # Outermost first.
    for eqn in without_kernels(jaxpr.eqns):
        path = tuple(scopes(eqn))
        # Close the groups that this equation isn't in, then open those it is in.
        while open_groups[-1].path != path[: len(open_groups[-1].path)]:
            open_groups.pop()
        for depth in range(len(open_groups[-1].path), len(path)):
            group = Group(path[depth], path[: depth + 1])
            open_groups[-1].items.append(group)
            open_groups.append(group)
        open_groups[-1].items.append(eqn)
    return root.items
