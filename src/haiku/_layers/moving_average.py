"""Exponential moving averages: of one array, and of trees of parameters."""

import re
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from haiku._core import Module, get_state, set_state
from haiku._layers.tracing import compiled
from haiku.initializers import Constant

__all__ = ["EMAParamsTree", "ExponentialMovingAverage", "in_full", "map_params_tree"]


def in_full(x: jax.Array) -> jax.Array:
    """`x`, in float32 if its precision is half: what sums and averages are taken in."""
    half = x.dtype.itemsize < 4 and jnp.issubdtype(x.dtype, jnp.floating)
    return x.astype(jnp.float32) if half else x


class ExponentialMovingAverage(Module):
    """Keeps an average that forgets old values exponentially.

        hidden = decay * hidden + (1 - decay) * value
        average = hidden / (1 - decay ** count)

    The division takes out that `hidden` starts from zero. Without it (`zero_debias`),
    the average can start from the values seen in the first `warmup_length` updates.
    Averages of values in half precision are kept in float32, where 0.999 is not 1.

    Args:
      decay: How much of the average is kept at an update, in [0, 1).
      zero_debias: Whether to divide as above.
      warmup_length: For how many updates the average is simply the latest value; only
        with ``zero_debias=False``.
      name: Name of the module.

    Raises:
      ValueError: `warmup_length` is negative, or given together with `zero_debias`.
    """

    def __init__(
        self,
        decay: float | jax.Array,
        zero_debias: bool = True,
        warmup_length: int = 0,
        name: str | None = None,
    ):
        super().__init__(name=name)
        if warmup_length < 0:
            raise ValueError(
                f"`warmup_length` is {warmup_length}, but should be non-negative."
            )
        if warmup_length and zero_debias:
            raise ValueError(
                "Zero debiasing does not make sense when warming up the value of the "
                "average to an initial value. Set zero_debias=False if setting "
                "warmup_length to a non-zero value."
            )
        self.decay = decay
        self.warmup_length = warmup_length
        self.zero_debias = zero_debias
        self._first_count = Constant(-warmup_length)

    def initialize(self, shape: Any, dtype: Any = jnp.float32) -> None:
        """Starts the average at zero, unless it has been started.

        Args:
          shape: Shape of the values, or an array of their shape and dtype.
          dtype: Dtype of the values.
        """
        if hasattr(shape, "shape"):
            shape, dtype = shape.shape, shape.dtype
        get_state("hidden", shape, dtype, init=jnp.zeros)
        get_state("average", shape, dtype, init=jnp.zeros)

    def __call__(self, value: Any, update_stats: bool = True) -> jax.Array:
        """Blends `value` into the average.

        Args:
          value: An array, of the same shape at every call. Integers count as floats.
          update_stats: Whether to keep the new average, or only to return it.

        Returns:
          The new average, of the shape and dtype of `value`.

        Raises:
          ValueError: The shape of `value` is not that of the average.
        """
        if not isinstance(value, jax.Array):
            value = jnp.asarray(value)
        if not jnp.issubdtype(value.dtype, jnp.inexact):
            value = value.astype(jnp.float32)
        dtype = in_full(value).dtype
        counter = get_state("counter", (), jnp.int32, init=self._first_count)
        hidden = get_state("hidden", value.shape, dtype, init=jnp.zeros)
        if hidden.shape != value.shape:
            raise ValueError(
                f"{self.module_name!r} averages arrays of shape {hidden.shape}, but "
                f"got one of shape {value.shape}."
            )
        decay = self.decay
        decay = (
            decay.astype(dtype)
            if isinstance(decay, jax.Array)
            else np.asarray(decay, dtype)
        )
        counter, hidden, average = _update(
            counter, hidden, value, decay, self.zero_debias, self.warmup_length > 0
        )
        if update_stats:
            set_state("counter", counter)
            set_state("hidden", hidden)
            set_state("average", average)
        same = average.dtype == value.dtype
        return average if same else average.astype(value.dtype)

    @property
    def average(self) -> jax.Array:
        """The average as it stands.

        Raises:
          ValueError: There is none yet: neither a call nor `initialize` came before.
        """
        return get_state("average")


@compiled("moving_average", "zero_debias", "warmup")
def _update(counter, hidden, value, decay, zero_debias, warmup):
    counter = counter + 1
    if warmup:
        decay = jnp.where(counter <= 0, jnp.zeros_like(decay), decay)
    one = np.ones((), decay.dtype)
    new = in_full(hidden) * decay + in_full(value) * (one - decay)
    average = new
    if zero_debias:
        average = new / (one - jax.lax.pow(decay, counter))
    # State that was kept in half precision stays so.
    return counter, new.astype(hidden.dtype), average.astype(hidden.dtype)


class EMAParamsTree(Module):
    """Averages every array of a tree of parameters, each in a submodule of its own.

    The parameter ``w`` of ``mlp/~/linear`` is averaged in the submodule
    ``mlp___tilde___linear__w``.

    Args:
      decay: See :class:`ExponentialMovingAverage`.
      zero_debias: See :class:`ExponentialMovingAverage`.
      warmup_length: See :class:`ExponentialMovingAverage`.
      ignore_regex: Parameters whose ``module/name`` it matches, from the start, are
        left as they are. Empty matches none.
      name: Name of the module.
    """

    def __init__(
        self,
        decay: float | jax.Array,
        zero_debias: bool = True,
        warmup_length: int = 0,
        ignore_regex: str = "",
        name: str | None = None,
    ):
        super().__init__(name=name)
        self.decay = decay
        self.zero_debias = zero_debias
        self.warmup_length = warmup_length
        self.ignore_regex = ignore_regex

    def __call__(
        self,
        tree: Mapping[str, Mapping[str, jax.Array]],
        update_stats: bool = True,
    ) -> dict[str, dict[str, jax.Array]]:
        """Blends the parameters into their averages.

        Args:
          tree: Parameters, as ``init`` returns them.
          update_stats: Whether to keep the new averages, or only to return them.

        Returns:
          The averages, in a tree like `tree`.
        """

        def average(name: str, value: jax.Array) -> jax.Array:
            ema = ExponentialMovingAverage(
                self.decay, self.zero_debias, self.warmup_length, name=name
            )
            return ema(value, update_stats=update_stats)

        return map_params_tree(average, tree, self.ignore_regex, self.module_name)


def map_params_tree(
    f: Any,
    tree: Mapping[str, Mapping[str, jax.Array]],
    ignore_regex: str,
    where: str,
) -> dict[str, dict[str, jax.Array]]:
    """`f(module name, value)` of all parameters that `ignore_regex` does not match."""
    if not isinstance(tree, Mapping) or not all(
        isinstance(params, Mapping) for params in tree.values()
    ):
        raise TypeError(
            f"{where!r} takes parameters as init returns them, "
            f"{{module: {{name: array}}}}, got {type(tree).__name__}."
        )
    ignored = re.compile(ignore_regex) if ignore_regex else None
    out: dict[str, dict[str, jax.Array]] = {}
    for module, params in tree.items():
        prefix = module.replace("/", "__").replace("~", "_tilde_")
        out[module] = {
            name: value
            if ignored and ignored.match(f"{module}/{name}")
            else f(f"{prefix}__{name}", value)
            for name, value in params.items()
        }
    return out
