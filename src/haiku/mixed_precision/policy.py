"""A policy: three dtypes, and the casts to them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np

from haiku.mixed_precision.float8 import is_narrow, rounded, saturated

__all__ = ["Policy", "SupportsPolicy", "checked"]


@runtime_checkable
class SupportsPolicy(Protocol):
    """The attributes that a policy needs."""

    param_dtype: Any

    def cast_to_compute(self, x: Any) -> Any:
        """Casts the floating point arrays in a tree to the dtype to compute in."""
        ...

    def cast_to_output(self, x: Any) -> Any:
        """Casts the floating point arrays in a tree to the dtype to return."""
        ...


@dataclasses.dataclass(frozen=True)
class Policy:
    """Three dtypes: of stored parameters, of computation, and of outputs.

    Few operations take numbers of 8 bits. Computing in float8 means: arguments and
    parameters are rounded to it, each array scaled by a power of two so that its
    largest number just fits, and the layer computes with them in the output dtype
    (bfloat16 if that is a float8 too). Products are those of 8-bit numbers, sums are
    wide. Gradients don't see the rounding, and state isn't rounded. This is for layers
    that multiply; values between layers aren't rounded. Parameters and outputs in
    float8 have no scale: numbers that are too large become the largest number.

    Attributes:
      param_dtype: The dtype in which parameters are stored.
      compute_dtype: The dtype to which arguments, parameters and state are cast.
      output_dtype: The dtype to which outputs are cast.

    Raises:
      ValueError: One of them isn't a floating point dtype.

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
                    f"A policy's {field.name} must be a floating point dtype, such as "
                    f"jnp.bfloat16, got {dtype}."
                )
            object.__setattr__(self, field.name, dtype)

    @classmethod
    def parse(cls, text: str) -> Policy:
        """Makes a policy from text.

        Args:
          text: `params=float32,compute=bfloat16,output=float32`, shorter `p=f32,c=bf16`
            or `bfloat16` for all three. Dtypes: `float32` or `f32` or `full`,
            `bfloat16` or `bf16`, `float16` or `f16`, `float64` or `f64`,
            `float8_e4m3fn` or `f8_e4m3fn`, `float8_e5m2` or `f8_e5m2`, `half`
            (bfloat16 on a TPU, else float16). `params` defaults to float32, `compute`
            to `params`, `output` to `compute`.

        Returns:
          The policy.

        Raises:
          ValueError: The text isn't of that form.
          TypeError: It isn't a string.
        """
        if not isinstance(text, str):
            raise TypeError(
                "Policy.parse takes a string, 'params=float32,compute=bfloat16', got "
                f"{type(text).__name__}: {text!r}."
            )
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
        """Casts floating point arrays of a tree, and no others, to `param_dtype`."""
        return _cast(x, self.param_dtype)

    def cast_to_compute(self, x: Any) -> Any:
        """Casts floating point arrays of a tree, and no others, to `compute_dtype`.

        Where that is a float8 they are rounded to it, and are of `wide_dtype`.
        """
        if is_narrow(self.compute_dtype):
            narrow, wide = self.compute_dtype, self.wide_dtype
            return _mapped(x, lambda x: rounded(x, narrow, wide))
        return _cast(x, self.compute_dtype)

    def cast_to_output(self, x: Any) -> Any:
        """Casts floating point arrays of a tree, and no others, to `output_dtype`."""
        return _cast(x, self.output_dtype)

    @property
    def wide_dtype(self) -> Any:
        """The dtype of operations: `compute_dtype`, unless that is a float8."""
        for dtype in (self.compute_dtype, self.output_dtype):
            if not is_narrow(dtype):
                return dtype
        return jnp.dtype(jnp.bfloat16)

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
    **dict.fromkeys(("float8_e4m3fn", "f8_e4m3fn"), jnp.float8_e4m3fn),
    **dict.fromkeys(("float8_e5m2", "f8_e5m2"), jnp.float8_e5m2),
}


def _parsed_dtype(text: str) -> Any:
    text = text.strip()
    if text == "half":
        return jnp.bfloat16 if jax.default_backend() == "tpu" else jnp.float16
    if text not in _DTYPES:
        raise ValueError(
            f"{text!r} isn't a dtype of a policy: write {', '.join(_DTYPES)} or half."
        )
    return _DTYPES[text]


def _cast(tree: Any, dtype: Any) -> Any:
    if is_narrow(dtype):
        return _mapped(tree, lambda x: saturated(x, dtype))
    return _mapped(tree, lambda x: x.astype(dtype))


def _mapped(tree: Any, function: Any) -> Any:
    """A tree with `function` applied to its floating point arrays."""

    def of_leaf(x: Any) -> Any:
        if isinstance(x, (jax.Array, np.ndarray, np.generic)):
            return function(x) if jnp.issubdtype(x.dtype, jnp.floating) else x
        return x

    return jax.tree.map(of_leaf, tree)


def checked(function: str, policy: Any) -> Any:
    """A policy; a string is parsed."""
    if policy is None:
        # An AssertionError, since that is what programs may catch here.
        raise AssertionError(
            f"hk.mixed_precision.{function} takes a policy, got None: to remove the "
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
