"""Policies: in which dtype a class of modules stores, computes and returns.

A policy belongs to exactly one class of modules; modules made inside that have no
policy of their own follow it for their parameters. Any object works that has
`param_dtype`, `cast_to_compute(tree)` and `cast_to_output(tree)`: `Policy` here, or
that of the `jmp` package.
"""

from __future__ import annotations

import contextlib
import contextvars
import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np

from haiku._core import (
    GetterContext,
    MethodContext,
    Module,
    custom_creator,
    custom_getter,
)
from haiku._core.frame import frames
from haiku._core.hooks import interceptors
from haiku._core.stack import Stack

__all__ = [
    "Policy",
    "clear_policy",
    "current_policy",
    "get_policy",
    "push_policy",
    "set_policy",
]


@runtime_checkable
class SupportsPolicy(Protocol):
    """What a policy needs to have."""

    param_dtype: Any

    def cast_to_compute(self, x: Any) -> Any:
        """Casts the floating point arrays in a tree to the dtype to compute in."""
        ...

    def cast_to_output(self, x: Any) -> Any:
        """Casts the floating point arrays in a tree to the dtype to return."""
        ...


@dataclasses.dataclass(frozen=True)
class Policy:
    """Three dtypes: of stored parameters, of computation, and of what is returned.

    Attributes:
      param_dtype: What parameters are stored in.
      compute_dtype: What arguments, parameters and state are cast to.
      output_dtype: What results are cast to.

    Example:
      >>> hk.mixed_precision.Policy.parse("params=float32,compute=bfloat16")
      Policy('params=float32,compute=bfloat16,output=bfloat16')
    """

    param_dtype: Any
    compute_dtype: Any
    output_dtype: Any

    def __post_init__(self):
        for field in dataclasses.fields(self):
            dtype = jnp.dtype(getattr(self, field.name))
            if not jnp.issubdtype(dtype, jnp.floating):
                raise ValueError(
                    f"A policy's {field.name} is a floating point dtype, such as "
                    f"jnp.bfloat16, got {dtype}."
                )
            object.__setattr__(self, field.name, dtype)

    @classmethod
    def parse(cls, text: str) -> Policy:
        """Makes a policy from text.

        Args:
          text: `params=float32,compute=bfloat16,output=float32`, shorter `p=f32,c=bf16`
            or `bfloat16` for all three. Dtypes: `float32` or `f32` or `full`,
            `bfloat16` or `bf16`, `float16` or `f16`, `float64` or `f64`, `half`
            (bfloat16 on a TPU, else float16). `compute` is by default what `params` is,
            `output` what `compute` is, `params` float32.

        Returns:
          The policy.

        Raises:
          ValueError: The text isn't of that form.
        """
        if not isinstance(text, str):
            raise TypeError(f"Policy.parse takes text, got {text!r}.")
        if "=" not in text:
            dtype = _parsed_dtype(text)
            return cls(dtype, dtype, dtype)
        given: dict[str, Any] = {}
        for part in text.split(","):
            key, equals, value = part.partition("=")
            name = _KEYS.get(key.strip())
            if name is None or not equals or name in given:
                raise ValueError(
                    f"{part!r} in the policy {text!r} is not one of params=..., "
                    "compute=..., output=..., each given once: write "
                    "'params=float32,compute=bfloat16,output=float32'."
                )
            given[name] = _parsed_dtype(value)
        params = given.get("params", jnp.float32)
        compute = given.get("compute", params)
        return cls(params, compute, given.get("output", compute))

    def cast_to_param(self, x: Any) -> Any:
        """Casts the floating point arrays in a tree to `param_dtype`."""
        return _cast(x, self.param_dtype)

    def cast_to_compute(self, x: Any) -> Any:
        """Casts the floating point arrays in a tree to `compute_dtype`."""
        return _cast(x, self.compute_dtype)

    def cast_to_output(self, x: Any) -> Any:
        """Casts the floating point arrays in a tree to `output_dtype`."""
        return _cast(x, self.output_dtype)

    def __repr__(self) -> str:
        return (
            f"Policy('params={self.param_dtype},compute={self.compute_dtype},"
            f"output={self.output_dtype}')"
        )


_KEYS = {
    **dict.fromkeys(("p", "params"), "params"),
    **dict.fromkeys(("c", "compute"), "compute"),
    **dict.fromkeys(("o", "output"), "output"),
}

_DTYPES: Mapping[str, Any] = {
    **dict.fromkeys(("float32", "f32", "full"), jnp.float32),
    **dict.fromkeys(("bfloat16", "bf16"), jnp.bfloat16),
    **dict.fromkeys(("float16", "f16"), jnp.float16),
    **dict.fromkeys(("float64", "f64"), jnp.float64),
}


def _parsed_dtype(text: str) -> Any:
    text = text.strip()
    if text == "half":
        return jnp.bfloat16 if jax.default_backend() == "tpu" else jnp.float16
    if text not in _DTYPES:
        raise ValueError(
            f"{text!r} is no dtype of a policy: wanted {', '.join(_DTYPES)} or half."
        )
    return _DTYPES[text]


def _cast(tree: Any, dtype: Any) -> Any:
    def cast(x: Any) -> Any:
        if isinstance(x, (jax.Array, np.ndarray, np.generic)):
            return x.astype(dtype) if jnp.issubdtype(x.dtype, jnp.floating) else x
        return x

    return jax.tree.map(cast, tree)


# Which class has which policy, in this thread. By name, so that a class stays what it
# is when its file is loaded again; classes made inside functions share their name.
_policies: contextvars.ContextVar[Mapping[Any, SupportsPolicy]] = (
    contextvars.ContextVar("policies", default={})  # noqa: B039 - never changed
)
# The policies whose methods run, innermost last.
_running: Stack[SupportsPolicy] = Stack("running_policies")


def set_policy(cls: type[Module], policy: Any) -> None:
    """Gives every module of a class a policy, in this thread, until it is cleared.

    In all methods of such modules arguments are cast to the compute dtype, and results
    to the output dtype. Floating point parameters made there are stored in the param
    dtype, and read, as state is, in the compute dtype; this holds too for modules
    inside that have no policy of their own. Subclasses do not inherit it.

    Args:
      cls: A subclass of `hk.Module`.
      policy: A `Policy`, a text for `Policy.parse`, or a `jmp.Policy`.

    Raises:
      TypeError: `cls` is no module class, or `policy` no policy.
      AssertionError: `policy` is None.

    Example:
      >>> policy = "params=float32,compute=bfloat16,output=float32"
      >>> hk.mixed_precision.set_policy(hk.nets.ResNet50, policy)
      >>> # Statistics over a batch want all digits.
      >>> hk.mixed_precision.set_policy(hk.BatchNorm, "float32")
      >>> for cls in (hk.nets.ResNet50, hk.BatchNorm):
      ...     hk.mixed_precision.clear_policy(cls)
    """
    key = _key("set_policy", cls)
    policy = _checked("set_policy", policy)
    # Interceptors of users see what the method itself gets and returns.
    interceptors.keep_at_bottom(_follow_policy)
    _policies.set({**_policies.get(), key: policy})


def get_policy(cls: type[Module]) -> Any | None:
    """The policy that a class of modules has, or None.

    Args:
      cls: A subclass of `hk.Module`.

    Returns:
      What `set_policy` or `push_policy` gave it.
    """
    return _policies.get().get(_key("get_policy", cls))


def clear_policy(cls: type[Module]) -> None:
    """Takes a class's policy away, if it has one.

    Args:
      cls: A subclass of `hk.Module`.
    """
    key = _key("clear_policy", cls)
    _policies.set({k: v for k, v in _policies.get().items() if k != key})


def current_policy() -> Any | None:
    """The policy that holds here: of the innermost running module that has one.

    Returns:
      The policy, or None.
    """
    running = _running.get()
    return running[-1] if running else None


@contextlib.contextmanager
def push_policy(cls: type[Module], policy: Any) -> Iterator[None]:
    """Gives every module of a class a policy while a `with` block runs.

    Args:
      cls: A subclass of `hk.Module`.
      policy: A `Policy`, a text for `Policy.parse`, or a `jmp.Policy`.

    Yields:
      None.

    Raises:
      ValueError: Inside a method of that class: it began under another policy.
      TypeError: `cls` is no module class, or `policy` no policy.
      AssertionError: `policy` is None.

    Example:
      >>> with hk.mixed_precision.push_policy(hk.Linear, "bfloat16"):
      ...     f = hk.transform(lambda x: hk.Linear(3)(x))
      ...     params = f.init(jax.random.key(0), jnp.ones([1, 2]))
      >>> params["linear"]["w"].dtype
      dtype(bfloat16)
    """
    key = _key("push_policy", cls)
    running = frames.get()
    module = running[-1].scopes[-1].module if running else None
    if module is not None and _key("push_policy", type(module)) == key:
        raise ValueError(
            "Pushing a policy inside a method of the same class is not supported: "
            f"this {cls.__name__} began under another. Push it around the call."
        )
    before = _policies.get().get(key)
    set_policy(cls, policy)
    try:
        yield
    finally:
        if before is None:
            clear_policy(cls)
        else:
            set_policy(cls, before)


def _key(function: str, cls: Any) -> Any:
    if not (isinstance(cls, type) and issubclass(cls, Module)):
        raise TypeError(
            f"hk.mixed_precision.{function} takes a subclass of hk.Module, such as "
            f"hk.Linear, got {cls!r}."
        )
    if "<locals>" in cls.__qualname__:
        return cls
    return cls.__module__, cls.__qualname__


def _checked(function: str, policy: Any) -> Any:
    if policy is None:
        # An AssertionError, since that is what programs may catch here.
        raise AssertionError(
            f"hk.mixed_precision.{function} takes a policy, got None: to take away the "
            "policy of a class, write hk.mixed_precision.clear_policy(cls)."
        )
    if isinstance(policy, str):
        return Policy.parse(policy)
    if not isinstance(policy, SupportsPolicy):
        raise TypeError(
            f"hk.mixed_precision.{function} takes a policy: hk.mixed_precision.Policy, "
            f"its text 'params=float32,compute=bfloat16', or a jmp.Policy; got "
            f"{type(policy).__name__}: {policy!r}."
        )
    return policy


def _follow_policy(next_f, args, kwargs, context: MethodContext):
    """Runs a method under the policy of its module's class."""
    policies = _policies.get()
    if not policies:
        return next_f(*args, **kwargs)
    policy = policies.get(_key("", type(context.module)))
    if policy is None:
        return next_f(*args, **kwargs)

    # A module inside with a policy of its own is asked alone: cast twice, a parameter
    # would lose the digits that the outer policy doesn't keep.
    def creator(next_creator, shape, dtype, init, context: GetterContext):
        if current_policy() is policy and jnp.issubdtype(dtype, jnp.floating):
            dtype = policy.param_dtype
        return next_creator(shape, dtype, init)

    def getter(next_getter, value, context: GetterContext):
        if current_policy() is policy:
            value = policy.cast_to_compute(value)
        return next_getter(value)

    args, kwargs = policy.cast_to_compute((args, kwargs))
    with (
        _running.push(policy),
        custom_creator(creator),
        custom_getter(getter, state=True),
    ):
        out = next_f(*args, **kwargs)
    return policy.cast_to_output(out)
