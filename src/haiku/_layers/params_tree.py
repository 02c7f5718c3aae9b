"""`ParamsTree`: one submodule per array in a tree of parameters."""

import re
from collections.abc import Callable, Mapping

import jax

from haiku._core import Module

__all__ = ["ParamsTree"]


class ParamsTree(Module):
    """Calls one submodule per array in a tree of parameters.

    The array ``w`` of ``mlp/~/linear`` has the submodule ``mlp___tilde___linear__w``.

    Args:
      submodule: Builds a submodule, called as ``submodule(name=name)``.
      ignore_regex: Matched with the start of ``module/name``: arrays that match are
        returned unchanged. The empty string matches none.
      name: Name of the module.
    """

    def __init__(
        self,
        submodule: Callable[..., Callable[..., jax.Array]],
        ignore_regex: str,
        name: str | None = None,
    ):
        super().__init__(name=name)
        self._submodule = submodule
        self.ignore_regex = ignore_regex

    def __call__(
        self,
        tree: Mapping[str, Mapping[str, jax.Array]],
        update_stats: bool = True,
    ) -> dict[str, dict[str, jax.Array]]:
        """Calls each submodule on its array.

        Args:
          tree: Parameters, as ``init`` returns them.
          update_stats: Whether the submodules store their new state.

        Returns:
          The outputs of the submodules, in a tree like `tree`.

        Raises:
          TypeError: `tree` isn't ``{module: {name: array}}``.
        """
        if not isinstance(tree, Mapping) or not all(
            isinstance(params, Mapping) for params in tree.values()
        ):
            raise TypeError(
                f"{self.module_name!r} takes parameters as init returns them, "
                f"{{module: {{name: array}}}}, got {type(tree).__name__}."
            )
        ignored = re.compile(self.ignore_regex).match if self.ignore_regex else None
        out: dict[str, dict[str, jax.Array]] = {}
        for module, params in tree.items():
            prefix = module.replace("/", "__").replace("~", "_tilde_")
            out[module] = {}
            for name, value in params.items():
                if not (ignored and ignored(f"{module}/{name}")):
                    submodule = self._submodule(name=f"{prefix}__{name}")
                    value = submodule(value, update_stats=update_stats)
                out[module][name] = value
        return out
