"""Transformations that call a function once: grad, remat, eval_shape."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax

from haiku._core.runs.frame import current_frame
from haiku._lifted.pure import changing, with_changes


def value_and_grad(
    fun: Callable[..., Any],
    argnums: int | Sequence[int] = 0,
    has_aux: bool = False,
    holomorphic: bool = False,
) -> Callable[..., Any]:
    """`jax.value_and_grad` for a function that uses modules.

    The gradient is with respect to arguments of `fun`; for the gradient of parameters
    use `jax.grad` of `apply`.

    Args:
      fun: Returns a scalar, or `(scalar, aux)` with `has_aux`.
      argnums: Which positional arguments to differentiate by.
      has_aux: Whether `fun` returns `(scalar, aux)`.
      holomorphic: Whether `fun` is promised to be holomorphic.

    Returns:
      A function like `fun` that returns `(value, gradient)`, or
      `((value, aux), gradient)`.

    Raises:
      ValueError: No transformed function is running: use `jax.value_and_grad`.

    Example:
      >>> def f(x):
      ...     return hk.value_and_grad(lambda x: jnp.sum(hk.Linear(3)(x) ** 2))(x)
      >>> params = hk.transform(f).init(jax.random.key(0), jnp.ones([2]))
      >>> value, gradient = hk.transform(f).apply(params, None, jnp.ones([2]))
    """
    current_frame("hk.value_and_grad")

    @functools.wraps(fun)
    def value_and_grad_f(*args: Any, **kwargs: Any) -> Any:
        frame = current_frame("hk.value_and_grad")
        differentiated = jax.value_and_grad(
            with_changes(fun, frame, has_aux), argnums, True, holomorphic
        )
        (value, (aux, changed)), gradient = differentiated(*args, **kwargs)
        frame.absorb(changed)
        return ((value, aux) if has_aux else value), gradient

    return value_and_grad_f


def grad(
    fun: Callable[..., Any],
    argnums: int | Sequence[int] = 0,
    has_aux: bool = False,
    holomorphic: bool = False,
) -> Callable[..., Any]:
    """`jax.grad` for a function that uses modules.

    Args:
      fun: Returns a scalar, or `(scalar, aux)` with `has_aux`.
      argnums: Which positional arguments to differentiate by.
      has_aux: Whether `fun` returns `(scalar, aux)`.
      holomorphic: Whether `fun` is promised to be holomorphic.

    Returns:
      A function like `fun` that returns the gradient, or `(gradient, aux)`.

    Raises:
      ValueError: No transformed function is running: use `jax.grad`.

    Example:
      >>> def f(x):
      ...     return hk.grad(lambda x: jnp.sum(hk.Linear(3)(x) ** 2))(x)
      >>> params = hk.transform(f).init(jax.random.key(0), jnp.ones([2]))
      >>> hk.transform(f).apply(params, None, jnp.ones([2])).shape
      (2,)
    """
    current_frame("hk.grad")
    differentiated = value_and_grad(fun, argnums, has_aux, holomorphic)

    @functools.wraps(fun)
    def grad_f(*args: Any, **kwargs: Any) -> Any:
        value, gradient = differentiated(*args, **kwargs)
        return (gradient, value[1]) if has_aux else gradient

    return grad_f


class _Deprecated:
    def __repr__(self) -> str:
        return "Deprecated"


_DEPRECATED = _Deprecated()


def remat(
    fun: Callable[..., Any],
    *,
    prevent_cse: bool = True,
    policy: Callable[..., Any] | str | Sequence[str] | None = None,
    static_argnums: int | tuple[int, ...] = (),
    concrete: Any = _DEPRECATED,
) -> Callable[..., Any]:
    """`jax.remat` for a function that uses modules: saves memory by recomputing.

    Args:
      fun: The function whose intermediate values the gradient computes again.
      prevent_cse: Whether to keep XLA from merging the two computations.
      policy: Which intermediate values are kept: a function in
        `jax.checkpoint_policies`, or its name, such as ``"dots_saveable"``; or a list
        of names that `jax.ad_checkpoint.checkpoint_name` gave to values. By default
        none are.
      static_argnums: Which positional arguments are not traced.
      concrete: Removed from JAX; use `static_argnums`.

    Returns:
      A function like `fun`. Modules built inside have the names they would have without
      it.

    Raises:
      ValueError: No transformed function is running: use `jax.remat`; or `concrete` is
        given; or JAX has no policy of that name.

    Example:
      >>> def f(x):
      ...     block = hk.nets.MLP([64, 64])
      ...     return hk.remat(block, policy="dots_saveable")(x)
    """
    current_frame("hk.remat")
    policy = _policy(policy)
    if concrete is not _DEPRECATED:
        raise ValueError(
            "jax.remat has no `concrete` any more: name arguments that must not be "
            "traced with `static_argnums`, hk.remat(f, static_argnums=(1,))."
        )

    @functools.wraps(fun)
    def remat_f(*args: Any, **kwargs: Any) -> Any:
        frame = current_frame("hk.remat")
        checkpointed = jax.checkpoint(
            changing(fun, frame.snapshot(), keep_names=True),
            prevent_cse=prevent_cse,
            policy=policy,
            static_argnums=static_argnums,
        )
        out, changed = checkpointed(*args, **kwargs)
        frame.absorb(changed)
        return out

    return remat_f


# Policies; the other functions there make one from names.
_POLICIES = (
    "everything_saveable",
    "nothing_saveable",
    "dots_saveable",
    "checkpoint_dots",
    "dots_with_no_batch_dims_saveable",
    "checkpoint_dots_with_no_batch_dims",
)


def _policy(policy: Any) -> Callable[..., Any] | None:
    """The policy for `jax.checkpoint`, from a function, a name, or names of values."""
    if policy is None or callable(policy):
        return policy
    policies = jax.checkpoint_policies
    if isinstance(policy, str):
        if policy not in _POLICIES:
            raise ValueError(
                f"hk.remat got policy={policy!r}. Policies by name are "
                f"{', '.join(map(repr, _POLICIES))}. To keep the values that "
                f"checkpoint_name(x, {policy!r}) marks, pass a list: [{policy!r}]."
            )
        return getattr(policies, policy)
    if isinstance(policy, Sequence) and all(isinstance(x, str) for x in policy):
        return policies.save_only_these_names(*policy)
    raise ValueError(
        f"hk.remat got policy={policy!r}: pass a function of jax.checkpoint_policies, "
        "its name, or a list of the names that checkpoint_name gave to values."
    )


def eval_shape(fun: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """`jax.eval_shape` for a function that uses modules; it has no side effects.

    Args:
      fun: A function.
      *args: Its arguments: arrays, or anything with a shape and a dtype.
      **kwargs: Its keyword arguments.

    Returns:
      A pytree of `jax.ShapeDtypeStruct` like the output of `fun`.

    Raises:
      ValueError: No transformed function is running: use `jax.eval_shape`.

    Example:
      >>> def f(x):
      ...     return hk.eval_shape(lambda x: hk.Linear(3)(x), x).shape
      >>> hk.transform(f).init(jax.random.key(0), jnp.ones([1, 2]))
      {}
    """
    before = current_frame("hk.eval_shape").snapshot()
    return jax.eval_shape(
        lambda *a, **k: changing(fun, before)(*a, **k)[0], *args, **kwargs
    )
