"""Lagrange penalties: constraints whose multipliers are learned."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from rlax._core.errors import ContractError, check
from rlax._core.gradients import stop_gradient_if

Array = jax.Array


class LagrangePenalty(NamedTuple):
    """A constraint KL <= epsilon with its multiplier.

    Attributes:
      alpha: The multiplier (for the temperature constraint: the temperature), one
        number or of the KL's shape.
      epsilon: The bound.
      per_dimension: Whether the last axis of the KL holds dimensions, each with its own
        bound. The losses are summed over them.

    Example:
      >>> penalty = rlax.LagrangePenalty(alpha=2.0, epsilon=0.25)
      >>> losses = rlax.compute_parametric_kl_penalty_and_dual_loss
      >>> print(*losses([(jnp.array(1.0), penalty)], jax.nn.relu))
      2.0 -1.5
    """

    alpha: ArrayLike
    epsilon: ArrayLike
    per_dimension: bool = False


def kl_constraint_loss(
    kl: ArrayLike,
    penalty: LagrangePenalty,
    projection_operator: Callable[[Array], Array],
    use_stop_gradient: bool = True,
) -> tuple[Array, Array]:
    """Computes the penalty of one constraint, and the loss of its multiplier.

        kl_loss = α kl,    alpha_loss = α (ε - kl)

    Args:
      kl: `[...]`, or `[..., D]` with per_dimension.
      penalty: The constraint.
      projection_operator: Keeps α valid.
      use_stop_gradient: Whether α counts as constant in kl_loss, and kl in alpha_loss.

    Returns:
      (kl_loss `[...]`, alpha_loss `[...]`).
    """
    kl = jnp.asarray(kl)
    if penalty.per_dimension and kl.ndim == 0:
        raise ContractError(
            "kl_constraints: a penalty with per_dimension needs a KL [..., D], got one "
            "number; pass LagrangePenalty(..., per_dimension=False)."
        )
    alpha = jnp.asarray(projection_operator(jnp.asarray(penalty.alpha)))
    if alpha.ndim > kl.ndim:
        raise ContractError(
            f"kl_constraints: the alpha {list(alpha.shape)} of a penalty must be one "
            f"number, or have the last axes of its KL {list(kl.shape)}."
        )
    if alpha.ndim:
        alpha = alpha.reshape((1,) * (kl.ndim - alpha.ndim) + alpha.shape)
    kl_loss = kl * stop_gradient_if(use_stop_gradient, alpha)
    alpha_loss = alpha * (penalty.epsilon - stop_gradient_if(use_stop_gradient, kl))
    if penalty.per_dimension:
        kl_loss, alpha_loss = (jnp.sum(x, axis=-1) for x in (kl_loss, alpha_loss))
    return kl_loss, alpha_loss


def compute_parametric_kl_penalty_and_dual_loss(
    kl_constraints: Sequence[tuple[ArrayLike, LagrangePenalty]],
    projection_operator: Callable[[Array], Array],
    use_stop_gradient: bool = True,
) -> tuple[ArrayLike, ArrayLike]:
    """Sums the penalties of all constraints, and the losses of their multipliers.

    Args:
      kl_constraints: Pairs of a KL, `[...]` or `[..., D]` with per_dimension, and its
        penalty.
      projection_operator: Keeps multipliers valid, such as `jnp.clip(x, min=1e-10)`.
      use_stop_gradient: Whether multipliers count as constant in kl_loss, and KLs in
        alpha_loss.

    Returns:
      (kl_loss, alpha_loss), each `[...]`; 0 without constraints.

    Gradient:
      kl_loss reaches the KLs, alpha_loss the multipliers and bounds. Without
      use_stop_gradient, kl_loss also reaches the multipliers, and alpha_loss the KLs.

    Raises:
      ContractError: If a multiplier has more axes than its KL, or per_dimension comes
        with a KL of one number.

    Source: Abdolmaleki et al. 2018, Maximum a Posteriori Policy Optimisation, arXiv
    1806.06920; Song et al. 2019, arXiv 1909.12238.

    Example:
      >>> penalty = rlax.LagrangePenalty(alpha=2.0, epsilon=0.25, per_dimension=True)
      >>> losses = rlax.compute_parametric_kl_penalty_and_dual_loss
      >>> print(*losses([(jnp.array([1.0, 0.0]), penalty)], jax.nn.relu))
      2.0 -1.0
    """
    kl_losses, alpha_losses = 0, 0
    for kl, penalty in kl_constraints:
        kl_loss, alpha_loss = kl_constraint_loss(
            kl, penalty, projection_operator, use_stop_gradient
        )
        kl_losses, alpha_losses = kl_losses + kl_loss, alpha_losses + alpha_loss
    return kl_losses, alpha_losses


def check_fit(
    op: str, policy_loss: Array, kl_loss: ArrayLike, alpha_loss: ArrayLike
) -> None:
    """Raises unless the losses of the constraints fit the policy loss."""
    for name, loss in (("kl", kl_loss), ("alpha", alpha_loss)):
        check(
            jnp.shape(loss) in ((), policy_loss.shape),
            f"{op}: the {name} of kl_constraints gives a loss {list(jnp.shape(loss))}, "
            f"wanted {list(policy_loss.shape)}, as the policy loss has, or one number; "
            "sum it over its other axes.",
        )
