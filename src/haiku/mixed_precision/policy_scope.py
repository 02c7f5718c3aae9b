"""What holds where a module runs: casts around methods, hooks for parameters."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax.numpy as jnp

from haiku._core import (
    DO_NOT_STORE,
    GetterContext,
    MethodContext,
    custom_creator,
    custom_getter,
)
from haiku._core.runs.frame import current_frame
from haiku._core.runs.stack import Stack
from haiku._core.variables.hooks import interceptors
from haiku.mixed_precision.float8 import is_narrow
from haiku.mixed_precision.policy import Policy, SupportsPolicy, checked
from haiku.mixed_precision.policy_table import own_policy

__all__ = ["current_policy", "follow_policies", "scope"]


class _Running(NamedTuple):
    """A policy that holds.

    Attributes:
      policy: The policy.
      in_scope: Whether it holds in a block, not in a module: modules called there are
        cast by it.
    """

    policy: SupportsPolicy
    in_scope: bool


# Innermost last.
_running: Stack[_Running] = Stack("running_policies")


def current_policy() -> Any | None:
    """The policy that holds here: of the innermost module or scope that has one.

    Returns:
      The policy, or None.

    Example:
      >>> def f():
      ...     with hk.mixed_precision.scope("bfloat16"):
      ...         return hk.mixed_precision.current_policy()
      >>> hk.testing.transform_and_run(f)()
      Policy('params=bfloat16,compute=bfloat16,output=bfloat16')
    """
    running = _running.get()
    return running[-1].policy if running else None


@contextlib.contextmanager
def scope(policy: Any) -> Iterator[None]:
    """Gives what is called in a `with` block a policy, where it has none of its own.

    Modules called in the block run under it as if it were their own, those inside of
    them follow it for their parameters, and so does the block itself.

    Args:
      policy: A `Policy`, a text for `Policy.parse`, or a `jmp.Policy`.

    Yields:
      None.

    Raises:
      ValueError: No transformed function is running.
      TypeError: `policy` is no policy.
      AssertionError: `policy` is None.

    Example:
      >>> def f(x):
      ...     with hk.mixed_precision.scope("params=float32,compute=bfloat16"):
      ...         x = hk.nets.MLP([8, 8])(x)  # bfloat16
      ...     return hk.Linear(2)(x.astype(jnp.float32))
      >>> f = hk.transform(f)
      >>> params = f.init(jax.random.key(0), jnp.ones([4, 3]))
    """
    current_frame("hk.mixed_precision.scope")
    policy = checked("scope", policy)
    follow_policies()
    with _holding(policy, in_scope=True):
        yield


def follow_policies() -> None:
    """Has every method follow its policy from here on."""
    # Interceptors of users see what the method itself gets and returns.
    interceptors.keep_at_bottom(_follow_policy)


def _follow_policy(next_f, args, kwargs, context: MethodContext):
    """Runs a method under the policy of its module, or of the scope it is called in."""
    policy = own_policy(context)
    if policy is None:
        running = _running.get()
        if not running or not running[-1].in_scope:
            return next_f(*args, **kwargs)
        policy = running[-1].policy
        holding: Any = _running.push(_Running(policy, in_scope=False))
    else:
        holding = _holding(policy, in_scope=False)
    args, kwargs = policy.cast_to_compute((args, kwargs))
    with holding:
        out = next_f(*args, **kwargs)
    return policy.cast_to_output(out)


@contextlib.contextmanager
def _holding(policy: SupportsPolicy, in_scope: bool) -> Iterator[None]:
    """Has parameters follow a policy, and modules without one of their own."""

    # A module inside with a policy of its own is asked alone: cast twice, a parameter
    # would lose the digits that the outer policy doesn't keep.
    def creator(next_creator, shape, dtype, init, context: GetterContext):
        if current_policy() is policy and jnp.issubdtype(dtype, jnp.floating):
            return _created(policy, next_creator, shape, init)
        return next_creator(shape, dtype, init)

    def getter(next_getter, value, context: GetterContext):
        if current_policy() is policy:
            value = policy.cast_to_compute(value)
        return next_getter(value)

    with (
        _running.push(_Running(policy, in_scope)),
        custom_creator(creator),
        custom_getter(getter, state=not _rounds(policy)),
        _unrounded_state(policy) if _rounds(policy) else contextlib.nullcontext(),
    ):
        yield


def _rounds(policy: SupportsPolicy) -> bool:
    return isinstance(policy, Policy) and is_narrow(policy.compute_dtype)


def _unrounded_state(policy: Any) -> contextlib.AbstractContextManager[None]:
    """Has state read in the wide dtype: it sums up small changes over time."""
    wide = Policy(policy.param_dtype, policy.wide_dtype, policy.output_dtype)

    def getter(next_getter, value, context: GetterContext):
        if current_policy() is policy:
            value = wide.cast_to_compute(value)
        return next_getter(value)

    return custom_getter(getter, params=False, state=True)


def _created(policy: SupportsPolicy, next_creator, shape, init) -> Any:
    dtype = policy.param_dtype
    if not is_narrow(dtype):
        return next_creator(shape, dtype, init)
    # Drawn in full, as initialisers compute with numbers of that dtype.
    value = next_creator(shape, jnp.float32, init)
    if value is DO_NOT_STORE:
        return value
    return Policy(dtype, dtype, dtype).cast_to_param(value)
