"""BuildSite: where a blueprint is built, and the names that it takes there."""

from collections.abc import Collection
from typing import Any

from haiku._core.blueprints.description import Description, mapped
from haiku._core.runs.frame import Frame
from haiku._core.runs.scope import Scope


class BuildSite(Scope):
    """Where a blueprint is built; it takes names that no module of the run has had."""

    __slots__ = ("around", "known", "others", "paths")

    def __init__(self, around: Scope, known: tuple[str, ...], others: Collection[str]):
        super().__init__(around.module, around.method)
        self.around = around
        self.others = others
        self.known = iter(known)  # From when it was built before in this run.
        self.paths: list[str] = []

    def claim(self, name: str, held: Collection[str] = ()) -> str:
        path = next(self.known, None)
        if path is None:
            # Names fork, so a free name may still belong to a module. And the next pass
            # over this code doesn't build the module again: it must count the other
            # modules as this pass did.
            names = self.around.names()
            path = self.around.claim(name, self.others)
            self.around.restore(names)
        self.paths.append(path)
        return path

    def names(self) -> Any:
        return self.around.names()

    def restore(self, names: Any) -> None:
        self.around.restore(names)


def _module(value: Any) -> Any:
    return value.build() if isinstance(value, Description) else value  # type: ignore


def built_in(frame: Frame, blueprint: Description) -> Any:
    """Builds the module that a blueprint describes.

    Args:
      frame: The run.
      blueprint: The class and arguments; blueprints among them are built first.

    Returns:
      The module, under the path that it had before in this run, if any.
    """
    args = mapped(_module, blueprint.args)
    kwargs = mapped(_module, blueprint.kwargs)
    _, known = frame.modules.paths_of.get(id(blueprint), (None, ()))
    site = BuildSite(frame.scopes[-1], known, frame.modules.paths)
    frame.scopes.append(site)
    try:
        module = blueprint.module_class(*args, **kwargs)
    finally:
        frame.scopes.pop()
    frame.modules.paths_of[id(blueprint)] = blueprint, tuple(site.paths)
    frame.modules.reserved.update(site.paths)
    return module
