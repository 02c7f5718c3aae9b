"""Flax modules inside Haiku functions, and the other way round. Needs Flax."""

from haiku.interop.flax import Module, flatten_flax_to_haiku, lift

__all__ = ["Module", "flatten_flax_to_haiku", "lift"]


def __dir__() -> list[str]:
    return __all__
