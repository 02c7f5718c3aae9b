"""Distributions over actions from logits or preferences."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from rlax._core.arrays import pick
from rlax._core.contracts import shapes
from rlax._core.errors import check_above, check_range
from rlax._core.types import known_arrays
from rlax._policies.divergences import categorical_kl_divergence, entropy_of

Array = jax.Array


class DiscreteDistribution(NamedTuple):
    """The functions of one family of distributions over A actions.

    Attributes:
      sample: (key, logits) -> actions.
      probs: (logits) -> probabilities `[..., A]`.
      logprob: (sample, logits) -> log probability.
      entropy: (logits) -> entropy.
      kl: (p_logits, q_logits) -> KL(p || q).
    """

    sample: Callable[..., Array]
    probs: Callable[..., Array]
    logprob: Callable[..., Array]
    entropy: Callable[..., Array]
    kl: Callable[..., Array]


@shapes("probs:real[... A]")
def categorical_sample(key: Array, probs: ArrayLike) -> Array:
    """Draws from categorical distributions; -1 where probabilities are invalid.

    Args:
      key: A random key.
      probs: `[..., A]`, not negative; their sum may be any positive number.

    Returns:
      Indices, `[...]`; -1 where a probability is negative, infinite or NaN, or all
      are 0.

    Example:
      >>> print(rlax.categorical_sample(jax.random.key(0), [0.0, 1.0]))
      1
    """
    (probs,) = known_arrays(probs)
    finite = jnp.isfinite(probs) & (probs >= 0)
    valid = jnp.all(finite, axis=-1) & jnp.any(probs > 0, axis=-1)
    index = jax.random.categorical(key, jnp.log(jnp.where(finite, probs, 0)), axis=-1)
    return jnp.where(valid, index, -1).astype(jnp.int32)


def softmax(temperature: float = 1.0) -> DiscreteDistribution:
    """Makes the Boltzmann distribution of logits.

        p(a) ∝ e^(logits[a] / temperature)

    Args:
      temperature: Above 0.

    Returns:
      A `DiscreteDistribution`.

    Raises:
      ContractError: If temperature is not above 0.

    Example:
      >>> print(rlax.softmax(temperature=1.0).probs([0.0, 0.0]))
      [0.5 0.5]
    """
    return _softmax("softmax", temperature, None)


def clipped_entropy_softmax(
    temperature: float = 1.0, entropy_clip: float = 1.0
) -> DiscreteDistribution:
    """Makes the Boltzmann distribution with a capped entropy.

    Above the cap, the entropy's gradient no longer pushes the policy to be uniform.

    Args:
      temperature: Above 0.
      entropy_clip: The cap, as a share of the largest entropy log A, in [0, 1].

    Returns:
      A `DiscreteDistribution`.

    Raises:
      ContractError: If temperature is not above 0, or entropy_clip out of [0, 1].

    Example:
      >>> policy = rlax.clipped_entropy_softmax(entropy_clip=0.5)
      >>> print(policy.entropy([0.0, 0.0]).round(2))
      0.35
    """
    check_range("clipped_entropy_softmax", "entropy_clip", entropy_clip, 0, 1)
    return _softmax("clipped_entropy_softmax", temperature, entropy_clip)


def _softmax(name, temperature, entropy_clip):
    check_above(name, "temperature", temperature)

    @shapes("logits:real[... A]", f"{name}().sample")
    def sample(key: Array, logits: ArrayLike, action_spec: object = None) -> Array:
        probs = jax.nn.softmax(logits / temperature)
        return categorical_sample(key, probs)

    @shapes("logits:real[... A]", f"{name}().probs")
    def probs(logits: ArrayLike, action_spec: object = None) -> Array:
        return jax.nn.softmax(logits / temperature)

    @shapes("logits:real[... A], sample:index(A)[...]", f"{name}().logprob")
    def logprob(
        sample: ArrayLike, logits: ArrayLike, action_spec: object = None
    ) -> Array:
        return pick(jax.nn.log_softmax(logits / temperature), sample)

    @shapes("logits:real[... A]", f"{name}().entropy")
    def entropy(logits: ArrayLike) -> Array:
        (logits,) = known_arrays(logits)
        value = entropy_of(jax.nn.softmax(logits / temperature))
        if entropy_clip is None:
            return value
        return jnp.minimum(value, entropy_clip * jnp.log(logits.shape[-1]))

    def kl(p_logits: ArrayLike, q_logits: ArrayLike) -> Array:
        return categorical_kl_divergence(p_logits, q_logits, temperature)

    return DiscreteDistribution(sample, probs, logprob, entropy, kl)


def epsilon_greedy(epsilon: float | None = None) -> DiscreteDistribution:
    """Makes the policy that acts greedily, but uniformly with probability epsilon.

    The best actions share 1 - epsilon evenly.

    Args:
      epsilon: In [0, 1]. Default: passed to each function, as its last argument.

    Returns:
      A `DiscreteDistribution` of preferences.

    Raises:
      ContractError: If epsilon is out of [0, 1].
      TypeError: If epsilon is given neither here nor to a function.

    Source: Sutton and Barto 2018, Reinforcement Learning, chapter 2.

    Example:
      >>> print(rlax.epsilon_greedy(0.5).probs([1.0, 2.0]))
      [0.25 0.75]
    """
    return _epsilon_greedy("epsilon_greedy", epsilon)


def _epsilon_greedy(name, epsilon):
    def known(value: ArrayLike | None) -> ArrayLike:
        if value is None:
            raise TypeError(
                "epsilon_greedy: epsilon is missing; write epsilon_greedy(0.1) or pass "
                "epsilon=0.1 to its functions."
            )
        check_range("epsilon_greedy", "epsilon", value, 0, 1)
        return value

    if epsilon is not None:
        known(epsilon)

    @shapes("probs[... A], sample:index(A)[...]", f"{name}().logprob")
    def pick_sample(probs: Array, sample: ArrayLike) -> Array:
        return pick(probs, sample)

    @shapes("preferences:real[... A]", f"{name}().probs")
    def probs(preferences: ArrayLike, epsilon: ArrayLike | None = epsilon) -> Array:
        (preferences,) = known_arrays(preferences)
        highest = jnp.max(preferences, axis=-1, keepdims=True)
        best = (preferences == highest).astype(preferences.dtype)
        share = best / jnp.sum(best, axis=-1, keepdims=True)
        # Explicit, as the compiler makes 0 of the 0 / 0 of a boolean.
        share = jnp.where(jnp.isnan(highest), jnp.nan, share)
        epsilon = known(epsilon)
        return share * (1 - epsilon) + epsilon / preferences.shape[-1]

    def sample(
        key: Array, preferences: ArrayLike, epsilon: ArrayLike | None = epsilon
    ) -> Array:
        if getattr(preferences, "dtype", None) in (jnp.bfloat16, jnp.float16):
            # Half precision would round small epsilons, and the draw itself.
            preferences = jnp.asarray(preferences, jnp.float32)
        return categorical_sample(key, probs(preferences, epsilon))

    def logprob(
        sample: ArrayLike, preferences: ArrayLike, epsilon: ArrayLike | None = epsilon
    ) -> Array:
        return jnp.log(pick_sample(probs(preferences, epsilon), sample))

    def entropy(preferences: ArrayLike, epsilon: ArrayLike | None = epsilon) -> Array:
        return entropy_of(probs(preferences, epsilon))

    def kl(
        p_logits: ArrayLike, q_logits: ArrayLike, epsilon: ArrayLike | None = epsilon
    ) -> Array:
        log_p, log_q = (jnp.log(probs(x, epsilon)) for x in (p_logits, q_logits))
        return categorical_kl_divergence(log_p, log_q)

    return DiscreteDistribution(sample, probs, logprob, entropy, kl)


def greedy() -> DiscreteDistribution:
    """Makes the policy that takes the action of highest preference.

    Best actions share the probability evenly.

    Returns:
      A `DiscreteDistribution` of preferences.

    Example:
      >>> print(rlax.greedy().probs([1.0, 2.0]))
      [0. 1.]
    """
    always = _epsilon_greedy("greedy", 0.0)

    def sample(key: Array, preferences: ArrayLike) -> Array:
        return always.sample(key, preferences)

    def probs(preferences: ArrayLike) -> Array:
        return always.probs(preferences)

    def logprob(sample: ArrayLike, preferences: ArrayLike) -> Array:
        return always.logprob(sample, preferences)

    def entropy(preferences: ArrayLike) -> Array:
        return always.entropy(preferences)

    def kl(p_logits: ArrayLike, q_logits: ArrayLike) -> Array:
        return always.kl(p_logits, q_logits)

    return DiscreteDistribution(sample, probs, logprob, entropy, kl)
