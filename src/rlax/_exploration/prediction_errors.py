"""Intrinsic rewards from what a network can't predict yet."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from rlax._core.arrays import pick
from rlax._core.contracts import shapes
from rlax._core.errors import check_choice, check_range
from rlax._core.gradients import stop_gradient_if
from rlax._core.types import known_arrays

Array = jax.Array

_REDUCTIONS = {"mean": jnp.mean, "sum": jnp.sum}


@shapes("prediction[D], target[D]")
def rnd_error(
    prediction: ArrayLike, target: ArrayLike, *, reduction: str = "mean"
) -> Array:
    """Computes the error of predicting a random network: a reward, and a loss.

        mean_d (prediction[d] - target[d])²

    Args:
      prediction: The trained network's output, `[D]`.
      target: The fixed random network's output for the same observation, `[D]`.
      reduction: "mean", as in the authors' code, or "sum".

    Returns:
      `[]`.

    Gradient:
      Reaches prediction.

    Raises:
      ContractError: If reduction isn't one of these.

    Source: Burda et al. 2019, Exploration by Random Network Distillation, arXiv
    1810.12894, section 2.2.

    Example:
      >>> print(rlax.rnd_error([1.0, 2.0], [1.0, 4.0]))
      2.0
    """
    check_choice("rnd_error", "reduction", reduction, _REDUCTIONS)
    prediction, target = known_arrays(prediction, jax.lax.stop_gradient(target))
    return _REDUCTIONS[reduction](jnp.square(prediction - target))


class IcmOutput(NamedTuple):
    """Reward and losses of `icm_losses`.

    Attributes:
      reward: The intrinsic reward, `[]`.
      forward_loss: Of predicting the next features, `[]`.
      inverse_loss: Of predicting the action, `[]`.
      loss: Both losses weighted, `[]`.

    Example:
      >>> out = rlax.icm_losses([1.0], [3.0], [0.0, 0.0], 1)
      >>> print(out.reward, out.inverse_loss.round(2))
      2.0 0.69
    """

    reward: Array
    forward_loss: Array
    inverse_loss: Array
    loss: Array


@shapes("phi_prediction[D], phi_t[D], action_logits[A], a_tm1:index(A)[]")
def icm_losses(
    phi_prediction: ArrayLike,
    phi_t: ArrayLike,
    action_logits: ArrayLike,
    a_tm1: ArrayLike,
    *,
    reward_scale: float = 1.0,
    beta: float = 0.2,
    stop_target_gradients: bool = True,
) -> IcmOutput:
    """Computes the reward and the losses of the intrinsic curiosity module.

        forward = ½ Σ_d (phi_prediction[d] - phi_t[d])²
        inverse = -log softmax(action_logits)[a_tm1]
        loss = β forward + (1 - β) inverse

    Args:
      phi_prediction: Features of the destination, predicted from those of the source
        and the action, `[D]`.
      phi_t: Features of the destination, `[D]`.
      action_logits: Logits of the action, predicted from both features, `[A]`.
      a_tm1: Action taken, in 0 .. A - 1, `[]`; out of range gives NaN under jit.
      reward_scale: The reward is so much times the forward loss.
      beta: β, in [0, 1].
      stop_target_gradients: Whether to stop the gradient of the forward loss to phi_t.
        The authors don't.

    Returns:
      An `IcmOutput`.

    Gradient:
      The losses reach phi_prediction and action_logits, and phi_t unless stopped; the
      reward reaches nothing.

    Raises:
      ContractError: If beta is out of [0, 1].

    Source: Pathak et al. 2017, Curiosity-driven Exploration by Self-supervised
    Prediction, arXiv 1705.05363, equations 5 to 7.

    Example:
      >>> print(rlax.icm_losses([1.0], [3.0], [0.0, 0.0], 1, beta=1.0).loss)
      2.0
    """
    check_range("icm_losses", "beta", beta, 0, 1)
    (prediction,) = known_arrays(phi_prediction)
    phi_t = stop_gradient_if(stop_target_gradients, phi_t)
    forward = 0.5 * jnp.sum(jnp.square(prediction - phi_t))
    inverse = -pick(jax.nn.log_softmax(action_logits), a_tm1)
    return IcmOutput(
        reward_scale * jax.lax.stop_gradient(forward),
        forward,
        inverse,
        beta * forward + (1 - beta) * inverse,
    )
