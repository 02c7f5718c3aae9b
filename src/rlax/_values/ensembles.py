"""Values and TD errors of several critics."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from rlax._core.arrays import pick_along
from rlax._core.contracts import shapes
from rlax._core.errors import check_range, whole_number
from rlax._core.gradients import safe_sqrt, stop_gradient_if
from rlax._core.probabilities import probabilities
from rlax._core.types import known_arrays
from rlax._values.next_value import soft_value
from rlax._values.pinball import pinball_loss
from rlax._values.td_error import one_step_error

Array = jax.Array


def _members(q_t: ArrayLike, subset: ArrayLike | None) -> Array:
    """The critics of a subset, all if None; NaN where an index is out of range."""
    (q_t,) = known_arrays(q_t)
    if subset is None:
        return q_t
    (subset,) = known_arrays(subset)
    # A negative index would count from the end; past the end the fill is NaN.
    subset = jnp.where(subset < 0, q_t.shape[0], subset)
    return jnp.take(q_t, subset, axis=0, mode="fill", fill_value=jnp.nan)


def _lowest(q_t: ArrayLike, subset: ArrayLike | None = None) -> Array:
    return jnp.min(_members(q_t, subset), axis=0)


@shapes("q_t[M ...], subset?:index(M)[K]")
def ensemble_value(
    q_t: ArrayLike,
    *,
    subset: ArrayLike | None = None,
    penalty: ArrayLike | None = None,
) -> Array:
    """Computes a cautious value from those of several critics.

        min_i q[i],    or with a penalty β: mean_i q[i] - β std_i q[i]

    Args:
      q_t: Values of M critics, `[M, ...]`.
      subset: Critics to use, in 0 .. M - 1, `[K]`; out of range gives NaN under jit.
        Default: all.
      penalty: β, one number. Default: the minimum instead.

    Returns:
      `[...]`.

    Gradient:
      Reaches q_t; 0 through a deviation of 0.

    Source: Fujimoto et al. 2018, arXiv 1802.09477 (minimum); Chen et al. 2021, REDQ,
    arXiv 2101.05982 (subset); the penalty is a lower confidence bound.

    Example:
      >>> print(rlax.ensemble_value([1.0, 3.0]))
      1.0
      >>> print(rlax.ensemble_value([1.0, 3.0], penalty=0.5))
      1.5
    """
    q_t = _members(q_t, subset)
    if penalty is None:
        return _lowest(q_t)
    # Measured from the first critic: equal ones then have a deviation of exactly 0.
    offsets = q_t - q_t[:1]
    offset = jnp.mean(offsets, axis=0)
    spread = safe_sqrt(jnp.mean(jnp.square(offsets - offset[None]), axis=0))
    return q_t[0] + offset - jnp.asarray(penalty, q_t.dtype) * spread


@shapes(
    "q_tm1[E], r_t[], discount_t:unit[], q_t[M], log_pi_t[], temperature:positive[],"
    "subset?:index(M)[K]"
)
def sac_td_error(
    q_tm1: ArrayLike,
    r_t: ArrayLike,
    discount_t: ArrayLike,
    q_t: ArrayLike,
    log_pi_t: ArrayLike,
    temperature: ArrayLike,
    stop_target_gradients: bool = True,
    *,
    subset: ArrayLike | None = None,
) -> Array:
    """Computes the TD errors of soft actor-critic's critics.

        r + γ (min_i q_t[i] - α log π(a_t)) - q_tm1[n]

    Args:
      q_tm1: Values of the action taken, by each of E critics, `[E]`.
      r_t: Reward for the transition, `[]`.
      discount_t: Discount in [0, 1], `[]`.
      q_t: Values of an action drawn from the policy at the destination, by each of M
        target critics, `[M]`.
      log_pi_t: Log probability of that action, `[]`.
      temperature: α, not negative, `[]`.
      stop_target_gradients: Whether to stop the gradient through the target.
      subset: Target critics in the minimum, in 0 .. M - 1, `[K]`; out of range gives
        NaN under jit. Two at random in REDQ. Default: all.

    Returns:
      The TD error of every critic, `[E]`.

    Gradient:
      Reaches q_tm1; the target's inputs too unless stopped.

    Source: Haarnoja et al. 2018, Soft Actor-Critic, arXiv 1801.01290, equation 8, with
    the minimum of Fujimoto et al. 2018, arXiv 1802.09477; the subset: Chen et al. 2021,
    Randomized Ensembled Double Q-Learning, arXiv 2101.05982, algorithm 1.

    Example:
      >>> print(rlax.sac_td_error([0.0, 1.0], 1.0, 0.5, [2.0, 3.0], -1.0, 0.5))
      [2.25 1.25]
    """
    log_pi_t, temperature = known_arrays(log_pi_t, temperature)
    v_t = _lowest(q_t, subset) - temperature * log_pi_t
    return one_step_error(q_tm1, r_t, discount_t, v_t, stop_target_gradients)


@shapes("q_tm1[E], r_t[], discount_t:unit[], q_t[M], subset?:index(M)[K]")
def td3_td_error(
    q_tm1: ArrayLike,
    r_t: ArrayLike,
    discount_t: ArrayLike,
    q_t: ArrayLike,
    stop_target_gradients: bool = True,
    *,
    subset: ArrayLike | None = None,
) -> Array:
    """Computes the TD errors of TD3's critics: clipped double Q-learning.

        r + γ min_i q_t[i] - q_tm1[n]

    Args:
      q_tm1: As in `sac_td_error`.
      r_t: As in `sac_td_error`.
      discount_t: As in `sac_td_error`.
      q_t: Values of the action at the destination (see `smoothed_target_action`), by
        each of M target critics, `[M]`.
      stop_target_gradients: Whether to stop the gradient through the target.
      subset: As in `sac_td_error`.

    Returns:
      The TD error of every critic, `[E]`.

    Gradient:
      Reaches q_tm1; the target's inputs too unless stopped.

    Source: Fujimoto et al. 2018, Addressing Function Approximation Error in
    Actor-Critic Methods, arXiv 1802.09477, equation 10.

    Example:
      >>> print(rlax.td3_td_error([0.0, 1.0], 1.0, 0.5, [2.0, 3.0]))
      [2. 1.]
    """
    v_t = _lowest(q_t, subset)
    return one_step_error(q_tm1, r_t, discount_t, v_t, stop_target_gradients)


@shapes(
    "q_tm1[E A], a_tm1:index(A)[], r_t[], discount_t:unit[], q_t[M A], logits_t[A],"
    "temperature:positive[]"
)
def discrete_sac_td_error(
    q_tm1: ArrayLike,
    a_tm1: ArrayLike,
    r_t: ArrayLike,
    discount_t: ArrayLike,
    q_t: ArrayLike,
    logits_t: ArrayLike,
    temperature: ArrayLike,
    stop_target_gradients: bool = True,
) -> Array:
    """Computes the TD errors of soft actor-critic's critics for discrete actions.

        r + γ Σ_a π(a) (min_i q_t[i, a] - α log π(a)) - q_tm1[n, a_tm1]

    Args:
      q_tm1: Action values of the source state, by each of E critics, `[E, A]`.
      a_tm1: Action taken there, in 0 .. A - 1, `[]`; out of range gives NaN under jit.
      r_t: Reward for the transition, `[]`.
      discount_t: Discount in [0, 1], `[]`.
      q_t: Action values of the destination, by each of M target critics, `[M, A]`.
      logits_t: Logits of the policy there, `[A]`. An action of -inf adds 0, whatever
        its values.
      temperature: α, not negative, `[]`.
      stop_target_gradients: Whether to stop the gradient through the target.

    Returns:
      The TD error of every critic, `[E]`.

    Gradient:
      Reaches q_tm1; the target's inputs too unless stopped.

    Source: Christodoulou 2019, Soft Actor-Critic for Discrete Action Settings, arXiv
    1910.07207, equations 10 to 12.

    Example:
      >>> q_tm1, q_t = jnp.zeros((2, 2)), jnp.array([[1.0, 3.0], [2.0, 2.0]])
      >>> print(rlax.discrete_sac_td_error(q_tm1, 0, 1.0, 0.5, q_t, [0.0, 0.0], 0.0))
      [1.75 1.75]
    """
    v_t = lowest_soft_value(q_t, logits_t, temperature)
    q_tm1 = pick_along(q_tm1, a_tm1, axis=1)
    return one_step_error(q_tm1, r_t, discount_t, v_t, stop_target_gradients)


def lowest_soft_value(q: ArrayLike, logits: ArrayLike, temperature: ArrayLike) -> Array:
    """Σ_a π(a) (min_i q[i, a] - α log π(a)), without the actions of probability 0."""
    q, logits = known_arrays(q, logits)
    probs, log_probs = probabilities(logits)
    q = jnp.where(jnp.isneginf(logits)[None], 0, q)
    return soft_value(probs, log_probs, _lowest(q), temperature)


@shapes(
    "dist_q_tm1[E K], tau:unit[K], r_t[], discount_t:unit[], dist_q_t[M L],"
    "log_pi_t[], temperature:positive[]"
)
def tqc_loss(
    dist_q_tm1: ArrayLike,
    tau: ArrayLike,
    r_t: ArrayLike,
    discount_t: ArrayLike,
    dist_q_t: ArrayLike,
    num_dropped: int,
    *,
    log_pi_t: ArrayLike = 0.0,
    temperature: ArrayLike = 0.0,
    huber_param: float = 1.0,
    stop_target_gradients: bool = True,
) -> Array:
    """Computes the losses of critics against a pool of atoms without the largest.

        y[j] = r + γ (z[j] - α log π(a_t)),    z the smallest atoms of all critics
        mean_k mean_j |τ[k] - 1{δ < 0}| Huber(δ),    δ = y[j] - dist_q_tm1[n, k]

    Args:
      dist_q_tm1: Quantiles of the action taken, by each of E critics, `[E, K]`.
      tau: Their levels in [0, 1], `[K]`.
      r_t: Reward for the transition, `[]`.
      discount_t: Discount in [0, 1], `[]`.
      dist_q_t: Atoms of an action drawn from the policy at the destination, by each of
        M target critics, `[M, L]`.
      num_dropped: How many atoms to drop per target critic, in 0 .. L - 1: of the pool
        of M L, the M num_dropped largest.
      log_pi_t: Log probability of that action, `[]`.
      temperature: α, not negative, `[]`.
      huber_param: Where the Huber loss turns linear, not negative; it isn't divided
        by it.
      stop_target_gradients: Whether to stop the gradient through the target.

    Returns:
      The loss of every critic, `[E]`. The paper adds them.

    Gradient:
      Reaches dist_q_tm1; the target's inputs too unless stopped.

    Raises:
      ContractError: If num_dropped is out of 0 .. L - 1, or huber_param negative.

    Source: Kuznetsov et al. 2020, Controlling Overestimation Bias with Truncated
    Mixture of Continuous Distributional Quantile Critics, arXiv 2005.04269, equations
    8 to 11.

    Example:
      >>> q_t = jnp.array([[0.0, 1.0], [2.0, 9.0]])
      >>> print(rlax.tqc_loss([[0.0], [1.0]], [0.5], 1.0, 1.0, q_t, 1))
      [0.5   0.125]
    """
    dist_q_tm1, dist_q_t = known_arrays(dist_q_tm1, dist_q_t)
    log_pi_t, temperature = known_arrays(log_pi_t, temperature)
    r_t, discount_t = known_arrays(r_t, discount_t)
    check_range("tqc_loss", "huber_param", huber_param, 0, jnp.inf)
    critics, atoms = dist_q_t.shape
    most = atoms - 1 if isinstance(atoms, int) else None
    dropped = whole_number("tqc_loss", "num_dropped", num_dropped, 0, most)
    kept = jnp.sort(dist_q_t.reshape(-1))[: critics * (atoms - dropped)]
    target = r_t + discount_t * (kept - temperature * log_pi_t)
    target = stop_gradient_if(stop_target_gradients, target)
    tau = jax.lax.stop_gradient(tau)

    def mean_loss(quantiles: Array) -> Array:
        loss = pinball_loss(quantiles, tau, target, huber_param)
        return loss / quantiles.shape[0]

    return jax.vmap(mean_loss)(dist_q_tm1)
