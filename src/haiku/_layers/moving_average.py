"""Exponential moving averages of one array, and of a tree of parameters."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from haiku._core import Module, get_state, set_state
from haiku._layers.cached_tracing import compiled
from haiku._layers.inputs import shapes_broadcast
from haiku._layers.params_tree import ParamsTree
from haiku.initializers import Constant

__all__ = [
    "EMAParamsTree",
    "ExponentialMovingAverage",
    "start_average",
    "widen_half",
]


def widen_half(x: jax.Array) -> jax.Array:
    """`x`, in float32 if it has half precision: sums and averages need more digits."""
    half = x.dtype.itemsize < 4 and jnp.issubdtype(x.dtype, jnp.floating)
    return x.astype(jnp.float32) if half else x


class ExponentialMovingAverage(Module):
    """Keeps an exponential moving average of its inputs.

        hidden = decay * hidden + (1 - decay) * value
        average = hidden / (1 - decay ** count)

    The division corrects for `hidden` starting at zero. Without it, the average can
    start from the values of the first `warmup_length` updates instead. Averages of
    half-precision values are kept in float32, where 0.999 doesn't round to 1.

    Args:
      decay: Weight of the old average in an update, in [0, 1).
      zero_debias: Whether to divide as above.
      warmup_length: Number of updates in which the average equals the latest value;
        needs ``zero_debias=False``.
      name: Name of the module.

    Raises:
      ValueError: `warmup_length` is negative, or combined with `zero_debias`.

    Source:
      Kingma and Ba, 2014, Adam: A Method for Stochastic Optimization, arXiv:1412.6980,
      section 3, for the division.

    Example:
      >>> net = hk.transform_with_state(lambda x: hk.ExponentialMovingAverage(0.9)(x))
      >>> _, state = net.init(None, 3.0)
      >>> float(net.apply({}, state, None, 5.0)[0])  # the first value counts in full
      5.0
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
                f"`warmup_length` is {warmup_length}, but should be non-negative: it "
                "is the number of updates in which the average is the latest value."
            )
        if warmup_length and zero_debias:
            raise ValueError(
                f"warmup_length={warmup_length} starts the average from the latest "
                "value, so zero_debias has no bias to remove: set "
                "zero_debias=False, or leave warmup_length at 0."
            )
        self.decay = decay
        self.warmup_length = warmup_length
        self.zero_debias = zero_debias
        self._first_count = Constant(-warmup_length)

    def initialize(self, shape: Any, dtype: Any = jnp.float32) -> None:
        """Starts the average at zero, unless there is one already.

        Args:
          shape: Shape of the values, or an array with their shape and dtype.
          dtype: Dtype of the values.
        """
        if hasattr(shape, "shape"):
            shape, dtype = shape.shape, shape.dtype
        get_state("hidden", shape, dtype, init=jnp.zeros)
        get_state("average", shape, dtype, init=jnp.zeros)

    def __call__(self, value: Any, update_stats: bool = True) -> jax.Array:
        """Updates the average with `value`.

        Args:
          value: An array whose shape is, or broadcasts with, that of the average.
            Integers are converted to floats.
          update_stats: Whether to store the new average or only return it.

        Returns:
          The new average, with the shape and dtype of `value`.

        Raises:
          ValueError: The shape of `value` doesn't broadcast with the average's.
        """
        if not isinstance(value, jax.Array):
            value = jnp.asarray(value)
        if not jnp.issubdtype(value.dtype, jnp.inexact):
            value = value.astype(jnp.float32)
        dtype = widen_half(value).dtype
        counter = get_state("counter", (), jnp.int32, init=self._first_count)
        hidden = get_state("hidden", value.shape, dtype, init=jnp.zeros)
        if not shapes_broadcast(hidden.shape, value.shape):
            raise ValueError(
                f"{self.module_name!r} averages arrays of shape {hidden.shape}, but "
                f"got one of shape {value.shape}: build a module for each shape."
            )
        if hidden.dtype != dtype and not jnp.issubdtype(hidden.dtype, jnp.inexact):
            hidden = hidden.astype(dtype)
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
        """The current average.

        Raises:
          ValueError: There is none yet: call the module or `initialize` first.
        """
        try:
            return get_state("average")
        except ValueError as error:
            raise ValueError(
                f"No value for 'average' in {self.module_name!r} yet: the first update "
                "creates it. Run `init` with is_training=True, as in params, state = "
                "net.init(key, x, is_training=True), and pass that state to `apply`."
            ) from error


@compiled("moving_average", "zero_debias", "warmup")
def _update(counter, hidden, value, decay, zero_debias, warmup):
    counter = counter + 1
    if warmup:
        decay = jnp.where(counter <= 0, jnp.zeros_like(decay), decay)
    one = np.ones((), decay.dtype)
    new = widen_half(hidden) * decay + widen_half(value) * (one - decay)
    average = new
    if zero_debias:
        average = new / (one - jax.lax.pow(decay, counter))
    # State stored in half precision keeps its dtype.
    return counter, new.astype(hidden.dtype), average.astype(hidden.dtype)


def start_average(average: ExponentialMovingAverage, value: jax.Array) -> None:
    """Creates the state to average arrays like `value`; existing state stays."""
    average.initialize(value)
    average(value, update_stats=False)


class EMAParamsTree(ParamsTree):
    """Keeps an exponential moving average of each array in a tree of parameters.

    The submodule ``mlp___tilde___linear__w`` averages ``w`` of ``mlp/~/linear``.

    Args:
      decay: See :class:`ExponentialMovingAverage`.
      zero_debias: See :class:`ExponentialMovingAverage`.
      warmup_length: See :class:`ExponentialMovingAverage`.
      ignore_regex: Matched with the start of ``module/name``: parameters that match
        are returned unchanged. The empty string matches none.
      name: Name of the module.

    Raises:
      ValueError: See :class:`ExponentialMovingAverage`.

    Example:
      >>> ema = hk.transform_with_state(lambda params: hk.EMAParamsTree(0.999)(params))
      >>> params = {"linear": {"w": jnp.ones([3, 2])}}
      >>> _, state = ema.init(None, params)
      >>> averages, state = ema.apply({}, state, None, params)  # after each update
    """

    def __init__(
        self,
        decay: float | jax.Array,
        zero_debias: bool = True,
        warmup_length: int = 0,
        ignore_regex: str = "",
        name: str | None = None,
    ):
        average = functools.partial(
            ExponentialMovingAverage, decay, zero_debias, warmup_length
        )
        super().__init__(average, ignore_regex, name=name)
        self.decay = decay
        self.zero_debias = zero_debias
        self.warmup_length = warmup_length
