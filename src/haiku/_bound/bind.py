"""bind: says which model; `init` or `to` of the result give it parameters."""

import inspect
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from haiku._bound.bound_model import Bound
from haiku._bound.bound_net import Net
from haiku._bound.bound_transform import PAIRS, Pair
from haiku._core import Blueprint, Module
from haiku._core.transforms.arguments import check_function
from haiku.typing import Params, State

if TYPE_CHECKING:  # A protocol takes a while to make.

    class WithoutParameters(Protocol):
        """`Bound` without parameters, as type checkers see it: it can't be called."""

        hooks: tuple[Any, ...]

        @property
        def net(self) -> Any:
            """The blueprint, function or pair."""

        def init(self, rng: Any, /, *args: Any, **kwargs: Any) -> Bound:
            """See `Bound.init`."""
            ...

        def init_with(
            self, rng: Any, use: Callable[..., Any], /, *args: Any, **kwargs: Any
        ) -> Bound:
            """See `Bound.init_with`."""
            ...

        def to(self, params: Params, state: State | None = None) -> Bound:
            """See `Bound.to`."""
            ...

        def replace(self, *, hooks: Sequence[Any] | None = None) -> Any:
            """See `Bound.replace`."""
            ...


def bind(net: Any, /, *args: Any, **kwargs: Any) -> "WithoutParameters":
    """A model without parameters; `init` or `to` of the result give it some.

    Args:
      net: A module class with its arguments, an `hk.Blueprint`, a function that uses
        modules, or what `hk.transform` or its kin returned.
      *args: Arguments of the class.
      **kwargs: Its keyword arguments.

    Returns:
      A model: its `.init(key, x)` makes parameters for an example, its
      `.to(params, state)` takes existing ones.

    Raises:
      TypeError: `net` is none of these, or doesn't take these arguments.

    Example:
      >>> net = hk.Blueprint(hk.nets.MLP, [8, 3])
      >>> model = hk.bind(net).init(42, jnp.ones([1, 4]))
      >>> model(jnp.ones([5, 4])).shape
      (5, 3)
      >>> other = hk.bind(net).to(model.params)
    """
    if inspect.isclass(net) and issubclass(net, Module):
        return Bound(Net(Blueprint(net, *args, **kwargs)), None, None)
    if args or kwargs:
        raise TypeError(
            "hk.bind takes arguments only after a module's class, got them after "
            f"{net!r}. Give examples to `init`: `hk.bind(net).init(key, x)`."
        )
    if isinstance(net, Bound):
        raise TypeError(
            f"hk.bind was given a bound model: {net!r}. Other parameters are "
            "`model.replace(params=...)` or `model.init(key, x)`."
        )
    if isinstance(net, PAIRS):
        return Bound(Pair(net), None, None)
    check_function(net, "hk.bind")
    return Bound(Net(net), None, None)
