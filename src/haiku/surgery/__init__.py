"""Surgery on trees of parameters, by patterns of their paths.

    trunk, head = hk.surgery.split(params, "encoder/**")
    params = hk.surgery.merge(trunk, hk.surgery.rename(head, {"head/*": "new_head/*"}))

A tree is `{module: {name: value}}`: parameters, state, gradients, or the result of
`jax.eval_shape(init, ...)`. A path is `module/name`. In a pattern `*` is any text
without a slash, `**` any number of parts, or none, and `{name}` a text without a slash
that can be used elsewhere by its name; a name that begins with `_`, as in `linear{_i}`,
is the number that Haiku gives a module: nothing, `_1`, `_2`, ...

Functions return new plain dicts that share the arrays. A pattern that finds nothing is
an error. Nothing here knows modules or runs one.
"""

from haiku.surgery.choosing import merge, paths, select, split
from haiku.surgery.differences import Change, Difference, diff
from haiku.surgery.freezing import kinds, labels, mask
from haiku.surgery.moving import map_like, rename
from haiku.surgery.stacking import stack, unstack

__all__ = [
    "Change",
    "Difference",
    "diff",
    "kinds",
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
