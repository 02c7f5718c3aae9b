"""Distributions over actions from logits or preferences."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from rlax._core.arrays import pick
from rlax._core.contracts import shapes
from rlax._core.errors import check, check_above, check_range, whole_number
from rlax._core.probabilities import kl_divergence
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


def masked_softmax(temperature: float = 1.0) -> DiscreteDistribution:
    """Makes the Boltzmann distribution of the logits of legal actions.

        p(a) ∝ mask[a] e^(logits[a] / temperature)

    Args:
      temperature: Above 0.

    Returns:
      A `DiscreteDistribution` whose functions take a mask `[..., A]`, true where an
      action is legal, as their last argument. An illegal action has probability 0,
      whatever its logit. Where none is legal, all probabilities and the entropy are 0,
      and a sample is -1.

    Raises:
      ContractError: If temperature is not above 0.

    Source: Huang and Ontañón 2022, A Closer Look at Invalid Action Masking in Policy
    Gradient Algorithms, arXiv 2006.14171.

    Example:
      >>> legal = [True, False, True]
      >>> print(rlax.masked_softmax().probs([0.0, 9.0, 0.0], legal))
      [0.5 0.  0.5]
    """
    check_above("masked_softmax", "temperature", temperature)
    masked = "logits:real[... A], mask:mask[... A]"

    def legal_logits(logits: ArrayLike, mask: ArrayLike) -> Array:
        """-inf where illegal, or 0 everywhere where nothing is legal."""
        logits, mask = known_arrays(logits, mask)
        none = ~jnp.any(mask, axis=-1, keepdims=True)
        legal = jnp.where(mask, logits, 0) / temperature
        return jnp.where(mask, legal, jnp.where(none, 0, -jnp.inf))

    def probs_of(logits: ArrayLike, mask: ArrayLike) -> Array:
        (legal,) = known_arrays(mask)
        return jnp.where(legal, jax.nn.softmax(legal_logits(logits, mask)), 0)

    @shapes(masked, "masked_softmax().sample")
    def sample(key: Array, logits: ArrayLike, mask: ArrayLike) -> Array:
        return categorical_sample(key, probs_of(logits, mask))

    @shapes(masked, "masked_softmax().probs")
    def probs(logits: ArrayLike, mask: ArrayLike) -> Array:
        return probs_of(logits, mask)

    @shapes("sample:index(A)[...]," + masked, "masked_softmax().logprob")
    def logprob(sample: ArrayLike, logits: ArrayLike, mask: ArrayLike) -> Array:
        log_p = jax.nn.log_softmax(legal_logits(logits, mask))
        return pick(jnp.where(known_arrays(mask)[0], log_p, -jnp.inf), sample)

    @shapes(masked, "masked_softmax().entropy")
    def entropy(logits: ArrayLike, mask: ArrayLike) -> Array:
        return entropy_of(probs_of(logits, mask))

    @shapes(
        "p_logits:real[... A], q_logits:real[... A], mask:mask[... A]",
        "masked_softmax().kl",
    )
    def kl(p_logits: ArrayLike, q_logits: ArrayLike, mask: ArrayLike) -> Array:
        return kl_divergence(legal_logits(p_logits, mask), legal_logits(q_logits, mask))

    return DiscreteDistribution(sample, probs, logprob, entropy, kl)


def multi_discrete(sizes: Sequence[int]) -> DiscreteDistribution:
    """Makes the distribution of several independent actions, each from its own logits.

    Args:
      sizes: Number of choices of each action.

    Returns:
      A `DiscreteDistribution` of logits `[..., Σ sizes]`, side by side, and samples
      `[..., len(sizes)]`. Its probs is a tuple; logprob, entropy and kl are sums over
      the actions.

    Raises:
      ContractError: If there are no sizes, or one is below 1; if logits or samples
        have another size.

    Example:
      >>> policy = rlax.multi_discrete([2, 4])
      >>> print(policy.logprob([0, 3], jnp.zeros(6)).round(2))  # -log 8
      -2.08
    """
    op = "multi_discrete"
    sizes = [whole_number(op, "sizes", size) for size in sizes]
    check(bool(sizes), f"{op}: sizes must hold at least one number.")
    ends = list(itertools.accumulate(sizes))
    one = _softmax(op, 1.0, None)

    def total(each: Iterable[Array]) -> Array:
        return jnp.sum(jnp.stack(list(each)), axis=0)

    def columns(name: str, x: ArrayLike, count: int) -> Any:
        # NumPy stays NumPy, so that its values are checked.
        x = x if hasattr(x, "shape") else np.asarray(x)
        check(
            jnp.ndim(x) > 0 and jnp.shape(x)[-1] == count,
            f"{op}(): {name} must end in an axis of {count}, got shape "
            f"{list(jnp.shape(x))}.",
        )
        return x

    def parts(name: str, logits: ArrayLike) -> list[ArrayLike]:
        (values,) = known_arrays(columns(name, logits, ends[-1]))
        return [values[..., end - size : end] for size, end in zip(sizes, ends)]

    def sample(key: Array, logits: ArrayLike) -> Array:
        keys = jax.random.split(key, len(sizes))
        drawn = [one.sample(k, x) for k, x in zip(keys, parts("logits", logits))]
        return jnp.stack(drawn, axis=-1)

    def probs(logits: ArrayLike) -> tuple[Array, ...]:
        return tuple(one.probs(x) for x in parts("logits", logits))

    def logprob(sample: ArrayLike, logits: ArrayLike) -> Array:
        actions = columns("sample", sample, len(sizes))
        each = parts("logits", logits)
        return total(one.logprob(actions[..., i], x) for i, x in enumerate(each))

    def entropy(logits: ArrayLike) -> Array:
        return total(one.entropy(x) for x in parts("logits", logits))

    def kl(p_logits: ArrayLike, q_logits: ArrayLike) -> Array:
        both = zip(parts("p_logits", p_logits), parts("q_logits", q_logits))
        return total(one.kl(p, q) for p, q in both)

    return DiscreteDistribution(
        sample,
        probs,  # pyright: ignore[reportArgumentType]  # a tuple
        logprob,
        entropy,
        kl,
    )
