"""Module: an object whose methods know their place on the module path."""

import functools
import inspect
import pprint
import typing
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, TypeVar

import jax

from haiku._core.runs.frame import (
    Frame,
    OutsideTransformError,
    current_frame,
    frames,
)
from haiku._core.runs.scope import Scope, check_name, snake_case
from haiku._core.variables import hooks
from haiku._settings import current_settings

F = TypeVar("F", bound=Callable[..., Any])


def transparent(method: F) -> F:
    """Makes a method's parameters and modules belong to whoever calls it.

    Args:
      method: A method of a module.

    Returns:
      The method, without its own scope: parameters and modules that it makes are named
      as if its body stood where it is called.

    Example:
      >>> class Head(hk.Module):
      ...     @hk.transparent
      ...     def logits(self, x):  # linear, not head/~logits/linear
      ...         return hk.Linear(3)(x)
    """
    method._is_transparent = True  # type: ignore[attr-defined]
    return method


def name_like(method_name: str) -> Callable[[F], F]:
    """Makes a method name its parameters and modules as another method does.

    Args:
      method_name: The other method's name, `"__call__"` for instance.

    Returns:
      A decorator.

    Example:
      >>> class Net(hk.Module):
      ...     @hk.name_like("__call__")
      ...     def encode(self, x):  # net/linear, not net/~encode/linear
      ...         return hk.Linear(3)(x)
    """

    def named(method: F) -> F:
        method._named_like = method_name  # type: ignore[attr-defined]
        return method

    return named


def _scoped(method: Callable[..., Any], name: str, cls: type) -> Callable[..., Any]:
    """`method` with its module on the path while it runs."""
    if getattr(method, "_is_transparent", False):
        return method
    naming = getattr(method, "_named_like", name)
    suffix = "" if name == "__call__" else f"{name}/"

    @functools.wraps(method)
    def scoped(self, *args, **kwargs):
        running = frames.get()
        if not running:
            current_frame(f"{type(self).__name__}.{name}")
        frame = running[-1]
        if self._owner is not frame.owner:
            _check_owner(self, frame, name)
        scopes = frame.scopes
        scopes.append(Scope(self, naming))
        try:
            with jax.named_scope(suffix + self._label):
                intercepting = hooks.interceptors.get()
                if not intercepting:
                    return method(self, *args, **kwargs)
                bound = functools.partial(method, self)
                context = hooks.MethodContext(self, name, bound, cls)
                return hooks.run_intercepted(intercepting, bound, args, kwargs, context)
        finally:
            scopes.pop()
            report_to_parent(self, scopes)

    return scoped


def _is_same(value: Any, default: Any) -> bool:
    """Whether an argument equals its default."""
    try:
        return bool(value == default)
    except Exception:  # Arrays of several numbers, tracers, or a class's own `==`.
        return False


def report_to_parent(module: "Module", scopes: list[Scope]) -> None:
    """Adds this module and those inside it to the module around it."""
    parent = scopes[-1].module
    if parent is not None and parent is not module:
        inside = parent.__dict__.get("_submodules")
        if inside is not None:
            inside.add(module.module_name)
            inside |= module._submodules


def _check_owner(module: "Module", frame: Frame, method: str) -> None:
    """Raises ValueError if the module was made by another transformed function."""
    if "module_name" not in module.__dict__ or any(
        module._owner is running.owner for running in frames.get()
    ):
        return
    made, runs = (getattr(f, "__name__", f) for f in (module._owner, frame.owner))
    raise ValueError(
        f"{type(module).__name__} {module.module_name!r} was built inside the "
        f"transformed function `{made}`, and `{method}` was called inside `{runs}`: a "
        "module belongs to the function that built it, since its name is only unique "
        "there. Build it inside the function that uses it; to share parameters pass "
        "the same params to both `apply`s, or transform both with `hk.multi_transform`."
    )


class ModuleMetaclass(type(typing.Protocol)):
    """Puts a scope around the methods and properties of modules.

    It extends the metaclass of protocols so that modules can implement them.
    """

    _default_name: str

    def __new__(mcs, class_name, bases, namespace, **kwargs):
        """Makes the class, then puts a scope around its methods."""
        cls = super().__new__(mcs, class_name, bases, namespace, **kwargs)
        for name, value in namespace.items():
            if name.startswith("__") and name != "__call__":
                continue
            if inspect.isfunction(value):
                type.__setattr__(cls, name, _scoped(value, name, cls))
            elif type(value) is property:
                accessors = (
                    f and _scoped(f, name, cls)
                    for f in (value.fget, value.fset, value.fdel)
                )
                type.__setattr__(cls, name, property(*accessors, doc=value.__doc__))
        cls._default_name = snake_case(class_name)
        return cls

    @property
    def __signature__(cls) -> inspect.Signature:
        """The constructor's arguments, for `inspect` and `help`."""
        signature = inspect.signature(cls.__init__)
        parameters = list(signature.parameters.values())[1:]  # without self
        return signature.replace(parameters=parameters)

    def __call__(cls, *args, **kwargs):
        """Builds a module on the path of the one that builds it."""
        running = frames.get()
        if not running:
            raise OutsideTransformError(
                "All `hk.Module`s must be initialized inside an `hk.transform`, and "
                f"{cls.__name__} was built outside. Write `net = hk.transform(lambda "
                f"x: {cls.__name__}(...)(x))`, then `params = net.init(key, x)` and "
                "`net.apply(params, key, x)`. To configure it outside and pass it "
                f"around, write `hk.Blueprint({cls.__name__}, ...)`: it is built where "
                "it is first used."
            )
        new: Any = cls.__new__
        module = new(cls) if new is object.__new__ else new(cls, *args, **kwargs)
        fields: dict[str, Any] = vars(module)
        fields["_arguments"] = args, kwargs
        init = cls.__init__
        scopes = running[-1].scopes
        scopes.append(Scope(module, getattr(init, "_named_like", "__init__")))
        try:
            intercepting = hooks.interceptors.get()
            if intercepting:
                bound = functools.partial(init, module)
                context = hooks.MethodContext(module, "__init__", bound, cls)
                hooks.run_intercepted(intercepting, bound, args, kwargs, context)
            else:
                init(module, *args, **kwargs)
        finally:
            scopes.pop()
        if "module_name" not in fields:
            raise ValueError(
                "Constructing an hk.Module without calling the super constructor is "
                f"not supported. As the first line of `{cls.__name__}.__init__` write "
                "`super().__init__(name=name)`; in a dataclass with `__post_init__`, "
                "`super().__post_init__()`."
            )
        report_to_parent(module, scopes)
        return module


class Module(metaclass=ModuleMetaclass):
    """Base class of everything that has parameters or state.

    A subclass calls `super().__init__(name=name)` first. Any method may build modules
    and get parameters. Modules are built and called inside a function that
    `hk.transform` takes. Dataclasses work too.

    Args:
      name: Its name; by default the class's name in `snake_case`. If it is taken, a
        number is added.

    Attributes:
      module_name: The full path: `mlp/~/linear_0`.
      name: The last part of the path.
      submodules: The paths of the modules built or called inside so far.

    Raises:
      ValueError: It is built outside a transformed function; or `name` isn't valid, or
        ends in a number that is taken.

    Example:
      >>> class Scale(hk.Module):
      ...     def __call__(self, x):
      ...         return x * hk.get_parameter("scale", x.shape[-1:], init=jnp.ones)
      >>> net = hk.transform(lambda x: Scale()(x))
    """

    AUTO_REPR: ClassVar[bool] = True
    _is_protocol: ClassVar[bool] = False
    _owner: ClassVar[Any] = None
    _label: ClassVar[str] = "unnamed"
    _default_name: ClassVar[str] = "module"
    _arguments: tuple[tuple[Any, ...], dict[str, Any]]
    _submodules: set[str]
    module_name: str
    name: Any

    def __init__(self, name: str | None = None):
        self._take_name(name)

    def __post_init__(self):
        """Takes the name from a dataclass's field `name`."""
        self._take_name(self.__dict__.get("name"))

    def __repr__(self) -> str:
        if not (self.AUTO_REPR and current_settings().module_auto_repr):
            return object.__repr__(self)
        args, kwargs = self.__dict__.get("_arguments", ((), {}))
        _, *parameters = inspect.signature(type(self).__init__).parameters.values()
        positional = [p for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
        given = dict(zip((p.name for p in positional), args)) | kwargs
        shown = [
            (f"{p.name}=", given[p.name])
            for p in positional
            if p.name in given and not _is_same(given[p.name], p.default)
        ]
        shown += [("", value) for value in args[len(positional) :]]
        usual = {p.name for p in positional}
        shown += [(f"{k}=", v) for k, v in given.items() if k not in usual]
        inside = ", ".join(f"{key}{value!r}" for key, value in shown)
        line = f"{type(self).__name__}({inside})"
        if len(line) <= 80:
            return line
        rows = ""
        for key, value in shown:
            text = pprint.pformat(value).replace("\n", "\n" + " " * (4 + len(key)))
            rows += f"    {key}{text},\n"
        return f"{type(self).__name__}(\n{rows})"

    # The methods below read the path as it is, so they don't get their own scope.

    @transparent
    def _take_name(self, name: str | None) -> None:
        name = self._default_name if name is None else name
        check_name(name)
        frame = current_frame(type(self).__name__)
        depth = len(frame.scopes) - 1
        while frame.scopes[depth].module is self:
            depth -= 1
        path = frame.scopes[depth].claim(name, frame.modules.reserved)
        fields: dict[str, Any] = vars(self)
        frame.modules.paths.add(path)
        fields["module_name"] = path
        fields["name"] = fields["_label"] = path.rpartition("/")[2]
        fields["_submodules"] = set()
        fields["_owner"] = frame.owner

    @property
    @transparent
    def submodules(self) -> tuple[str, ...]:
        """The paths of the modules built or called inside this one so far."""
        return tuple(sorted(self._submodules))

    @transparent
    def params_dict(self) -> dict[str, jax.Array]:
        """The parameters of this module and those inside it: `{path/name: array}`."""
        return self._inside(current_frame("params_dict").params)

    @transparent
    def state_dict(self) -> dict[str, Any]:
        """The state of this module and those inside it: `{path/name: value}`."""
        return self._inside(current_frame("state_dict").state)

    @transparent
    def _inside(self, stored: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
        paths = {self.module_name, *self._submodules}
        return {
            f"{path}/{name}": value
            for path, values in stored.items()
            if path in paths
            for name, value in values.items()
        }


def to_module(f: Callable[..., Any]) -> type[Module]:
    """A module class whose `__call__` is `f`.

    Args:
      f: A function that may build modules and get parameters.

    Returns:
      A subclass of `hk.Module`; its default name is that of `f`.

    Example:
      >>> head = hk.to_module(lambda x: hk.Linear(3)(x))  # in a transformed function:
      >>> # head("head")(x) has the parameters head/linear
    """

    class ToModuleWrapper(Module):
        __doc__ = f.__doc__ or "Module produced by `hk.to_module`."

        def __init__(self, name: str | None = None):
            super().__init__(getattr(f, "__name__", None) if name is None else name)

        def __call__(self, *args, **kwargs):
            return f(*args, **kwargs)

    ToModuleWrapper.__call__.__doc__ = f.__doc__
    return ToModuleWrapper
