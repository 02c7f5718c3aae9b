"""`init` and `apply` as type checkers see them: the arguments of `f`, after Haiku's."""

from typing import Any, Generic, NamedTuple, ParamSpec, Protocol, TypeVar

from haiku.typing import MutableParams, MutableState

P = ParamSpec("P")
Out = TypeVar("Out", covariant=True)
InitFn = TypeVar("InitFn")
ApplyFn = TypeVar("ApplyFn")


class Init(Protocol[P]):
    """`init(rng, *args) -> params`."""

    def __call__(
        self, rng: Any, *args: P.args, **kwargs: P.kwargs
    ) -> MutableParams: ...


class Apply(Protocol[P, Out]):
    """`apply(params, rng, *args) -> output`."""

    def __call__(
        self, params: Any, rng: Any, *args: P.args, **kwargs: P.kwargs
    ) -> Out: ...


class KeylessApply(Protocol[P, Out]):
    """`apply(params, *args) -> output`."""

    def __call__(self, params: Any, *args: P.args, **kwargs: P.kwargs) -> Out: ...


class InitWithState(Protocol[P]):
    """`init(rng, *args) -> (params, state)`."""

    def __call__(
        self, rng: Any, *args: P.args, **kwargs: P.kwargs
    ) -> tuple[MutableParams, MutableState]: ...


class ApplyWithState(Protocol[P, Out]):
    """`apply(params, state, rng, *args) -> (output, state)`."""

    def __call__(
        self, params: Any, state: Any, rng: Any, *args: P.args, **kwargs: P.kwargs
    ) -> tuple[Out, MutableState]: ...


class KeylessApplyWithState(Protocol[P, Out]):
    """`apply(params, state, *args) -> (output, state)`."""

    def __call__(
        self, params: Any, state: Any, *args: P.args, **kwargs: P.kwargs
    ) -> tuple[Out, MutableState]: ...


class Transformed(NamedTuple, Generic[InitFn, ApplyFn]):
    """A pair of pure functions.

    Attributes:
      init: `init(rng, *args, **kwargs) -> params`.
      apply: `apply(params, rng, *args, **kwargs) -> output`.

    Example:
      >>> init, apply = hk.transform(lambda x: hk.Linear(2)(x))
      >>> apply(init(jax.random.key(0), jnp.ones([3])), None, jnp.ones([3])).shape
      (2,)
    """

    init: InitFn
    apply: ApplyFn


class TransformedWithState(NamedTuple, Generic[InitFn, ApplyFn]):
    """A pair of pure functions.

    Attributes:
      init: `init(rng, *args, **kwargs) -> (params, state)`.
      apply: `apply(params, state, rng, *args, **kwargs) -> (output, state)`.

    Example:
      >>> init, apply = hk.transform_with_state(lambda x: hk.Linear(2)(x))
      >>> params, state = init(jax.random.key(0), jnp.ones([3]))
      >>> out, state = apply(params, state, None, jnp.ones([3]))
    """

    init: InitFn
    apply: ApplyFn
