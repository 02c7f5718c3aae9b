"""Policy targets: sampled actions with weights, and a loss to imitate them."""

from __future__ import annotations

from typing import Protocol

import jax
import jax.numpy as jnp

from rlax._core.arrays import of_widest_float
from rlax._core.errors import ContractError
from rlax._core.gradients import stop_gradient_if
from rlax._core.objects import Record, record

Array = jax.Array


class Distribution(Protocol):
    """The interface of distributions here; distrax's and TFP's have it."""

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """Shape of the independent distributions."""
        ...

    def sample(self, *, seed: Array, sample_shape: tuple[int, ...]) -> Array:
        """Samples `[*sample_shape, *batch_shape, *event_shape]`."""
        ...

    def log_prob(self, value: Array, /) -> Array:
        """Log probabilities of samples, without their event axes."""
        ...


@record
class PolicyTarget(Record):
    """Actions to imitate.

    Attributes:
      actions: `[N, ..., *event]`.
      weights: How much each counts, `[N, ...]`.

    Example:
      >>> targets = rlax.PolicyTarget(actions=jnp.array([0, 2]), weights=jnp.ones(2))
      >>> print(targets.replace(weights=targets.weights / 2).weights)
      [0.5 0.5]
    """

    actions: Array
    weights: Array


def constant_policy_targets(
    distribution: Distribution,
    rng_key: Array,
    num_samples: int,
    weights_scale: float = 1.0,
) -> PolicyTarget:
    """Samples actions, all with the same weight.

    Args:
      distribution: Of the actions.
      rng_key: A random key.
      num_samples: N, at least 1.
      weights_scale: The weight.

    Returns:
      Targets with actions `[N, *batch, *event]` and weights `[N, *batch]`.

    Raises:
      ContractError: If num_samples is below 1.

    Example:
      >>> from types import SimpleNamespace
      >>> always = SimpleNamespace(batch_shape=())  # a distribution: action 1
      >>> always.sample = lambda seed, sample_shape: jnp.ones(sample_shape, int)
      >>> targets = rlax.constant_policy_targets(always, jax.random.key(0), 3, 0.5)
      >>> print(targets.actions, targets.weights)
      [1 1 1] [0.5 0.5 0.5]
    """
    if num_samples < 1:
        raise ContractError(
            "constant_policy_targets: num_samples must be at least 1, got "
            f"{num_samples}."
        )
    actions = distribution.sample(seed=rng_key, sample_shape=(num_samples,))
    shape = (num_samples, *distribution.batch_shape)
    weights = weights_scale * jnp.ones(shape, jnp.float32)
    return PolicyTarget(actions=actions, weights=weights)


def zero_policy_targets(
    distribution: Distribution,
    rng_key: Array,
    num_samples: int,
    weights_scale: float = 0.0,
) -> PolicyTarget:
    """Samples actions of weight 0: targets that change nothing.

    Args:
      distribution: As in `constant_policy_targets`.
      rng_key: As in `constant_policy_targets`.
      num_samples: As in `constant_policy_targets`.
      weights_scale: The weight.

    Returns:
      As `constant_policy_targets`.

    Example:
      >>> from types import SimpleNamespace
      >>> always = SimpleNamespace(batch_shape=())  # a distribution: action 1
      >>> always.sample = lambda seed, sample_shape: jnp.ones(sample_shape, int)
      >>> targets = rlax.zero_policy_targets(always, jax.random.key(0), 3)
      >>> print(targets.actions, targets.weights)
      [1 1 1] [0. 0. 0.]
    """
    return constant_policy_targets(distribution, rng_key, num_samples, weights_scale)


def sampled_policy_distillation_loss(
    distribution: Distribution,
    policy_targets: PolicyTarget,
    stop_target_gradients: bool = True,
) -> Array:
    """Computes the weighted negative log likelihood of target actions.

        -mean w log π(a)

    Args:
      distribution: The policy that learns, of batch shape `[...]`.
      policy_targets: Actions and weights.
      stop_target_gradients: Whether to stop the gradient through the targets.

    Returns:
      The loss, `[]`.

    Gradient:
      Reaches the distribution's parameters; the targets unless stopped.

    Raises:
      ContractError: If weights and log probabilities differ in shape.

    Example:
      >>> from types import SimpleNamespace
      >>> coin = SimpleNamespace(log_prob=lambda actions: jnp.log(jnp.full(2, 0.5)))
      >>> weights = jnp.array([1.0, 3.0])
      >>> targets = rlax.PolicyTarget(actions=jnp.arange(2), weights=weights)
      >>> print(rlax.sampled_policy_distillation_loss(coin, targets).round(2))
      1.39
    """
    targets = stop_gradient_if(stop_target_gradients, policy_targets)
    log_probs = jnp.asarray(distribution.log_prob(targets.actions))
    weights = jnp.asarray(targets.weights)
    if log_probs.shape != jnp.shape(targets.weights):
        raise ContractError(
            f"sampled_policy_distillation_loss: log_prob of actions "
            f"{list(jnp.shape(targets.actions))} has shape {list(log_probs.shape)}, "
            f"but the weights {list(jnp.shape(targets.weights))}; pass one weight for "
            "each action."
        )
    return -jnp.mean(jnp.multiply(*of_widest_float(log_probs, weights)))
