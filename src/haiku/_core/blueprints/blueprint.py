"""Blueprint: a module described anywhere, and built where it is first used."""

import inspect
from collections.abc import Callable
from typing import Any, Generic, ParamSpec, TypeVar

from haiku._core.blueprints.build_site import built_in
from haiku._core.blueprints.description import (
    MANY,
    MANY_BY_NAME,
    Description,
    bound,
    mapped,
    name_of,
)
from haiku._core.blueprints.function_reference import reference, referred
from haiku._core.leaks.watch import trace_state
from haiku._core.modules.module import Module
from haiku._core.runs.frame import frames

M = TypeVar("M")
P = ParamSpec("P")


class Blueprint(Description, Generic[M]):
    """A module that isn't built yet: its class and arguments.

    It can be made anywhere, also outside of `hk.transform`. Inside a transformed
    function it stands for the module: calling it, or one of the module's methods,
    builds the module where it is first used, and it stays the same module for the rest
    of the run. The module has the path that its class would give it there, and no other
    module of the run has that path. Blueprints among the arguments, also in lists,
    tuples and dicts, are built before it; a blueprint passed to a class that is called
    in a run is built where that class uses it.

    A copy (`copy.copy`, `copy.deepcopy`, `pickle`, `replace`) is another module, and so
    are the blueprints inside it. Two blueprints are equal if they build equal modules;
    as a static argument of `jax.jit` equal ones count as one.

    Args:
      module: A subclass of `hk.Module`, or a function that builds a module.
      *args: Its arguments.
      **kwargs: Its keyword arguments.

    Attributes:
      module_class: The class or function.
      args: The positional arguments.
      kwargs: The keyword arguments.
      arguments: All arguments by name, with defaults.

    Raises:
      TypeError: The class doesn't take these arguments, or `module` isn't a class or
        function.
      ValueError: It is called outside of a transformed function.

    Example:
      >>> layer = hk.Blueprint(hk.Linear, 10)
      >>> model = hk.Blueprint(hk.Sequential, [layer, jax.nn.relu, layer])
      >>> params = hk.transform(model).init(jax.random.key(0), jnp.ones([1, 10]))
      >>> list(params)
      ['linear']
    """

    __slots__ = ()
    module_class: Callable[..., M]

    def __init__(self, module: Callable[P, M], /, *args: P.args, **kwargs: P.kwargs):
        if isinstance(module, (Blueprint, Module)) or not callable(module):
            raise TypeError(
                "hk.Blueprint takes a module's class and its arguments, got "
                f"{type(module).__name__} {module!r}. Write `hk.Blueprint(hk.Linear, "
                "10)`; to change a blueprint, `blueprint.replace(output_size=3)`."
            )
        own = object.__setattr__
        own(self, "module_class", module)
        own(self, "args", mapped(_itself, args))
        own(self, "kwargs", mapped(_itself, kwargs))
        own(self, "_hash", None)
        bound(self)

    # ---- In a run -----------------------------------------------------------------

    def build(self) -> M:
        """The module in this run; built if it hasn't been.

        Raises:
          ValueError: No transformed function is running.
        """
        running = frames.get()
        if not running:
            raise ValueError(_outside(self))
        frame = running[-1]
        built = frame.modules.by_blueprint.get(id(self))
        if built is not None and (built[1] is None or built[1] == trace_state()):
            return built[0]
        module = built_in(frame, self)
        trace = trace_state()
        # A module built inside a plain `jax.*` transformation may hold values that end
        # with it. The frame forgets one that was built inside a transformation of ours.
        entry = module, None if trace == frame.watch.trace else trace
        frame.modules.by_blueprint[id(self)] = entry
        return module

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Calls the module; builds it first if necessary."""
        module: Any = self.build()
        return module(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        member = inspect.getattr_static(self.module_class, name, None)
        if inspect.isclass(self.module_class):
            if inspect.isfunction(member):
                return Method(self, name)
            if isinstance(member, (staticmethod, classmethod)):
                return getattr(self.module_class, name)
        if frames.get():
            return getattr(self.build(), name)
        raise AttributeError(
            f"{self!r} has no attribute {name!r} outside of a transformed function: "
            "there it has the methods of the module. Its arguments are in "
            "`.arguments`; to read attributes outside, bind it to parameters with "
            "`hk.bind`."
        )

    # ---- As a value ---------------------------------------------------------------

    def replace(self, **changes: Any) -> "Blueprint[M]":
        """A copy with other arguments.

        Args:
          **changes: New arguments by name.

        Returns:
          Another module; the blueprints inside it are others too, except those in
          `changes`.

        Raises:
          TypeError: The class has no argument of that name.
        """
        own, others = bound(_renewed(self, {})), {}
        for name, value in changes.items():
            parameter = own.signature.parameters.get(name)
            if parameter is None or parameter.kind in (MANY, MANY_BY_NAME):
                others[name] = value
            else:
                own.arguments[name] = value
        return Blueprint(self.module_class, *own.args, **own.kwargs, **others)

    __replace__ = replace

    def __copy__(self) -> "Blueprint[M]":
        return _renewed(self, {})

    def __deepcopy__(self, memo: dict[int, Any]) -> "Blueprint[M]":
        return _renewed(self, memo)

    def __reduce__(self):
        return _made, mapped(reference, (self.module_class, self.args, self.kwargs))

    def __setattr__(self, name: str, *value: Any) -> None:
        raise AttributeError(
            f"A blueprint can't be changed. Write `blueprint.replace({name}=...)` for "
            "another one."
        )

    __delattr__ = __setattr__  # type: ignore[assignment]

    @property
    def __signature__(self) -> inspect.Signature:
        return _signature_of(self, "__call__")


class Method:
    """A method of a blueprint's module, callable in a run.

    Args:
      blueprint: The blueprint.
      name: The method's name.
    """

    __slots__ = ("blueprint", "name")

    def __init__(self, blueprint: Blueprint[Any], name: str):
        self.blueprint = blueprint
        self.name = name

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Calls the method of the module; builds the module first if necessary."""
        return getattr(self.blueprint.build(), self.name)(*args, **kwargs)

    def __eq__(self, other: Any) -> bool:
        if not isinstance(other, Method):
            return NotImplemented
        return (self.blueprint, self.name) == (other.blueprint, other.name)

    def __hash__(self) -> int:
        return hash((self.blueprint, self.name))

    def __repr__(self) -> str:
        return f"{self.blueprint!r}.{self.name}"

    @property
    def __signature__(self) -> inspect.Signature:
        return _signature_of(self.blueprint, self.name)


# ---- Copying ----------------------------------------------------------------------


def _itself(value: Any) -> Any:
    return value


def _made(*described: Any) -> Blueprint[Any]:
    module, args, kwargs = mapped(referred, described)
    return Blueprint(module, *args, **kwargs)


def _renewed(blueprint: Blueprint[Any], memo: dict[int, Any]) -> Blueprint[Any]:
    """A copy; a blueprint that is inside twice is copied once."""

    def renewed(value: Any) -> Any:
        if not isinstance(value, Blueprint):
            return value
        if id(value) not in memo:
            memo[id(value)] = _renewed(value, memo)
        return memo[id(value)]

    args, kwargs = mapped(renewed, blueprint.args), mapped(renewed, blueprint.kwargs)
    return Blueprint(blueprint.module_class, *args, **kwargs)


def _signature_of(blueprint: Blueprint[Any], method: str) -> inspect.Signature:
    f = inspect.getattr_static(blueprint.module_class, method, None)
    if not (inspect.isclass(blueprint.module_class) and inspect.isfunction(f)):
        raise AttributeError("__signature__")
    signature = inspect.signature(f)
    return signature.replace(parameters=list(signature.parameters.values())[1:])


def _outside(blueprint: Blueprint[Any]) -> str:
    name = name_of(blueprint.module_class)
    return (
        f"A blueprint of {name} must be used as part of an `hk.transform`, and no "
        "transformed function is running. Write `net = hk.transform(blueprint)`, then "
        "`params = net.init(key, x)` and `net.apply(params, key, x)`; or bind it to "
        "parameters: `model = hk.bind(blueprint).init(key, x)`, then `model(x)`."
    )
