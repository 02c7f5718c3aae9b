"""The dtypes of each call of a model, for tests of precision."""

from haiku.views.costs import CallDtypes, costs_of
from haiku.views.inspection import inspect


def dtypes_of_calls(f, *args):
    """A `CallDtypes` for each method call in `apply`, in the order they began."""
    seen = inspect(f, args, {}, received=True)
    costs_of(seen)
    return [CallDtypes.of(call) for call in seen.calls]
