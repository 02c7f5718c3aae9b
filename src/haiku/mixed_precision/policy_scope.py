"""Applies policies: casts around methods, and hooks for parameters and state."""

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
    """A policy in force.

    Attributes:
      policy: The policy.
      in_scope: Whether a block set it, not a module: then it also casts the arguments
        and outputs of modules called in the block.
    """

    policy: SupportsPolicy
    in_scope: bool


# Innermost last.
_running: Stack[_Running] = Stack("running_policies")


def current_policy() -> Any | None:
    """The policy in force: that of the innermost module or scope with one.

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
    """Gives a policy to the modules called in a `with` block, unless they have one.

    Modules called in the block run under it as if it were theirs. For parameters it
    applies to modules inside them too, and to the block itself.

    Args:
      policy: A `Policy`, a string for `Policy.parse`, or a `jmp.Policy`.

    Yields:
      None.

    Raises:
      ValueError: No transformed function is running.
      TypeError: `policy` isn't a policy.
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
    """Makes all methods follow their policies from here on."""
    # Interceptors of users see the method's own arguments and output.
    interceptors.keep_at_bottom(_follow_policy)


def _follow_policy(next_f, args, kwargs, context: MethodContext):
    """Runs a method under the policy of its module, or of the scope around it."""
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
    """Applies a policy to parameters and state, except in modules with another one."""

    # Only the innermost policy casts a parameter: a second cast would lose digits that
    # the outer policy doesn't keep.
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
    """Reads state in the wide dtype, since it sums up small changes over time."""
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
    # Drawn in float32, since initialisers compute in the dtype they are given.
    value = next_creator(shape, jnp.float32, init)
    if value is DO_NOT_STORE:
        return value
    return Policy(dtype, dtype, dtype).cast_to_param(value)
