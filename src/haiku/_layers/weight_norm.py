"""`WeightNorm`: weights as a direction and a magnitude."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from haiku._core import (
    DO_NOT_STORE,
    GetterContext,
    Hooks,
    Module,
    current_name,
    get_parameter,
    get_params,
)
from haiku._layers.inputs import at_least_single
from haiku._trees.patterns import nearest, pattern

__all__ = ["WeightNorm"]

_SUFFIX = "_magnitude"


class WeightNorm(Module):
    """Runs a module whose weights are a direction and a magnitude for each output.

        w = magnitude v / |v|

    The module's own parameter is ``v``; the magnitude, beside it, begins as ``|v|``, so
    that nothing changes at first. Numbers equal
    ``torch.nn.utils.parametrizations.weight_norm``.

    Args:
      module: A module, a blueprint, or a function that uses modules.
      pattern: Which parameters, by their path, as in :mod:`hk.surgery`.
      axis: The axis of outputs: norms are over all others. None is one norm for the
        whole array.
      name: Name of the module.

    Parameters:
      Beside each ``w``, ``w_magnitude`` ``[out]``, or ``[]`` without an axis.

    Raises:
      ValueError: At a call, if `pattern` finds no parameter, or finds one with fewer
        than two axes.

    Gradient:
      That of the equation. A ``v`` of zeros has no direction: it gives NaN.

    Source:
      Salimans and Kingma, 2016, Weight Normalization: A Simple Reparameterization to
      Accelerate Training of Deep Neural Networks, arXiv:1602.07868.

    Example:
      >>> model = hk.bind(hk.WeightNorm, hk.Blueprint(hk.Linear, 2))
      >>> hk.surgery.paths(model.init(0, jnp.ones([1, 3])).params)
      ['linear/b', 'linear/w', 'linear/w_magnitude']
    """

    def __init__(
        self,
        module: Callable[..., Any],
        pattern: str = "**/w",
        *,
        axis: int | None = -1,
        name: str | None = None,
    ):
        super().__init__(name=name)
        if not callable(module):
            raise TypeError(
                f"{self.module_name!r} takes a module to call, got {module!r}. For the "
                "layers of a block write `with hk.custom_getter(hk.WeightNorm.getter("
                "'**/w')):`."
            )
        self.module = module
        self.getter_of_call = self.getter(pattern, axis=axis)

    @staticmethod
    def getter(pattern: str = "**/w", *, axis: int | None = -1) -> Callable[..., Any]:
        """The same as a getter, for `hk.custom_getter` or `hk.Hooks`.

        Args:
          pattern: Which parameters, by their path.
          axis: The axis of outputs, or None.

        Returns:
          ``getter(next_getter, value, context)``; equal ones compare equal.

        Raises:
          ValueError: `pattern` isn't a pattern of paths.
        """
        return _Getter(pattern, axis)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Calls the module."""
        paths: dict[str, None] = {}
        getter, found = self.getter_of_call, []

        def noting(next_getter, value, context):
            path = _path(context)
            paths[path] = None
            found.extend([path] if getter.finds(path) else [])
            return getter(next_getter, value, context)

        with Hooks(getter=noting):
            out = self.module(*args, **kwargs)
        if not found:
            have = nearest(getter.pattern, paths)
            have = f"it used {have}" if have else "it used none"
            raise ValueError(
                f"{self.module_name!r} normalises parameters like "
                f"{getter.pattern!r}, and {self.module!r} used no such parameter: "
                f"{have}. Pass another pattern."
            )
        return out


@dataclasses.dataclass(frozen=True)
class _Getter:
    """Puts a parameter together from its direction and its magnitude.

    Attributes:
      pattern: Which parameters.
      axis: The axis of outputs, or None.
    """

    pattern: str
    axis: int | None

    def __post_init__(self):
        pattern(self.pattern)

    def finds(self, path: str) -> bool:
        """Whether the parameter at a path is one of these."""
        is_own = path.endswith(_SUFFIX)
        return not is_own and pattern(self.pattern).match(path) is not None

    def __call__(self, next_getter, value, context: GetterContext):
        if value is DO_NOT_STORE or not self.finds(_path(context)):
            return next_getter(value)
        value = jnp.asarray(value)
        axes = self._others(value, context)
        shape = [] if self.axis is None else [value.shape[self.axis]]

        def norms(shape, dtype):
            return _norm(value, axes).reshape(shape).astype(dtype)

        if current_name() == context.module_name:
            name = context.name + _SUFFIX
            magnitude = get_parameter(name, shape, value.dtype, init=norms)
        else:
            magnitude = _of_other_module(context)
        return next_getter(_scaled(value, magnitude, axes))

    def _others(self, value, context: GetterContext) -> tuple[int, ...]:
        """The axes that norms are over."""
        rank = value.ndim
        if rank < 2 or not jnp.issubdtype(value.dtype, jnp.floating):
            raise ValueError(
                f"hk.WeightNorm normalises matrices and kernels of floats: "
                f"{context.full_name} is {value.dtype} {list(value.shape)}. Choose "
                f"others than {self.pattern!r} does."
            )
        if self.axis is None:
            return tuple(range(rank))
        if not -rank <= self.axis < rank:
            raise ValueError(
                f"hk.WeightNorm has axis={self.axis}, which {context.full_name} of "
                f"shape {list(value.shape)} doesn't have."
            )
        return tuple(i for i in range(rank) if i != self.axis % rank)


def _norm(v: jax.Array, axes: tuple[int, ...]) -> jax.Array:
    """Norms over `axes`, which stay with size 1, in single precision at least."""
    wide = v.astype(at_least_single(v.dtype))
    return jnp.sqrt(jnp.sum(jnp.square(wide), axes, keepdims=True))


def _scaled(v, magnitude, axes):
    norm = _norm(v, axes)
    factor = magnitude.astype(norm.dtype).reshape(norm.shape) / norm
    return (v.astype(norm.dtype) * jnp.broadcast_to(factor, v.shape)).astype(v.dtype)


def _of_other_module(context: GetterContext) -> jax.Array:
    """The magnitude of a parameter that another module uses in place of its own."""
    own = get_params().get(context.module_name, {})
    if context.name + _SUFFIX not in own:
        raise ValueError(
            f"hk.WeightNorm: {current_name()} uses {context.full_name}, which has no "
            f"magnitude yet. Call {context.module_name} first, which makes it."
        )
    return own[context.name + _SUFFIX]


def _path(context: GetterContext) -> str:
    return (context.lifted_prefix_name or "") + context.full_name
