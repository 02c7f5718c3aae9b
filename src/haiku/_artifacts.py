"""Named tuples of ours in the artifacts of `jax.export`.

An artifact names the type of each named tuple among arguments and outputs. Where it is
loaded, the type of that name is looked up: `import haiku` registers ours, and a program
without haiku registers one of its own with the same fields.
"""

import contextlib
from typing import TypeVar

import jax

T = TypeVar("T", bound=type)


def in_artifacts(cls: T) -> T:
    """Registers a named tuple as ``haiku.`` and its name; a decorator."""
    name = f"haiku.{cls.__name__}"
    # Where a file is loaded again, the first class keeps the name.
    with contextlib.suppress(ValueError):
        jax.export.register_namedtuple_serialization(cls, serialized_name=name)
    return cls
