"""Actors of soft actor-critic and TD3."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from rlax._core.contracts import shapes
from rlax._core.errors import check_choice
from rlax._core.types import known_arrays
from rlax._values.ensembles import lowest_soft_value

Array = jax.Array

_REDUCTIONS = {"min": jnp.min, "mean": jnp.mean}
_FORMS = {"exp": jnp.exp, "log": lambda x: x}


@shapes("log_pi_t[], q_t[M], temperature:positive[]")
def sac_policy_loss(
    log_pi_t: ArrayLike,
    q_t: ArrayLike,
    temperature: ArrayLike,
    *,
    reduce: str = "min",
) -> Array:
    """Computes the actor's loss of soft actor-critic.

        α log π(a) - min_i q[i]

    Args:
      log_pi_t: Log probability of an action that the policy drew with its gradient
        (reparametrised), `[]`.
      q_t: Values of that action, by each of M critics, `[M]`.
      temperature: α, not negative, `[]`.
      reduce: "min", or "mean" for the mean of the critics, as in REDQ.

    Returns:
      The loss, `[]`.

    Gradient:
      Reaches log_pi_t and q_t, and through them the policy.

    Raises:
      ContractError: If reduce isn't one of these.

    Source: Haarnoja et al. 2018, Soft Actor-Critic Algorithms and Applications, arXiv
    1812.05905, equation 9; the mean: Chen et al. 2021, arXiv 2101.05982.

    Example:
      >>> print(rlax.sac_policy_loss(-1.0, [2.0, 3.0], 0.5))
      -2.5
    """
    check_choice("sac_policy_loss", "reduce", reduce, _REDUCTIONS)
    log_pi_t, temperature = known_arrays(log_pi_t, temperature)
    return jax.lax.stop_gradient(temperature) * log_pi_t - _REDUCTIONS[reduce](q_t)


@shapes("log_temperature[], log_pi_t[], target_entropy[]")
def sac_temperature_loss(
    log_temperature: ArrayLike,
    log_pi_t: ArrayLike,
    target_entropy: ArrayLike,
    *,
    form: str = "exp",
) -> Array:
    """Computes a loss that moves the temperature until the entropy is as wanted.

        -x (log π(a) + target_entropy)

    Args:
      log_temperature: Logarithm of the temperature, which is learned, `[]`.
      log_pi_t: Log probability of an action of the policy, `[]`; minus the entropy for
        discrete actions.
      target_entropy: The entropy wanted, in nats, `[]`; minus the number of
        dimensions in the paper.
      form: "exp": x is the temperature, as in the paper; "log": its logarithm, as in
        the authors' code.

    Returns:
      The loss, `[]`.

    Gradient:
      Reaches log_temperature.

    Raises:
      ContractError: If form isn't one of these.

    Source: Haarnoja et al. 2018, arXiv 1812.05905, equation 18.

    Example:
      >>> print(rlax.sac_temperature_loss(0.0, -1.0, -2.0))
      3.0
    """
    check_choice("sac_temperature_loss", "form", form, _FORMS)
    log_pi_t, target_entropy = known_arrays(log_pi_t, target_entropy)
    return -_FORMS[form](log_temperature) * jax.lax.stop_gradient(
        log_pi_t + target_entropy
    )


@shapes("logits_t[A], q_t[M A], temperature:positive[]")
def discrete_sac_policy_loss(
    logits_t: ArrayLike, q_t: ArrayLike, temperature: ArrayLike
) -> Array:
    """Computes the actor's loss of soft actor-critic for discrete actions.

        Σ_a π(a) (α log π(a) - min_i q[i, a])

    Args:
      logits_t: Logits of the policy, `[A]`. An action of -inf adds 0, whatever its
        values.
      q_t: Action values, by each of M critics, `[M, A]`.
      temperature: α, not negative, `[]`.

    Returns:
      The loss, `[]`.

    Gradient:
      Reaches logits_t.

    Source: Christodoulou 2019, arXiv 1910.07207, equation 12.

    Example:
      >>> q = jnp.array([[1.0, 3.0], [2.0, 2.0]])
      >>> print(rlax.discrete_sac_policy_loss([0.0, 0.0], q, 0.0))
      -1.5
    """
    q_t, temperature = jax.lax.stop_gradient((q_t, temperature))
    return -lowest_soft_value(q_t, logits_t, temperature)


@shapes(
    "a_t[D], stddev:positive[], noise_clip:positive[], min_action:real[]|[D],"
    "max_action:real[]|[D]"
)
def smoothed_target_action(
    key: Array,
    a_t: ArrayLike,
    stddev: ArrayLike = 0.2,
    noise_clip: ArrayLike = 0.5,
    min_action: ArrayLike = -1.0,
    max_action: ArrayLike = 1.0,
) -> Array:
    """Adds clipped noise to the target policy's action, within the bounds.

        clip(a + clip(ε, -c, c), min, max),    ε ~ N(0, stddev²)

    Args:
      key: A random key.
      a_t: Action of the target policy, `[D]`.
      stddev: Standard deviation of the noise, not negative, `[]`.
      noise_clip: c, the largest noise, not negative, `[]`.
      min_action: Lower bounds, one number or `[D]`.
      max_action: Upper bounds, one number or `[D]`.

    Returns:
      `[D]`.

    Gradient:
      Reaches a_t within the bounds.

    Raises:
      ContractError: If stddev or noise_clip is negative.

    Source: Fujimoto et al. 2018, arXiv 1802.09477, equations 14 and 15.

    Example:
      >>> key = jax.random.key(0)
      >>> print(rlax.smoothed_target_action(key, [0.5, 2.0], stddev=0.0))
      [0.5 1. ]
    """
    (a_t,) = known_arrays(a_t)
    options = jax.lax.stop_gradient((stddev, noise_clip, min_action, max_action))
    stddev, limit, min_action, max_action = known_arrays(*options)
    noise = stddev * jax.random.normal(key, a_t.shape, a_t.dtype)
    return jnp.clip(a_t + jnp.clip(noise, -limit, limit), min_action, max_action)
