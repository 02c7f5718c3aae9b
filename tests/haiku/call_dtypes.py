"""The dtypes of each call of a model, for tests of precision."""

from typing import NamedTuple

from haiku.views.costs import costs_of, dtypes_of
from haiku.views.inspection import inspect


class CallDtypes(NamedTuple):
    params: tuple[str, ...]
    compute: tuple[str, ...]
    output: tuple[str, ...]


def dtypes_of_calls(f, *args):
    """A `CallDtypes` for each method call in `apply`, in the order they began."""
    seen = inspect(f, args, {}, received=True)
    costs_of(seen)
    return [CallDtypes(**dtypes_of(call)) for call in seen.calls]
