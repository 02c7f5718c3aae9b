"""Gives policies to modules, patterns of their paths, and classes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from haiku._core import Module
from haiku._core.runs.frame import frames
from haiku.mixed_precision.policy import checked
from haiku.mixed_precision.policy_scope import follow_policies
from haiku.mixed_precision.policy_table import OWN, class_key, key_of, policies

__all__ = ["clear_policy", "get_policy", "push_policy", "set_policy"]


def set_policy(cls: type[Module] | Module | str, policy: Any) -> None:
    """Gives modules a policy, in this thread, until it is cleared.

    All methods of these modules cast arguments to the compute dtype, and outputs to the
    output dtype. Floating point parameters made there are stored in the param dtype;
    parameters and state are read in the compute dtype. Modules inside follow the policy
    too, unless they have one. Gradients have the dtype in which the parameter is
    stored.

    Args:
      cls: A subclass of `hk.Module` (its subclasses don't inherit the policy);
        `hk.Module` itself, for all modules; a pattern of module paths, `"encoder/**"`,
        in which `*` is any text without a slash and `**` any number of parts; or one
        module. The policy of a module goes before those of patterns, of patterns the
        one set last counts, then comes the policy of the class, then that of
        `hk.Module`. A constructor, which runs before a module has its path, follows its
        class alone.
      policy: A `Policy`, a string for `Policy.parse`, or a `jmp.Policy`.

    Raises:
      TypeError: `cls` is none of these, or `policy` isn't a policy.
      ValueError: The string isn't a pattern.
      AssertionError: `policy` is None.

    Example:
      >>> hk.mixed_precision.set_policy(hk.nets.MLP, "params=float32,compute=bfloat16")
      >>> hk.mixed_precision.set_policy("**/logits", "float32")
      >>> for who in (hk.nets.MLP, "**/logits"):
      ...     hk.mixed_precision.clear_policy(who)
    """
    key = key_of("set_policy", cls)
    policy = checked("set_policy", policy)
    follow_policies()
    if isinstance(key, Module):
        vars(key)[OWN] = policy
    else:
        policies.set(policies.get().with_policy(key, policy))


def get_policy(cls: type[Module] | Module | str) -> Any | None:
    """The policy of a class, a pattern or a module; None without one.

    Args:
      cls: As in `set_policy`.

    Returns:
      The policy that `set_policy` or `push_policy` gave it.

    Raises:
      TypeError: `cls` isn't a class of modules, a pattern, or a module.
      ValueError: The string isn't a pattern.

    Example:
      >>> with hk.mixed_precision.push_policy("head/**", "bfloat16"):
      ...     print(hk.mixed_precision.get_policy("head/**"))
      Policy('params=bfloat16,compute=bfloat16,output=bfloat16')
    """
    key = key_of("get_policy", cls)
    if isinstance(key, Module):
        return vars(key).get(OWN)
    return policies.get().get(key)


def clear_policy(cls: type[Module] | Module | str) -> None:
    """Removes the policy of a class, a pattern or a module, if it has one.

    Args:
      cls: As in `set_policy`.

    Raises:
      TypeError: `cls` isn't a class of modules, a pattern, or a module.
      ValueError: The string isn't a pattern.

    Example:
      >>> hk.mixed_precision.set_policy(hk.Linear, "bfloat16")
      >>> hk.mixed_precision.clear_policy(hk.Linear)
      >>> hk.mixed_precision.get_policy(hk.Linear) is None
      True
    """
    key = key_of("clear_policy", cls)
    if isinstance(key, Module):
        vars(key).pop(OWN, None)
    else:
        policies.set(policies.get().without(key))


@contextlib.contextmanager
def push_policy(cls: type[Module] | Module | str, policy: Any) -> Iterator[None]:
    """Gives modules a policy while a `with` block runs.

    Args:
      cls: As in `set_policy`.
      policy: A `Policy`, a string for `Policy.parse`, or a `jmp.Policy`.

    Yields:
      None.

    Raises:
      ValueError: The block is inside a method of that class or module, which began
        under another policy.
      TypeError: `cls` is none of these, or `policy` isn't a policy.
      AssertionError: `policy` is None.

    Example:
      >>> with hk.mixed_precision.push_policy(hk.Linear, "bfloat16"):
      ...     f = hk.transform(lambda x: hk.Linear(3)(x))
      ...     params = f.init(jax.random.key(0), jnp.ones([1, 2]))
      >>> params["linear"]["w"].dtype
      dtype(bfloat16)
    """
    key = key_of("push_policy", cls)
    running = frames.get()
    module = running[-1].scopes[-1].module if running else None
    if module is not None and (
        key is module or key in (class_key(type(module)), class_key(Module))
    ):
        name = getattr(cls, "__name__", type(cls).__name__)
        raise ValueError(
            "Pushing a policy inside a method of the same class is not supported: "
            f"this {name} began under another. Push it around the call."
        )
    before, table = get_policy(cls), policies.get()
    set_policy(cls, policy)
    try:
        yield
    finally:
        clear_policy(cls)
        if before is not None:
            set_policy(cls, before)
        if not isinstance(key, Module):
            policies.set(policies.get().in_order_of(table))
