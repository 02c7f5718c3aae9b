"""ModuleRegistry: the modules of a run, and which path belongs to which."""

from typing import Any


class ModuleRegistry:
    """The modules of a run, and which path belongs to which.

    Attributes:
      paths: The paths of all modules built so far.
      reserved: The paths of modules built from blueprints, which no other may take.
      by_blueprint: The module that a blueprint (by id) was built as, and the JAX trace
        in which it may be used; None for all. A lifted transformation forgets what was
        built inside it.
      paths_of: The paths that a blueprint (by id) took, and the blueprint itself, so
        that its id stays its own.
    """

    __slots__ = ("by_blueprint", "paths", "paths_of", "reserved")

    def __init__(self):
        self.paths: set[str] = set()
        self.reserved: set[str] = set()
        self.by_blueprint: dict[int, tuple[Any, Any]] = {}
        self.paths_of: dict[int, tuple[Any, tuple[str, ...]]] = {}

    def fork(self) -> "ModuleRegistry":
        """The same paths, with the modules that blueprints stand for now."""
        forked = ModuleRegistry()
        forked.paths, forked.reserved = self.paths, self.reserved
        forked.paths_of, forked.by_blueprint = self.paths_of, self.by_blueprint
        return forked
