"""Flax modules inside Haiku functions, and Haiku functions as Flax modules."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

import flax.linen as nn
import jax.numpy as jnp
from flax import errors
from flax.core import meta

from haiku import _core as hk
from haiku._core.errors.help_links import note
from haiku.typing import SupportsCall

__all__ = ["Module", "flatten_flax_to_haiku", "lift"]


class Module(nn.Module):
    """Wraps a Haiku function as a module of `flax.linen`.

    Parameters are the collection `params` and state is the collection `state`, both
    nested by the parts of Haiku's paths. `init` uses the key `params`; a function that
    draws keys in `apply` uses the key `apply`.

    Attributes:
      transformed: The result of `hk.transform` or `hk.transform_with_state`.

    Example:
      >>> net = hk.transform_with_state(lambda x: hk.Linear(3)(x))
      >>> module = hk.experimental.flax.Module(net)
      >>> variables = module.init(jax.random.key(0), jnp.ones([1, 2]))
      >>> out = module.apply(variables, jnp.ones([1, 2]))
    """

    transformed: hk.Transformed | hk.TransformedWithState

    @classmethod
    def create(
        cls, hk_cls: type[SupportsCall], *init_args: Any, **init_kwargs: Any
    ) -> Module:
        """Makes a Flax module from a Haiku module class.

        Args:
          hk_cls: A subclass of `hk.Module`.
          *init_args: Arguments of its constructor.
          **init_kwargs: Keyword arguments of its constructor.

        Returns:
          A Flax module that builds the Haiku module and calls it.
        """

        def call(*args: Any, **kwargs: Any) -> Any:
            return hk_cls(*init_args, **init_kwargs)(*args, **kwargs)  # type: ignore

        return cls(hk.transform_with_state(call))

    @nn.compact
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Runs the function with the arguments it had before `hk.transform`."""
        f = _with_state(self.transformed)
        if self.is_initializing():
            params, state = f.init(self.make_rng("params"), *args, **kwargs)
            self._put("params", params)
            self._put("state", state)
        params = flatten_flax_to_haiku(self.variables.get("params", {}))
        state = flatten_flax_to_haiku(self.variables.get("state", {}))
        key = self.make_rng("apply") if self.has_rng("apply") else None
        try:
            out, after = f.apply(params, state, key, *args, **kwargs)
        except ValueError as error:
            if key is None:
                note(
                    error,
                    "If the function draws keys, give Flax a key named `apply`: "
                    'module.init({"params": key, "apply": key}, ...) and '
                    'module.apply(variables, ..., rngs={"apply": key}).',
                )
            raise
        # `init` stores the state before the first step.
        if not self.is_initializing():
            self._put("state", _changed_values(state, after))
        return out

    def _put(self, collection: str, values: Mapping[str, Mapping[str, Any]]) -> None:
        for path, bundle in values.items():
            scope = self.scope
            assert scope is not None  # Flax runs `__call__` inside one.
            for part in path.split("/"):
                scope = scope.push(part, reuse=True)
            for name, value in bundle.items():
                scope.put_variable(collection, name, value)


def _with_state(transformed: Any) -> hk.TransformedWithState:
    if isinstance(transformed, hk.TransformedWithState):
        return transformed
    if isinstance(transformed, hk.Transformed):
        return hk.with_empty_state(transformed)
    raise TypeError(
        "hk.experimental.flax.Module takes what hk.transform (or "
        "hk.transform_with_state) returned, got "
        f"{type(transformed).__name__}: {transformed!r}. For a module class "
        "write Module.create(hk.Linear, 10)."
    )


def _changed_values(before: Mapping, after: Mapping) -> dict[str, dict[str, Any]]:
    """The values of a state that changed: Flax must not see any other write."""
    absent = object()
    return {
        path: {
            name: value
            for name, value in bundle.items()
            if before.get(path, {}).get(name, absent) is not value
        }
        for path, bundle in after.items()
    }


def lift(mod: nn.Module, *, name: str) -> Callable[..., Any]:
    """Makes a Flax module part of a Haiku function.

    Its parameters become parameters of the function, at `name/Dense_0`, or at `name/~`
    for the module's own. Every other collection becomes state, at
    `name/batch_stats/Dense_0`.

    Args:
      mod: A module of `flax.linen`.
      name: Its name among Haiku's modules; numbered if taken.

    Returns:
      A function with the arguments of `mod` and `rngs`, a dictionary of keys for Flax.
      During `init` the key `params` defaults to `hk.next_rng_key()`.

    Raises:
      ValueError: No transformed function is running.
      TypeError: `mod` isn't a Flax module.
      flax.errors.InvalidRngError: `rngs` isn't a dictionary.

    Example:
      >>> def f(x):
      ...     x = hk.experimental.flax.lift(nn.Dense(300), name="dense")(x)
      ...     return hk.Linear(10)(jax.nn.relu(x))
    """
    if not isinstance(mod, nn.Module):
        raise TypeError(
            "hk.experimental.flax.lift takes a module of flax.linen, got "
            f"{type(mod).__name__}: {mod!r}. Build a class first: nn.Dense(300)."
        )
    lifted = _Lifted(mod, name)

    def call(*args: Any, rngs: Any = None, **kwargs: Any) -> Any:
        return lifted(args, kwargs, rngs)

    return call


class _Lifted(hk.Module):
    """A Flax module that keeps its variables as Haiku's parameters and state."""

    def __init__(self, mod: nn.Module, name: str):
        super().__init__(name=name)
        self._mod = mod
        self._initialized = False

    def __call__(self, args: tuple[Any, ...], kwargs: dict[str, Any], rngs: Any) -> Any:
        if rngs is not None and not isinstance(rngs, Mapping):
            raise errors.InvalidRngError(
                "rngs should be a dictionary of keys by name, such as "
                f'{{"dropout": hk.next_rng_key()}}, got {type(rngs).__name__}.'
            )
        if hk.running_init():
            self._initialize(args, kwargs, rngs)
        variables = self._read()
        states = [collection for collection in variables if collection != "params"]
        out = self._mod.apply(
            variables, *args, rngs=cast(Any, rngs), mutable=states or False, **kwargs
        )
        if not states:
            return out
        out, updates = out  # type: ignore
        self._write(states, updates)
        return out

    def _initialize(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], rngs: Any
    ) -> None:
        rngs = dict(rngs or {})
        if "params" not in rngs:
            rngs["params"] = hk.next_rng_key()
        if self._initialized:  # A second call uses the variables of the first.
            return
        self._initialized = True
        variables = self._mod.init(rngs, *args, **kwargs)
        for collection, path, name, value in _walk(variables):
            with self._at(collection, path):
                if collection == "params":
                    hk.get_parameter(
                        name,
                        jnp.shape(value),
                        jnp.result_type(value),
                        init=lambda shape, dtype, value=value: value,
                    )
                else:
                    hk.set_state(name, value)

    def _read(self) -> dict[str, Any]:
        variables: dict[str, Any] = {}
        prefix = f"{self.module_name}/"
        for path, values in hk.get_params().items():
            if path.startswith(prefix):
                module = _nest(variables, "params", path.removeprefix(prefix))
                with hk.name_scope(hk.force_name(path)):
                    for name, value in values.items():
                        module[name] = hk.get_parameter(
                            name, jnp.shape(value), jnp.result_type(value)
                        )
        for path, values in hk.get_current_state().items():
            if path.startswith(prefix):
                collection, _, rest = path.removeprefix(prefix).partition("/")
                module = _nest(variables, collection, rest)
                with hk.name_scope(hk.force_name(path)):
                    for name in values:
                        module[name] = hk.get_state(name)
        return variables

    def _write(self, states: list[str], updates: Mapping[str, Any]) -> None:
        for collection, path, name, value in _walk(updates):
            if collection in states:
                with self._at(collection, path):
                    hk.set_state(name, value)

    def _at(self, collection: str, path: str) -> Any:
        parts = [self.module_name, path]
        if collection != "params":
            parts.insert(1, collection)
        return hk.name_scope(hk.force_name("/".join(parts)))


def _walk(variables: Mapping[str, Any]) -> Iterator[tuple[str, str, str, Any]]:
    """Yields each variable's collection, Haiku path, name and value."""
    for collection, nested in variables.items():
        for path, bundle in flatten_flax_to_haiku(nested).items():
            for name, value in bundle.items():
                yield collection, path, name, meta.unbox(value)


def _nest(variables: dict[str, Any], collection: str, path: str) -> dict[str, Any]:
    """The nested dict of a module in a collection, made if necessary."""
    module = variables.setdefault(collection, {})
    for part in path.split("/"):
        if part != "~":
            module = module.setdefault(part, {})
    return module


def flatten_flax_to_haiku(
    collection: Mapping[str, Any],
) -> dict[str, dict[str, Any]]:
    """Converts a collection of Flax variables to Haiku's `{path: {name: array}}`.

    Args:
      collection: Arrays nested by module, such as `variables["params"]`.

    Returns:
      The same arrays by path; arrays outside any module are at `~`.

    Raises:
      TypeError: `collection` isn't a mapping.

    Example:
      >>> collection = {"mlp": {"linear": {"w": 1}}, "scale": 2}
      >>> hk.experimental.flax.flatten_flax_to_haiku(collection)
      {'mlp/linear': {'w': 1}, '~': {'scale': 2}}
    """
    if not isinstance(collection, Mapping):
        raise TypeError(
            "flatten_flax_to_haiku takes a collection of Flax variables, such as "
            f'variables["params"], got {type(collection).__name__}: {collection!r}.'
        )
    out: dict[str, dict[str, Any]] = {}

    def walk(nested: Mapping[str, Any], path: tuple[str, ...]) -> None:
        for name, value in nested.items():
            if isinstance(value, Mapping):
                walk(value, (*path, name))
            else:
                out.setdefault("/".join(path) or "~", {})[name] = value

    walk(collection, ())
    return out


def __dir__() -> list[str]:
    return __all__
