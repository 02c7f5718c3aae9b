"""Policies: in which dtype modules store, compute and return.

    hk.mixed_precision.set_policy(hk.nets.ResNet50, "params=float32,compute=bfloat16")
    hk.mixed_precision.set_policy("**/logits", "float32")

A policy belongs to one module, to all whose path is like a pattern, to a class of
modules, or to what is called in a `with` block. Of several the first of these holds:

1. that of the module itself: `set_policy(module, policy)`;
2. that of a pattern of its path: `set_policy("encoder/**", policy)`, the last one set;
3. that of its class: `set_policy(hk.BatchNorm, policy)`;
4. that of the innermost `scope(policy)` or module with a policy around it. Modules in a
   scope are cast as if the policy were their own; modules inside of another follow it
   for their parameters.

Any object works as a policy that has `param_dtype`, `cast_to_compute(tree)` and
`cast_to_output(tree)`: `Policy` here, or that of the `jmp` package.
"""

# An error under dm-haiku's `haiku/__init__.py`, which has a file of this name.
from haiku import _foreign as _foreign
from haiku.mixed_precision.policy import Policy as Policy
from haiku.mixed_precision.policy_assignment import clear_policy as clear_policy
from haiku.mixed_precision.policy_assignment import get_policy as get_policy
from haiku.mixed_precision.policy_assignment import push_policy as push_policy
from haiku.mixed_precision.policy_assignment import set_policy as set_policy
from haiku.mixed_precision.policy_scope import current_policy as current_policy
from haiku.mixed_precision.policy_scope import scope as scope

__all__ = [
    "Policy",
    "clear_policy",
    "current_policy",
    "get_policy",
    "push_policy",
    "scope",
    "set_policy",
]


def __dir__() -> list[str]:
    return __all__
