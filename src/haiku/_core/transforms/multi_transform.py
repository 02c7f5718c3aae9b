"""multi_transform: several functions that share their modules."""

from collections.abc import Callable
from typing import Any, NamedTuple, ParamSpec, TypeVar, overload

import jax

from haiku._core.transforms.arguments import check_function, check_not_passed
from haiku._core.transforms.pure_functions import (
    Apply,
    ApplyWithState,
    InitFn,
    KeylessApply,
    KeylessApplyWithState,
    Transformed,
    TransformedWithState,
)
from haiku._core.transforms.signatures import sign_like, without
from haiku._core.transforms.transform import transform_with_state, without_state
from haiku.typing import MutableParams, MutableState


class MultiTransformed(NamedTuple):
    """Pure functions that share parameters.

    Attributes:
      init: `init(rng, *args, **kwargs) -> params`.
      apply: A pytree of `apply(params, rng, *args, **kwargs) -> output`.

    Example:
      >>> def f():
      ...     layer = hk.Linear(2)
      ...     return layer, {"twice": lambda x: layer(layer(x))}
      >>> net = hk.multi_transform(f)
      >>> params = net.init(jax.random.key(0), jnp.ones([2]))
      >>> net.apply["twice"](params, None, jnp.ones([2])).shape
      (2,)
    """

    init: Callable[..., MutableParams]
    apply: Any


class MultiTransformedWithState(NamedTuple):
    """Pure functions that share parameters and state.

    Attributes:
      init: `init(rng, *args, **kwargs) -> (params, state)`.
      apply: A pytree of `apply(params, state, rng, *args, **kwargs) -> (output,
        state)`.

    Example:
      >>> def f():
      ...     norm = hk.BatchNorm(True, True, 0.9)
      ...     return (lambda x: norm(x, True)), {"test": lambda x: norm(x, False)}
      >>> net = hk.multi_transform_with_state(f)
      >>> params, state = net.init(None, jnp.ones([2, 3]))
      >>> out, state = net.apply["test"](params, state, None, jnp.ones([2, 3]))
    """

    init: Callable[..., tuple[MutableParams, MutableState]]
    apply: Any


P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T", bound=MultiTransformed | MultiTransformedWithState)


def multi_transform_with_state(
    f: Callable[[], tuple[Callable[..., Any], Any]],
) -> MultiTransformedWithState:
    """Makes several functions that share modules into pure functions.

    Args:
      f: Takes nothing, builds modules, and returns `(init, functions)`: `init` calls
        everything that has parameters or state, `functions` is a pytree of functions.

    Returns:
      `init(rng, *args) -> (params, state)`, with the arguments of the function `init`,
      and a pytree like `functions` of `apply(params, state, rng, *args) -> (output,
      state)`.

    Raises:
      TypeError: `f` isn't a function, or returns something else.

    Example:
      >>> def f():
      ...     encoder, decoder = hk.Linear(2, name="enc"), hk.Linear(8, name="dec")
      ...     return lambda x: decoder(encoder(x)), (encoder, decoder)
      >>> params, state = hk.multi_transform_with_state(f).init(0, jnp.ones([1, 8]))
    """
    check_function(f, "hk.multi_transform")
    treedef = _structure(f)

    def init(*args: Any, **kwargs: Any) -> Any:
        return f()[0](*args, **kwargs)

    def apply_fn(i: int) -> Callable[..., Any]:
        def apply(*args: Any, **kwargs: Any) -> Any:
            return jax.tree.leaves(f()[1])[i](*args, **kwargs)

        return apply

    functions = [transform_with_state(apply_fn(i)) for i in range(treedef.num_leaves)]
    return MultiTransformedWithState(
        transform_with_state(init).init,
        treedef.unflatten([function.apply for function in functions]),
    )


def _structure(f: Callable[[], Any]) -> Any:
    """The tree of functions that `f` returns, found by running it abstractly."""
    found: list[Any] = []

    def run(key: jax.Array) -> None:
        transformed = transform_with_state(lambda: found.append(f()))
        transformed.init(key)

    jax.eval_shape(run, jax.eval_shape(lambda: jax.random.PRNGKey(0)))
    returned = found[0]
    if not (
        isinstance(returned, tuple) and len(returned) == 2 and callable(returned[0])
    ):
        raise TypeError(
            "The function given to `hk.multi_transform` must return a pair (init, "
            f"functions), got {type(returned).__name__} {returned!r}. Write `return "
            "init, (encode, decode)`, where `init` is a function that calls both."
        )
    leaves, treedef = jax.tree.flatten(returned[1])
    for leaf in leaves:
        if not callable(leaf):
            raise TypeError(
                "The second of the pair returned to `hk.multi_transform` is a pytree "
                f"of functions; one of its leaves is {type(leaf).__name__} {leaf!r}."
            )
    return treedef


def multi_transform(
    f: Callable[[], tuple[Callable[..., Any], Any]],
) -> MultiTransformed:
    """Makes several functions that share modules into pure functions.

    Args:
      f: Takes nothing, builds modules, and returns `(init, functions)`: `init` calls
        everything that has parameters, `functions` is a pytree of functions.

    Returns:
      `init(rng, *args) -> params`, with the arguments of the function `init`, and a
      pytree like `functions` of `apply(params, rng, *args) -> output`.

    Raises:
      TypeError: `f` isn't a function, or returns something else.

    Example:
      >>> def f():
      ...     encoder, decoder = hk.Linear(2, name="enc"), hk.Linear(8, name="dec")
      ...     return lambda x: decoder(encoder(x)), (encoder, decoder)
      >>> encode, decode = hk.multi_transform(f).apply
    """
    with_state = multi_transform_with_state(f)
    without = jax.tree.map(
        lambda apply: without_state(TransformedWithState(with_state.init, apply)).apply,
        with_state.apply,
    )
    init = without_state(TransformedWithState(with_state.init, with_state.init)).init
    return MultiTransformed(init, without)


@overload
def without_apply_rng(
    f: Transformed[InitFn, Apply[P, R]],
) -> Transformed[InitFn, KeylessApply[P, R]]: ...
@overload
def without_apply_rng(
    f: TransformedWithState[InitFn, ApplyWithState[P, R]],
) -> TransformedWithState[InitFn, KeylessApplyWithState[P, R]]: ...
@overload
def without_apply_rng(f: T) -> T: ...


def without_apply_rng(f: Any) -> Any:
    """Removes `rng` from the signature of `apply`.

    Args:
      f: The result of `hk.transform`, `hk.transform_with_state` or their `multi_`
        forms.

    Returns:
      The same kind of pair, whose `apply` takes no `rng` and runs without a key.

    Raises:
      ValueError: `f` is none of these.

    Example:
      >>> net = hk.without_apply_rng(hk.transform(lambda x: hk.Linear(3)(x)))
      >>> params = net.init(jax.random.key(0), jnp.ones([1, 2]))
      >>> net.apply(params, jnp.ones([1, 2])).shape
      (1, 3)
    """
    if isinstance(f, (Transformed, MultiTransformed)):
        added = 1  # params
    elif isinstance(f, (TransformedWithState, MultiTransformedWithState)):
        added = 2  # params, state
    else:
        raise ValueError(
            "`hk.without_apply_rng` takes what `hk.transform`, "
            f"`hk.transform_with_state` or their multi_ forms return, got "
            f"{type(f).__name__}. Write `hk.without_apply_rng(hk.transform(f))`."
        )

    def keyless(apply: Callable[..., Any]) -> Callable[..., Any]:
        def apply_fn(*args: Any, **kwargs: Any) -> Any:
            check_not_passed(kwargs, "rng")
            before = [kwargs.pop(n) for n in ("params", "state")[:added] if n in kwargs]
            own = [*before, *args]
            return apply(*own[:added], None, *own[added:], **kwargs)

        sign_like(apply_fn, apply, without("rng"), lambda out: out)
        return apply_fn

    return f._replace(apply=jax.tree.map(keyless, f.apply))
