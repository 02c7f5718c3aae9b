"""`Deferred`: a module built on first use."""

from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

from haiku._core.runs.frame import current_frame

__all__ = ["Deferred"]

T = TypeVar("T")

_OWN = ("_call_methods", "_factory", "_scopes", "_target")


class Deferred(Generic[T]):
    """Builds a module on first use, then forwards calls and attributes to it.

    The module gets the same name as if it were built in place of the `Deferred`.

    Args:
      factory: Function without arguments that builds the module.
      call_methods: Names of the methods that build the module when called.

    Example:
      >>> def f(x):
      ...     late = hk.Deferred(lambda: hk.Linear(x.shape[-1], name="late"))
      ...     return late(x), late.output_size
      >>> hk.transform(f).init(jax.random.key(0), jnp.ones([2, 3])).keys()
      dict_keys(['late'])
    """

    def __init__(
        self,
        factory: Callable[[], T],
        call_methods: Sequence[str] = ("__call__",),
    ):
        super().__init__()
        self._factory: Callable[[], T] | None = factory
        self._call_methods = tuple(call_methods)
        self._scopes = list(current_frame("hk.Deferred").scopes)
        self._target: T | None = None

    @property
    def target(self) -> T:
        """The module, which the first access builds."""
        factory = self._factory
        if factory is not None:
            frame = current_frame("hk.Deferred")
            here, frame.scopes = frame.scopes, list(self._scopes)
            try:
                self._target = factory()
            finally:
                frame.scopes = here
            self._factory = None
        return self._target  # type: ignore[return-value]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Calls the module, after building it if necessary."""
        return self.target(*args, **kwargs)  # type: ignore[operator]

    def __str__(self) -> str:
        return f"Deferred({self.target})"

    def __repr__(self) -> str:
        return f"Deferred({self.target!r})"

    def __getattr__(self, name: str) -> Any:
        if name in _OWN:
            raise AttributeError(name)
        if name in self._call_methods:
            return _build_and_call(self, name)
        if self._factory is not None:
            raise AttributeError(
                f"{name!r} belongs to the deferred module, which is not built yet: "
                f"read `.target` first, or call one of {self._call_methods}."
            )
        return getattr(self.target, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _OWN:
            object.__setattr__(self, name, value)
        else:
            setattr(self.target, name, value)

    def __delattr__(self, name: str) -> None:
        delattr(self.target, name)


def _build_and_call(deferred: Deferred[Any], name: str) -> Callable[..., Any]:
    """The method `name` of the module; calling it builds the module."""

    def call(*args: Any, **kwargs: Any) -> Any:
        return getattr(deferred.target, name)(*args, **kwargs)

    return call
