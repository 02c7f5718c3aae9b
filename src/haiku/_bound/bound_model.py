"""Bound: parameters and state that call like the module they belong to."""

import threading
from collections.abc import Callable, Sequence
from typing import Any

import jax

from haiku import _treescope
from haiku._bound.bound_net import Names, Net, Opened
from haiku._bound.bound_transform import Pair
from haiku._bound.text import written
from haiku._core import Module
from haiku._core.errors.help_links import Explained
from haiku._core.keys.key_sequence import as_key
from haiku._core.leaks.watch import trace_state
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
    module that it built in its constructor; other attributes are those of the module,
    where they don't have the names of the model's own below. A random key is passed by
    keyword, `model(x, rng_key=key)`. As a pytree it goes through every transformation
    of JAX, as argument and as result.

    A call that changes state raises `hk.StateChangedError`, since its result would not
    show it: `model.updating(x)` returns `(output, new_model)`, as does
    `model.updating.encode(x)`.

    Made by `hk.bind`, without parameters; `init`, `init_with` and `to` return it with
    some.

    Attributes:
      params: Parameters, `{module path: {name: array}}`; None without any.
      state: State, `{module path: {name: array}}`.
      net: The blueprint, function or pair.
      hooks: Context managers around every call, such as `hk.Hooks`, which can be
        entered again and again. They belong to the model's structure.

    Raises:
      StateChangedError: A call changed state.
      ValueError: A method uses a parameter that doesn't exist.

    Gradient:
      With respect to a model it is a model, and reaches parameters and state. For a
      model with state, differentiate by its parameters: `model.replace(params=params)`.

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

    __slots__ = (
        "__weakref__",
        "_made_in",
        "_net",
        "_opened",
        "hooks",
        "params",
        "state",
    )
    _net: Net | Pair
    _made_in: Any
    _opened: Opened | None
    params: Params
    state: State
    hooks: tuple[Any, ...]

    def __init__(
        self, net: Net | Pair, params: Any, state: Any, hooks: tuple[Any, ...] = ()
    ):
        own = object.__setattr__
        own(self, "_net", net)
        own(self, "_made_in", (threading.get_ident(), trace_state()))
        own(self, "_opened", None)
        own(self, "params", params)
        own(self, "state", state)
        own(self, "hooks", hooks)

    @property
    def net(self) -> Any:
        """The blueprint, function or pair."""
        return self._net.function

    @property
    def updating(self) -> "Part":
        """The same model, whose calls return `(output, new_model)`."""
        return Part(self, (), True)

    def init(self, rng: Any, /, *args: Any, **kwargs: Any) -> "Bound":
        """The model with new parameters: those that one call needs.

        Args:
          rng: A key, a seed, or None where no key is needed.
          *args: An example of what the model takes.
          **kwargs: Its keyword arguments.

        Returns:
          The model. It may be made inside `jax.jit`, and under `jax.vmap` over keys,
          which makes an ensemble.

        Raises:
          ValueError: `rng` isn't a key.
        """
        params, state = self._net.init(_key(rng), None, args, kwargs, self.hooks)
        return Bound(self._net, params, state, self.hooks)

    def init_with(
        self, rng: Any, use: Callable[..., Any], /, *args: Any, **kwargs: Any
    ) -> "Bound":
        """The model with new parameters: those that several calls need.

        Args:
          rng: A key, a seed, or None where no key is needed.
          use: `use(net, *args, **kwargs)` makes the calls, in the order in which a
            program would: `lambda net, x: net.decode(net.encode(x))`.
          *args: Passed to `use`.
          **kwargs: Passed to `use`.

        Returns:
          The model.

        Raises:
          TypeError: `use` can't be called; or the model is a pair, which has its own
            `init`.
          ValueError: `rng` isn't a key.
        """
        if not callable(use):
            raise TypeError(
                f"`init_with` takes a function of the net, got {type(use).__name__}: "
                "`init_with(key, lambda net, x: net.decode(net.encode(x)), x)`. An "
                "example alone is what `init(key, x)` takes."
            )
        params, state = self._net.init(_key(rng), use, args, kwargs, self.hooks)
        return Bound(self._net, params, state, self.hooks)

    def to(self, params: Params, state: State | None = None) -> "Bound":
        """The model with existing parameters.

        Args:
          params: Parameters as `init` of `hk.transform` returns them, `{module path:
            {name: array}}`.
          state: State, `{module path: {name: array}}`; none by default.

        Returns:
          The model.

        Raises:
          TypeError: They have another form.
        """
        return self.replace(params=params, state={} if state is None else state)

    def replace(
        self,
        *,
        params: Params | None = None,
        state: State | None = None,
        hooks: Sequence[Any] | None = None,
    ) -> "Bound":
        """The same model with other parameters, state or hooks.

        Args:
          params: New parameters; None keeps them.
          state: New state; None keeps it.
          hooks: New hooks; None keeps them.

        Returns:
          A new model.

        Raises:
          TypeError: Parameters or state aren't `{module path: {name: array}}`; or a
            hook can't be entered, or has no hash.
        """
        if params is not None:
            check_values("params", params)
        if state is not None:
            state = to_mutable_dict(check_values("state", state))
        if state is None:  # A model without parameters has no state either.
            state = {} if self.state is None and params is not None else self.state
        return Bound(
            self._net,
            self.params if params is None else params,
            state,
            self.hooks if hooks is None else _checked(hooks),
        )

    def __call__(self, *args: Any, rng_key: Any = None, **kwargs: Any) -> Any:
        """Calls the module.

        Args:
          *args: Its arguments.
          rng_key: A key or a seed, for modules that need one.
          **kwargs: Its keyword arguments.

        Returns:
          What the module returns.

        Raises:
          StateChangedError: The call changed state.
        """
        return Part(self, (), False)(*args, rng_key=rng_key, **kwargs)

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
            "A bound model isn't a sequence. Its parameters are `model.params`, its "
            "state is `model.state`."
        )

    def __setattr__(self, name: str, *value: Any) -> None:
        raise AttributeError(
            f"A bound model does not change: write `model = model.replace({name}=...)`."
            if name in ("params", "state", "hooks")
            else f"A bound model does not change, and has no {name!r} to set: other "
            "parameters and state are `model.replace(params=..., state=...)`."
        )

    __delattr__ = __setattr__  # type: ignore[assignment]

    def __reduce__(self):
        return Bound, (self._net, self.params, self.state, self.hooks)

    def __repr__(self) -> str:
        if self.params is None:
            return f"{_head(self)} without parameters"
        return written(_head(self), self.params, self.state)

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
        if self.hooks:
            items.append(("hooks=", self.hooks, ".hooks"))
        return _treescope.Node("Bound(", items, unfolded=True).drawn(
            path, subtree_renderer
        )


class Part:
    """The model, or a method or module inside it: what a call calls.

    Args:
      model: The model.
      names: The attributes that lead there.
      updating: Whether calls return `(output, new_model)`.
    """

    __slots__ = ("__weakref__", "_model", "_names", "_updating")

    def __init__(self, model: Bound, names: Names, updating: bool):
        self._model = model
        self._names = names
        self._updating = updating

    def __call__(self, *args: Any, rng_key: Any = None, **kwargs: Any) -> Any:
        """Calls it; `rng_key` is a key or a seed."""
        model = self._model
        _check_parameters(model)
        if rng_key is not None:
            rng_key = as_key(rng_key, "`rng_key` must be a key")
        out, state, changed = model._net.call(
            model.params, model.state, model.hooks, rng_key, self._names, args, kwargs
        )
        if self._updating:
            return out, Bound(model._net, model.params, state, model.hooks)
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
    """An attribute of the module; a `Part` for what only a run can use."""
    if model._net.has_method(names):
        return Part(model, names, updating)
    _check_parameters(model)
    assert isinstance(model._net, Net)  # The functions of a pair are methods.
    opened = model._opened
    # In another thread, or inside a JAX transformation, whose values end with it, the
    # module is built for this once.
    is_at_home = model._made_in == (threading.get_ident(), trace_state())
    if opened is None or not is_at_home:
        opened = model._net.open(model.params, model.state, model.hooks)
        if is_at_home:
            object.__setattr__(model, "_opened", opened)
    value = opened.attribute(names)
    owner = getattr(value, "__self__", None)
    is_part = isinstance(value, Module) or isinstance(owner, Module)
    return Part(model, names, updating) if is_part else value


def _check_parameters(model: Bound) -> None:
    if model.params is None:
        raise ValueError(
            f"{_head(model)} has no parameters yet. Make some, `model = hk.bind(net)"
            ".init(key, x)`, or give it existing ones, `hk.bind(net).to(params)`."
        )


def _checked(hooks: Sequence[Any]) -> tuple[Any, ...]:
    for hook in hooks:
        if not hasattr(hook, "__enter__") or not hasattr(hook, "__exit__"):
            raise TypeError(
                "The hooks of a bound model are context managers that can be entered "
                f"again and again, got {hook!r}: write `hk.Hooks(getter=f)` for a "
                "function f."
            )
        hash(hook)  # It becomes a part of the model's structure: TypeError without.
    return tuple(hooks)


def _key(rng: Any) -> jax.Array | None:
    return None if rng is None else as_key(rng, "`init(key, x)` takes a key first")


def _head(model: Bound) -> str:
    hooks = f", hooks={list(model.hooks)!r}" if model.hooks else ""
    return f"Bound({model._net!r}{hooks})"


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
    return tuple(zip(keys, (model.params, model.state))), (model._net, model.hooks)


def _unflattened(fixed: Any, children: Any) -> Bound:
    (net, hooks), (params, state) = fixed, children
    return Bound(net, params, state, hooks)


jax.tree_util.register_pytree_with_keys(
    Bound,
    _children,
    _unflattened,
    lambda model: ((model.params, model.state), (model._net, model.hooks)),
)
