"""name_scope: a part of the module path without a module; current_name."""

import contextlib
from typing import Any

from haiku._core.modules.module import Module, report_to_parent
from haiku._core.runs.frame import Frame, current_frame
from haiku._core.runs.scope import ForcedName, Scope


class NameScopeModule(Module):
    """The module that `name_scope` puts on the path."""


class _NameScope:
    """See `name_scope`."""

    def __init__(self, name: str, method_name: str):
        self._names = [name] if isinstance(name, ForcedName) else name.split("/")
        self._method_name = method_name
        self._held: contextlib.ExitStack | None = None

    def __enter__(self) -> None:
        if self._held is not None:
            raise ValueError(
                "A name_scope is not reusable: entered twice, it would give the same "
                "names twice. Write `with hk.name_scope(...)` again; for the same path "
                "on purpose use `hk.force_name`."
            )
        self._held = contextlib.ExitStack()
        frame = current_frame("hk.name_scope")
        try:
            for name in self._names:
                module = NameScopeModule(name=name)
                frame.scopes.append(Scope(module, self._method_name))
                self._held.callback(_leave, frame, module)
        except BaseException:
            self._held.close()
            raise

    def __exit__(self, *exception: Any) -> None:
        assert self._held is not None
        self._held.close()


def _leave(frame: Frame, module: Module) -> None:
    frame.scopes.pop()
    report_to_parent(module, frame.scopes)


def name_scope(
    name: str, *, method_name: str = "__call__"
) -> contextlib.AbstractContextManager[None]:
    """Names modules in a `with` block as if they were built inside another module.

    Args:
      name: One name, several with `/` between them, or `hk.force_name(path)`.
      method_name: The method of that module in which they would be built.

    Returns:
      A context manager for a single use.

    Raises:
      ValueError: No transformed function is running, or `name` starts with `/`, or the
        scope is entered a second time.

    Example:
      >>> def f(x):
      ...     with hk.name_scope("head"):
      ...         return hk.Linear(3)(x)  # head/linear
    """
    current_frame("hk.name_scope")
    if name.startswith("/"):
        raise ValueError(
            f"Name scopes must not start with /, got {name!r}: write "
            f"{name.lstrip('/')!r}, or `hk.force_name({name.lstrip('/')!r})` for a "
            "path from the root."
        )
    return _NameScope(name, method_name)


def current_name() -> str:
    """The path of the module whose method is running; `~` outside all modules.

    Raises:
      ValueError: No transformed function is running.

    Example:
      >>> def f():
      ...     with hk.name_scope("encoder"):
      ...         return hk.current_name()
      >>> hk.transform(f).apply({}, None)
      'encoder'
    """
    return current_frame("hk.current_name").scopes[-1].path
