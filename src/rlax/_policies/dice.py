"""Losses whose derivatives of every order are policy gradients (DiCE)."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from rlax._core.contracts import shapes
from rlax._core.errors import check_not_empty
from rlax._core.masks import zero_masked
from rlax._core.types import known_arrays

Array = jax.Array


@shapes("x[...]")
def magic_box(x: ArrayLike) -> Array:
    """Is 1, with derivatives of every order as those of e^x.

        exp(x - sg(x))

    Args:
      x: A sum of log probabilities, `[...]`.

    Returns:
      Ones, `[...]`.

    Gradient:
      Reaches x, at every order.

    Source: Foerster et al. 2018, DiCE: The Infinitely Differentiable Monte Carlo
    Estimator, arXiv 1802.05098, equation 7.

    Example:
      >>> print(rlax.magic_box(-3.0), jax.grad(rlax.magic_box)(-3.0))
      1.0 1.0
    """
    (x,) = known_arrays(x)
    return jnp.exp(x - jax.lax.stop_gradient(x))


@shapes("log_pi_t[T], r_t[T], discount_t:unit[T], baseline_t?[T], mask_t?:mask[T]")
def dice_loss(
    log_pi_t: ArrayLike,
    r_t: ArrayLike,
    discount_t: ArrayLike,
    *,
    baseline_t: ArrayLike | None = None,
    mask_t: ArrayLike | None = None,
) -> Array:
    """Computes minus the return, with its policy gradient of every order.

        -Σ_t w[t] □(Σ_(k<=t) log π[k]) r[t] - Σ_t w[t] (1 - □(log π[t])) b[t]

    with □ the `magic_box`, and w[t] the product of the discounts before t.

    Args:
      log_pi_t: Log probability of the action taken, summed over agents, `[T]`.
      r_t: Reward for it, `[T]`.
      discount_t: Discount in [0, 1], `[T]`.
      baseline_t: b, value of the state, `[T]`. Default: none.
      mask_t: True at valid steps, `[T]`. Others count as if they weren't there.
        Default: all.

    Returns:
      The loss, `[]`: minus the discounted return.

    Gradient:
      Reaches log_pi_t, at every order.

    Raises:
      ContractError: If T is 0.

    Source: Foerster et al. 2018, arXiv 1802.05098, equations 6 and 13.

    Example:
      >>> print(rlax.dice_loss([-1.0, -2.0], [1.0, 4.0], [0.5, 0.5]))
      -3.0
    """
    check_not_empty("dice_loss", "log_pi_t", log_pi_t)
    log_pi, r = zero_masked(log_pi_t, mask_t), zero_masked(r_t, mask_t)
    (discount,) = known_arrays(discount_t)
    if mask_t is not None:
        (mask,) = known_arrays(mask_t)
        discount = jnp.where(mask, discount, 1)
    before = jnp.concatenate([jnp.ones_like(discount[:1]), discount[:-1]])
    weight = jax.lax.stop_gradient(jnp.cumprod(before))
    total = weight * magic_box(jnp.cumsum(log_pi)) * jax.lax.stop_gradient(r)
    if baseline_t is not None:
        baseline = jax.lax.stop_gradient(zero_masked(baseline_t, mask_t))
        total += weight * (1 - magic_box(log_pi)) * baseline
    return -jnp.sum(total)
