"""Exponential moving averages of mean and variance, debiased."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from rlax._core.arrays import widest
from rlax._core.errors import check_range
from rlax._core.objects import Record, record
from rlax._core.types import ArrayTree

Array = jax.Array


@record
class EmaMoments(Record):
    """Estimates of two moments.

    Attributes:
      mean: A tree of numbers.
      variance: A tree of numbers.

    Example:
      >>> moments = rlax.EmaMoments(mean=1.0, variance=4.0)
      >>> print((5.0 - moments.mean) / moments.variance**0.5)
      2.0
    """

    mean: ArrayTree
    variance: ArrayTree


@record
class EmaState(Record):
    """State of an exponential moving average of moments.

    Attributes:
      mu: Average of the values, biased towards 0; a tree of numbers.
      nu: Average of their squares, biased as well.
      decay_product: decay to the power of the number of updates, `[]`.

    Example:
      >>> state = rlax.EmaState(mu=0.25, nu=1.0, decay_product=0.75)
      >>> print(state.debiased_moments().mean)
      1.0
    """

    mu: ArrayTree
    nu: ArrayTree
    decay_product: ArrayLike

    def debiased_moments(self) -> EmaMoments:
        """The estimates, corrected for the start at 0; 0 before the first update."""
        # Before the first update 1 - decay_product is 0, and so are mu and nu.
        share = 1 - jnp.asarray(self.decay_product)
        share = jnp.where(share == 0, 1, share)

        def debiased(average: ArrayLike) -> Array:
            average = jnp.asarray(average)
            dtype = widest(average.dtype, share.dtype)
            return average.astype(dtype) / share.astype(dtype)

        mean = jax.tree.map(debiased, self.mu)
        variance = jax.tree.map(
            lambda nu, m: jnp.maximum(debiased(nu) - jnp.square(m), 0), self.nu, mean
        )
        return EmaMoments(mean=mean, variance=variance)


def create_ema(
    decay: float = 0.999, pmean_axis_name: str | None = None
) -> tuple[Callable[[ArrayTree], EmaState], Callable[..., tuple[EmaMoments, EmaState]]]:
    """Makes the init and update functions of a moving average of moments.

    Args:
      decay: Weight of the past at every update, in [0, 1].
      pmean_axis_name: Mapped axis to average the values over. Default: none.

    Returns:
      A tuple of init_state(template) -> EmaState, and update(values, state) ->
      (EmaMoments, EmaState). Values and template are trees of arrays, and each array
      is averaged to one number. If all are empty, the state stays.

    Raises:
      ContractError: If decay is out of [0, 1].

    Source: Kingma and Ba 2015, Adam, arXiv 1412.6980, section 3 (debiasing).

    Example:
      >>> init, update = rlax.create_ema(decay=0.9)
      >>> moments, state = update(jnp.array([1.0, 3.0]), init(jnp.zeros(2)))
      >>> print(moments.mean.round(2))
      2.0
    """
    check_range("create_ema", "decay", decay, 0, 1)

    def init_state(template: ArrayTree) -> EmaState:
        """The state before any update, for trees like template."""
        mu, nu = (
            jax.tree.map(lambda x: jnp.zeros_like(jnp.mean(x)), template)
            for _ in range(2)
        )
        return EmaState(mu=mu, nu=nu, decay_product=jnp.ones([], jnp.float32))

    def update(values: ArrayTree, state: EmaState) -> tuple[EmaMoments, EmaState]:
        """Returns the estimates including values, and the new state."""
        if all(jnp.size(x) == 0 for x in jax.tree.leaves(values)):
            return state.debiased_moments(), state  # an empty batch

        def mean(x: ArrayLike) -> Array:
            average = jnp.mean(x)
            if pmean_axis_name is not None:
                average = jax.lax.pmean(average, axis_name=pmean_axis_name)
            return average

        def move(old: Array, x: ArrayLike) -> Array:
            return decay * old + (1 - decay) * mean(x)

        square = jax.tree.map(lambda x: jnp.square(jnp.asarray(x)), values)
        new = EmaState(
            mu=jax.tree.map(move, state.mu, values),
            nu=jax.tree.map(move, state.nu, square),
            decay_product=state.decay_product * decay,
        )
        return new.debiased_moments(), new

    return init_state, update
