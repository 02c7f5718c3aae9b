"""Values from a fixed data set: conservative, and by expectiles."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from rlax._core.contracts import shapes
from rlax._core.errors import check_above, check_range
from rlax._core.types import known_arrays
from rlax._learning.losses import asymmetric_square

Array = jax.Array


@shapes("q_t[N], q_data[], log_mu_t?[N]", empty=False)
def cql_loss(
    q_t: ArrayLike,
    q_data: ArrayLike,
    temperature: float = 1.0,
    *,
    log_mu_t: ArrayLike | None = None,
) -> Array:
    """Computes the penalty of conservative Q-learning: large values of unseen actions.

        τ log Σ_i exp((q_i - log μ_i) / τ) - q_data

    Args:
      q_t: Values of all actions, or of N sampled ones, `[N]`.
      q_data: Value of the action in the data, `[]`.
      temperature: τ, above 0.
      log_mu_t: Log density of the samples, `[N]`. Default: q_t holds all actions.
        log N is not subtracted.

    Returns:
      The penalty to add to a TD loss, `[]`.

    Gradient:
      Reaches q_t and q_data.

    Raises:
      ContractError: If temperature isn't above 0, or N is 0.

    Source: Kumar et al. 2020, Conservative Q-Learning for Offline Reinforcement
    Learning, arXiv 2006.04779, equation 4.

    Example:
      >>> print(rlax.cql_loss([1.0, 1.0], q_data=1.0).round(2))
      0.69
    """
    check_above("cql_loss", "temperature", temperature)
    q_t, q_data = known_arrays(q_t, q_data)
    if log_mu_t is not None:
        q_t = q_t - jax.lax.stop_gradient(log_mu_t)
    return temperature * jax.nn.logsumexp(q_t / temperature) - q_data


@shapes("v_tm1[], q_tm1[N]", empty=False)
def iql_value_loss(v_tm1: ArrayLike, q_tm1: ArrayLike, expectile: float = 0.7) -> Array:
    """Computes the value loss of implicit Q-learning: an expectile of action values.

        |τ - 1{u < 0}| u²,    u = min_n q_n - v

    Args:
      v_tm1: Value of the state, `[]`.
      q_tm1: Values of the action in the data by N critics, `[N]`.
      expectile: τ, the weight where q is above v, in [0, 1].

    Returns:
      The loss, `[]`.

    Gradient:
      Reaches v_tm1.

    Raises:
      ContractError: If expectile is out of [0, 1], or N is 0.

    Source: Kostrikov et al. 2022, Offline Reinforcement Learning with Implicit
    Q-Learning, arXiv 2110.06169, equation 5.

    Example:
      >>> print(rlax.iql_value_loss(1.0, [3.0, 4.0], expectile=0.75))
      3.0
    """
    check_range("iql_value_loss", "expectile", expectile, 0, 1)
    delta = jnp.min(jax.lax.stop_gradient(q_tm1)) - v_tm1
    return asymmetric_square(delta, expectile)
