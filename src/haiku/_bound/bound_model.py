"""Bound: parameters and state that call like the module they belong to."""

from typing import Any

import jax

from haiku import _treescope
from haiku._bound.bound_net import PART, Names, Net
from haiku._bound.bound_transform import Pair
from haiku._bound.text import written
from haiku._core.errors.help_links import Explained
from haiku._core.keys.key_sequence import as_key
from haiku._core.transforms.arguments import check_values
from haiku._packed import unpacked
from haiku.data_structures import to_mutable_dict
from haiku.typing import Params, State


class StateChangedError(Explained, ValueError):
    """A call changed state that its result would not show.

    Example:
      >>> model = hk.bind(hk.BatchNorm, True, True, 0.9).init(0, jnp.ones([2, 3]), True)
      >>> try:
      ...     model(jnp.ones([2, 3]), is_training=True)
      ... except hk.StateChangedError:
      ...     out, model = model.updating(jnp.ones([2, 3]), is_training=True)
    """

    page = "guide/models"


class Bound:
    """A model: a pytree of parameters and state that calls like its module.

    `model(x)` calls the module, `model.encode(x)` one of its methods, `model.head(x)` a
    module that it built in its constructor; other attributes are those of the module. A
    random key is given by keyword, `model(x, rng_key=key)`. As a pytree it goes through
    every transformation of JAX, as argument and as result.

    A call that changes state raises `hk.StateChangedError`, since its result would not
    show it: `model.updating(x)` returns `(output, new_model)`, as does
    `model.updating.encode(x)`.

    Made by `hk.bind`.

    Attributes:
      params: Parameters, `{module path: {name: array}}`.
      state: State, likewise.
      net: The blueprint, function or pair.

    Raises:
      StateChangedError: A call changed state.
      ValueError: A method asks for a parameter that is not there.

    Gradient:
      With respect to a model it is a model, and reaches parameters and state. Of a
      model with state take it by the parameters: `model.replace(params=params)`.

    Example:
      >>> model = hk.bind(hk.Linear, 2).init(42, jnp.ones([1, 3]))
      >>> loss = lambda model: jnp.mean(model(jnp.ones([1, 3])) ** 2)
      >>> grads = jax.grad(loss)(model)
      >>> model = jax.tree.map(lambda p, g: p - 0.1 * g, model, grads)
      >>> model
      Bound(Blueprint(Linear, 2))
        linear/b  f32[2]
        linear/w  f32[3,2]
      8 parameters
    """

    __slots__ = ("__weakref__", "_net", "params", "state")
    _net: Net | Pair
    params: Params
    state: State

    def __init__(self, net: Net | Pair, params: Any, state: Any):
        own = object.__setattr__
        own(self, "_net", net)
        own(self, "params", params)
        own(self, "state", state)

    @property
    def net(self) -> Any:
        """The blueprint, function or pair."""
        return self._net.function

    @property
    def updating(self) -> "Reached":
        """The same model, whose calls return `(output, new_model)`."""
        return Reached(self, (), True)

    def replace(self, *, params: Params | None = None, state: State | None = None):
        """The same model with other parameters or state.

        Args:
          params: New parameters; as they are by default.
          state: New state; as it is by default.

        Returns:
          A new model.

        Raises:
          TypeError: They are no `{module path: {name: array}}`.
        """
        if params is not None:
            check_values("params", params)
        if state is not None:
            state = to_mutable_dict(check_values("state", state))
        return Bound(
            self._net,
            self.params if params is None else params,
            self.state if state is None else state,
        )

    def __call__(self, *args: Any, rng_key: Any = None, **kwargs: Any) -> Any:
        """Calls the module.

        Args:
          *args: What it takes.
          rng_key: A key or a seed, for modules that ask for one.
          **kwargs: What it takes by keyword.

        Returns:
          What the module returns.

        Raises:
          StateChangedError: The call changed state.
        """
        return Reached(self, (), False)(*args, rng_key=rng_key, **kwargs)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return _reach(self, (name,), False)

    def __getitem__(self, index: int | str) -> Any:
        if not isinstance(self._net, Pair):
            raise TypeError(
                "Only a bound pair of `hk.multi_transform` has functions by index; the "
                "parameters of a model are in `model.params`."
            )
        return _reach(self, (index,), False)

    def __iter__(self):
        raise TypeError(
            "A bound model is no sequence. Its parameters and state are `model.params` "
            "and `model.state`."
        )

    def __setattr__(self, name: str, *value: Any) -> None:
        raise AttributeError(
            f"A bound model does not change: write `model = model.replace({name}=...)`."
            if name in ("params", "state")
            else f"A bound model does not change, and has no {name!r} to set: other "
            "parameters and state are `model.replace(params=..., state=...)`."
        )

    __delattr__ = __setattr__  # type: ignore[assignment]

    def __reduce__(self):
        return Bound, (self._net, self.params, self.state)

    def __repr__(self) -> str:
        return written(f"Bound({self._net!r})", self.params, self.state)

    def __treescope_repr__(self, path: str | None, subtree_renderer: Any) -> Any:
        stores = (("params", self.params), ("state", self.state))
        items: list[tuple[str, Any, str | None]] = [("", self.net, ".net")]
        for name, values in stores:
            try:
                tree = {p: dict(v) for p, v in unpacked(values).items()}
                value, step = _treescope.modules(tree, f".{name}"), ""
            except Exception:  # Not parameters, as in __repr__.
                value, step = values, f".{name}"
            items.append((f"{name}=", value, step))
        return _treescope.Node("Bound(", items, unfolded=True).drawn(
            path, subtree_renderer
        )


class Reached:
    """The model, a method or a module inside it: what a call calls.

    Args:
      model: The model.
      names: The attributes that lead there.
      updating: Whether calls return `(output, new_model)`.
    """

    __slots__ = ("_model", "_names", "_updating")

    def __init__(self, model: Bound, names: Names, updating: bool):
        self._model = model
        self._names = names
        self._updating = updating

    def __call__(self, *args: Any, rng_key: Any = None, **kwargs: Any) -> Any:
        """Calls it; `rng_key` is a key or a seed."""
        model = self._model
        if rng_key is not None:
            rng_key = as_key(rng_key, "`rng_key` must be a key")
        out, state, changed = model._net.call(
            model.params, model.state, rng_key, self._names, args, kwargs
        )
        if self._updating:
            return out, Bound(model._net, model.params, state)
        if changed:
            raise StateChangedError(_lost(changed, self._names))
        return out

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return _reach(self._model, (*self._names, name), self._updating)

    def __getitem__(self, index: int | str) -> Any:
        if not isinstance(self._model._net, Pair):
            raise TypeError(
                f"{self!r} has nothing by index: call it, or name what is inside as in "
                "`model.head(x)`."
            )
        return _reach(self._model, (*self._names, index), self._updating)

    __iter__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        updating = ".updating" if self._updating else ""
        return f"Bound({self._model._net!r}){updating}{_path(self._names)}"


def _path(names: Names) -> str:
    return "".join(f"[{n!r}]" if isinstance(n, int) else f".{n}" for n in names)


def _reach(model: Bound, names: Names, updating: bool) -> Any:
    value = model._net.attribute(model.params, model.state, names)
    return Reached(model, names, updating) if value is PART else value


def _lost(changed: list[str], names: Names) -> str:
    method = _path(names)
    more = ", ..." if len(changed) > 4 else ""
    return (
        f"The call changed the state {', '.join(changed[:4])}{more}, and "
        f"`model{method}(...)` would lose that. "
        f"Write `output, model = model.updating{method}(...)`, which returns the model "
        "with its new state; to drop the change, `output, _ = ...`."
    )


def _children(model: Bound) -> tuple[Any, Any]:
    keys = jax.tree_util.GetAttrKey("params"), jax.tree_util.GetAttrKey("state")
    return tuple(zip(keys, (model.params, model.state))), model._net


jax.tree_util.register_pytree_with_keys(
    Bound,
    _children,
    lambda net, children: Bound(net, *children),
    lambda model: ((model.params, model.state), model._net),
)
