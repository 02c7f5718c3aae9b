"""Surgery on trees of parameters, by patterns of their paths.

    trunk, head = hk.surgery.split(params, "encoder/**")
    params = hk.surgery.merge(trunk, hk.surgery.rename(head, {"head/*": "new_head/*"}))

A tree is `{module: {name: value}}`: parameters, state, gradients, whatever `init` or
`jax.eval_shape(init, ...)` returns. A path is `module/name`. In a pattern `*` is any
text without a slash, `**` any number of parts, none included, and `{name}` a text
without a slash, to be used elsewhere by its name; a name that begins with `_`, as in
`linear{_i}`, is the number that Haiku gives a module: nothing, `_1`, `_2`, ...

What changes paths or values returns new plain dicts and shares the arrays. A pattern
that finds nothing is an error. Nothing here knows of modules or runs one.
"""

from haiku.surgery.choosing import merge, paths, select, split
from haiku.surgery.differences import Change, Difference, diff
from haiku.surgery.freezing import labels, mask
from haiku.surgery.moving import map_like, rename
from haiku.surgery.stacking import stack, unstack

__all__ = [
    "Change",
    "Difference",
    "diff",
    "labels",
    "map_like",
    "mask",
    "merge",
    "paths",
    "rename",
    "select",
    "split",
    "stack",
    "unstack",
]


def __dir__() -> list[str]:
    return __all__
