"""Looking at a model: an outline of its modules with shapes, costs and values.

    outline = hk.views.outline(f)(x)  # Print it, or write `outline.as_html()`.
    outline.compare(other)  # What differs between two models.

`hk.module_tree`, `hk.to_dot`, `hk.experimental.tabulate`, `eval_summary` and
`jaxpr_info` look at the same models. Views keep and change nothing, and no layer knows
of them; only measuring times computes anything.

`inspection` runs a model on shapes and records its `calls` with JAX's program; `costs`
counts there. The rest are renderings: `table`, `outline`, its `tree`, `comparison` and
page; `graph` and `model_info` draw the program of any function.
"""

from haiku.views.comparison import Comparison
from haiku.views.costs import flops
from haiku.views.outline import Outline, outline

__all__ = ["Comparison", "Outline", "flops", "outline"]


def __dir__() -> list[str]:
    return __all__
