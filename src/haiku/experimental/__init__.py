"""The reference library's experimental names; each lives where its idea does.

`flax` is imported when it is first asked for, since it needs Flax.
"""

import importlib.util
from typing import TYPE_CHECKING, Any

from haiku._core import DO_NOT_STORE as DO_NOT_STORE
from haiku._core import GetterContext as GetterContext
from haiku._core import MethodContext as MethodContext
from haiku._core import current_name as current_name
from haiku._core import custom_creator as custom_creator
from haiku._core import custom_getter as custom_getter
from haiku._core import force_name as force_name
from haiku._core import get_current_state as get_current_state
from haiku._core import get_initial_state as get_initial_state
from haiku._core import get_params as get_params
from haiku._core import intercept_methods as intercept_methods
from haiku._core import maybe_get_rng_sequence_state as maybe_get_rng_sequence_state
from haiku._core import name_like as name_like
from haiku._core import name_scope as name_scope
from haiku._core import replace_rng_sequence_state as replace_rng_sequence_state
from haiku._lifted.fast_eval_shape import fast_eval_shape as fast_eval_shape
from haiku._lifted.key_planning import optimize_rng_use as optimize_rng_use
from haiku._lifted.layer_stack import (
    LayerStackTransparencyMapping as LayerStackTransparencyMapping,
)
from haiku._lifted.layer_stack import layer_stack as layer_stack
from haiku._lifted.lift import LiftWithStateUpdater as LiftWithStateUpdater
from haiku._lifted.lift import lift as lift
from haiku._lifted.lift import lift_with_state as lift_with_state
from haiku._lifted.lift import transparent_lift as transparent_lift
from haiku._lifted.lift import (
    transparent_lift_with_state as transparent_lift_with_state,
)
from haiku.config import check_jax_usage as check_jax_usage
from haiku.config import module_auto_repr as module_auto_repr
from haiku.config import rng_reserve_size as rng_reserve_size
from haiku.experimental import jaxpr_info as jaxpr_info
from haiku.views.arrays import ArraySpec as ArraySpec
from haiku.views.calls import MethodInvocation as MethodInvocation
from haiku.views.calls import ModuleDetails as ModuleDetails
from haiku.views.graph import abstract_to_dot as abstract_to_dot
from haiku.views.graph import to_dot as to_dot
from haiku.views.table import eval_summary as eval_summary
from haiku.views.table import tabulate as tabulate

ParamContext = GetterContext

if TYPE_CHECKING:
    from haiku.experimental import flax as flax


# Hidden from type checkers: to them it would say that any name is there.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        if name == "flax":
            try:
                return importlib.import_module("haiku.experimental.flax")
            except ModuleNotFoundError as error:
                if (error.name or "").partition(".")[0] != "flax":
                    raise
                raise ModuleNotFoundError(
                    "haiku.experimental.flax needs Flax: "
                    "pip install 'renga-jax[interop]'.",
                    name="flax",
                ) from error
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    names = {*globals(), "flax"} - {"Any", "TYPE_CHECKING", "importlib"}
    return sorted(name for name in names if not name.startswith("_"))


# Without what needs a library that is missing: `import *` would fail.
_HAS_FLAX = importlib.util.find_spec("flax") is not None
__all__ = tuple(  # pyright: ignore[reportUnsupportedDunderAll]
    name for name in __dir__() if name != "flax" or _HAS_FLAX
)
