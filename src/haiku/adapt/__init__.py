"""Models adapted: low-rank updates, weights of few bits, frozen weights.

    model = hk.adapt.add(model, hk.adapt.Int4("**/w"))
    model = hk.adapt.add(model, hk.adapt.LoRA("**/w", 8), rng_key=0)
    plain = hk.adapt.merge(model)

An adaptation chooses weights by a pattern of their paths, as in :mod:`hk.surgery`. It
changes how these are stored and read: its own parameters lie beside the weight, and a
hook, which the model holds, puts the two together. No net knows of it, and paths,
methods and config stay.

A weight is `[..., in, out]`; axes before these two are layers of a stack, experts, or
the places of a kernel. However adaptations were added, a weight first becomes floats
again (`Int8`, `Int4`), then gradients end (`Frozen`), then updates are added (`LoRA`,
`DoRA`), at most one of each.
"""

from haiku.adapt.frozen import Frozen
from haiku.adapt.low_rank import DoRA, LoRA
from haiku.adapt.models import adaptations, add, merge
from haiku.adapt.quantised import Int4, Int8

__all__ = ["DoRA", "Frozen", "Int4", "Int8", "LoRA", "adaptations", "add", "merge"]


def __dir__() -> list[str]:
    return __all__
