"""Scope: names of modules, made unique on the module path."""

import re
from collections.abc import Collection
from typing import Any

_BOUNDARY = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=.)(?=[A-Z][a-z])")
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_NUMBERED = re.compile(r"(.*)_(0|[1-9][0-9]*)")


def snake_case(name: str) -> str:
    """`MyNet2D` as `my_net2_d`."""
    return _BOUNDARY.sub("_", name).lower()


class ForcedName(str):
    """A module path that is used as it is, wherever the module is built."""


def force_name(name: str) -> str:
    """Makes a module take exactly this path, and so share the parameters there.

    Args:
      name: A full path, such as another module's `module_name`.

    Returns:
      The name for a module's `name` argument or `hk.name_scope`.

    Example:
      >>> def f(x):
      ...     first = hk.Linear(3, name="first")
      ...     again = hk.Linear(3, name=hk.force_name(first.module_name))
      ...     return first(x) + again(x)  # with the same parameters
      >>> params = hk.transform(f).init(jax.random.key(0), jnp.ones([1, 2]))
    """
    return ForcedName(name)


def check_name(name: str) -> None:
    """Raises ValueError, or TypeError, unless `name` can be a module's name."""
    if not isinstance(name, str):
        raise TypeError(
            f"Expected a string name for the module, got: {name!r}. If it is an input, "
            "build the module first and call it then: `MyModule()(x)`."
        )
    parts = name.split("/") if isinstance(name, ForcedName) else [name]
    for part in parts:
        # The paths of modules hold `~` and `~method` between the names.
        if isinstance(name, ForcedName) and part.startswith("~"):
            part = part[1:] or "_"
        if not _IDENTIFIER.fullmatch(part):
            advice = (
                " To nest it, build it inside `with hk.name_scope(...)`; to take a "
                "whole path, write `hk.force_name(path)`."
                if "/" in name
                else ""
            )
            raise ValueError(
                f"{str(name)!r} is not a valid module name: it must be a Python "
                f"identifier of ASCII letters, digits and underscores.{advice}"
            )


class Scope:
    """One entry on the module path: a method of a module while it runs.

    Attributes:
      module: The module, or None at the root.
      method: The method's name.
      next_number: The number that the next module of each name gets.
      taken: The names in use.
    """

    __slots__ = ("method", "module", "next_number", "taken")

    def __init__(self, module: Any, method: str):
        self.module = module
        self.method = method
        self.next_number: dict[str, int] | None = None
        self.taken: set[str] = _NOTHING

    @property
    def path(self) -> str:
        """The path under which this scope's module stores parameters."""
        if self.module is None:
            return "~"
        try:
            return self.module.module_name
        except AttributeError:
            raise ValueError(
                "The super constructor must be called before you create parameters or "
                "submodules: let `super().__init__(name=name)` be the first line of "
                f"`{type(self.module).__name__}.__init__`."
            ) from None

    @property
    def prefix(self) -> str:
        """The prefix of the paths of modules that are made here."""
        if self.module is None:
            return ""
        path, method = self.path, self.method
        if method == "__call__":
            return f"{path}/"
        return f"{path}/~/" if method == "__init__" else f"{path}/~{method}/"

    def claim(self, name: str, held: Collection[str] = ()) -> str:
        """Reserves `name`, numbered if it is in use; returns the full path.

        Args:
          name: A valid name. `name_3` is used as it is; after it, `name` gets number 4.
          held: Full paths that are in use besides.

        Raises:
          ValueError: A name that ends in its number is in use.
        """
        if self.next_number is None:
            self.next_number, self.taken = {}, set()
        prefix = self.prefix
        forced = isinstance(name, ForcedName)
        if forced:
            if not name.startswith(prefix) or "/" in name[len(prefix) :]:
                return str(name)
            name = str(name)[len(prefix) :]
        numbered = _NUMBERED.fullmatch(name)
        if numbered:
            base, number = numbered[1], int(numbered[2])
            if not forced and (name in self.taken or prefix + name in held):
                raise ValueError(
                    f"Module name {prefix + name!r} is not unique: a module of that "
                    "name was made in the same scope. Leave the number out to have "
                    "the next free one, or call the module that is there again to "
                    "share its parameters."
                )
            following = max(self.next_number.get(base, 0), number + 1)
        else:
            base, number = name, self.next_number.get(name, 0)
            if not forced:
                name = f"{base}_{number}" if number else base
                while held and prefix + name in held:
                    number += 1
                    name = f"{base}_{number}"
            following = number + 1
        self.next_number[base] = max(following, self.next_number.get(base, 0))
        self.taken.add(name)
        return prefix + name

    def names(self) -> tuple[dict[str, int] | None, set[str]]:
        """The names in use, for `restore`."""
        if self.next_number is None:
            return None, _NOTHING
        return dict(self.next_number), set(self.taken)

    def fork(self) -> "Scope":
        """A scope of the same module and method, whose names are its own from here."""
        forked = Scope(self.module, self.method)
        forked.restore(self.names())
        return forked

    def restore(self, names: tuple[dict[str, int] | None, set[str]]) -> None:
        """Forgets the names that were claimed since `names` was called."""
        self.next_number, self.taken = names


_NOTHING: set[str] = set()
