"""bind: says what is to be bound; `init` and `to` say to which parameters."""

import inspect
from collections.abc import Callable
from typing import Any

import jax

from haiku._bound.bound_model import Bound
from haiku._bound.bound_net import Net
from haiku._bound.bound_transform import PAIRS, Pair
from haiku._core import Blueprint, Module
from haiku._core.keys.key_sequence import as_key
from haiku._core.transforms.arguments import check_function, check_values
from haiku.data_structures import to_mutable_dict
from haiku.typing import Params, State


class Binding:
    """What is to be bound to parameters; made by `hk.bind`.

    Attributes:
      net: The blueprint, function or pair.

    Example:
      >>> binding = hk.bind(hk.Linear, 3)
      >>> model = binding.init(0, jnp.ones([1, 2]))  # or binding.to(params)
      >>> model(jnp.ones([4, 2])).shape
      (4, 3)
    """

    __slots__ = ("_net",)

    def __init__(self, net: Net | Pair):
        self._net = net

    @property
    def net(self) -> Any:
        """The blueprint, function or pair."""
        return self._net.function

    def init(self, rng: Any, /, *args: Any, **kwargs: Any) -> Bound:
        """The model with new parameters: those that one call asks for.

        Args:
          rng: A key, a seed, or None where no key is asked for.
          *args: An example of what the model takes.
          **kwargs: The same by keyword.

        Returns:
          The model. It may be made inside `jax.jit`, and under `jax.vmap` over keys,
          which makes an ensemble.

        Raises:
          ValueError: `rng` is no key.
        """
        params, state = self._net.init(_key(rng), None, args, kwargs)
        return Bound(self._net, params, state)

    def init_with(
        self, rng: Any, use: Callable[..., Any], /, *args: Any, **kwargs: Any
    ) -> Bound:
        """The model with the parameters that several calls ask for.

        Args:
          rng: A key, a seed, or None where no key is asked for.
          use: `use(net, *args, **kwargs)` calls what is to have parameters, in the
            order in which a program would: `lambda net, x: net.decode(net.encode(x))`.
          *args: Given to `use`.
          **kwargs: Given to `use`.

        Returns:
          The model.

        Raises:
          TypeError: `use` can't be called; or a pair is bound, which has an `init` of
            its own.
          ValueError: `rng` is no key.
        """
        if not callable(use):
            raise TypeError(
                f"`init_with` takes a function of the net, got {type(use).__name__}: "
                "`init_with(key, lambda net, x: net.decode(net.encode(x)), x)`. An "
                "example alone is what `init(key, x)` takes."
            )
        params, state = self._net.init(_key(rng), use, args, kwargs)
        return Bound(self._net, params, state)

    def to(self, params: Params, state: State | None = None) -> Bound:
        """The model with parameters that there are.

        Args:
          params: What `init` of `hk.transform` returned, `{module path: {name:
            array}}`.
          state: State likewise; none by default.

        Returns:
          The model.

        Raises:
          TypeError: They have another form.
        """
        check_values("params", params)
        return Bound(self._net, params, to_mutable_dict(check_values("state", state)))

    def __repr__(self) -> str:
        return f"bind({self._net!r})"


def _key(rng: Any) -> jax.Array | None:
    return None if rng is None else as_key(rng, "`init(key, x)` takes a key first")


def bind(net: Any, /, *args: Any, **kwargs: Any) -> Binding:
    """Says what a model is; `init` or `to` of the result give it parameters.

    Args:
      net: A module class with its arguments, an `hk.Blueprint`, a function that uses
        modules, or what `hk.transform` or its kin returned.
      *args: Arguments of the class.
      **kwargs: The same by keyword.

    Returns:
      A `Binding`: `.init(key, x)` makes parameters for an example, `.to(params, state)`
      takes those that there are.

    Raises:
      TypeError: `net` is none of these, or takes no such arguments.

    Example:
      >>> net = hk.Blueprint(hk.nets.MLP, [8, 3])
      >>> model = hk.bind(net).init(42, jnp.ones([1, 4]))
      >>> model(jnp.ones([5, 4])).shape
      (5, 3)
      >>> other = hk.bind(net).to(model.params)
    """
    if inspect.isclass(net) and issubclass(net, Module):
        return Binding(Net(Blueprint(net, *args, **kwargs)))
    if args or kwargs:
        raise TypeError(
            "hk.bind takes arguments only after a module's class, got them after "
            f"{net!r}. Give examples to `init`: `hk.bind(net).init(key, x)`."
        )
    if isinstance(net, (Bound, Binding)):
        raise TypeError(
            f"hk.bind was given a model that is bound already: {net!r}. Other "
            "parameters are `model.replace(params=...)`."
        )
    if isinstance(net, PAIRS):
        return Binding(Pair(net))
    check_function(net, "hk.bind")
    return Binding(Net(net))
