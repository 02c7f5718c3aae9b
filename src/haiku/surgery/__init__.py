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

from haiku.surgery.choosing import merge as merge
from haiku.surgery.choosing import paths as paths
from haiku.surgery.choosing import select as select
from haiku.surgery.choosing import split as split
from haiku.surgery.differences import Change as Change
from haiku.surgery.differences import Difference as Difference
from haiku.surgery.differences import diff as diff
from haiku.surgery.freezing import labels as labels
from haiku.surgery.freezing import mask as mask
from haiku.surgery.moving import map_like as map_like
from haiku.surgery.moving import rename as rename
from haiku.surgery.moving import slice as slice
from haiku.surgery.stacking import stack as stack
from haiku.surgery.stacking import unstack as unstack
