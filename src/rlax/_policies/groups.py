"""What needs a whole group of answers: advantages, means of token losses, lengths."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from rlax._core.arrays import at_least_single
from rlax._core.contracts import shapes
from rlax._core.errors import check, check_above, check_choice, check_range
from rlax._core.masks import (
    kept_of,
    masked_differences,
    masked_mean,
    over_deviation,
    zero_masked,
)
from rlax._core.types import known_arrays
from rlax._policies import packing

Array = jax.Array

_AGGREGATIONS = ("token_mean", "sequence_mean", "sequence_sum", "constant")


@shapes("reward:real[G], mask?:mask[G]")
def group_advantages(
    reward: ArrayLike,
    *,
    baseline: str = "mean",
    scale: str = "std",
    ddof: int = 1,
    epsilon: float = 1e-6,
    mask: ArrayLike | None = None,
) -> Array:
    """Computes how much better each answer of a group is than the others.

        (reward - mean) / (std + ε)

    Args:
      reward: Of each answer to one prompt, `[G]`.
      baseline: "mean" of the group; "leave_one_out": the mean of the others; "none".
      scale: "std": divides by the group's deviation; "none": does not.
      ddof: The variance divides by the number of answers minus ddof, at least 1.
      epsilon: ε, not negative.
      mask: True at the answers that count, `[G]`; others have advantage 0. Default:
        all.

    Returns:
      The advantages, `[G]`; 0 where all rewards are equal, and of a single answer,
      unless the baseline is "none".

    Gradient:
      None.

    Raises:
      ContractError: If an option has another name, ddof or epsilon is negative, or G is
        0.

    Source: Shao et al. 2024, DeepSeekMath, arXiv 2402.03300; "leave_one_out":
    Ahmadian et al. 2024, Back to Basics, arXiv 2402.14740; scale "none": Liu et al.
    2025, Understanding R1-Zero-Like Training, arXiv 2503.20783.

    Example:
      >>> print(rlax.group_advantages([1.0, 0.0, 0.0, 1.0], ddof=0, epsilon=0.0))
      [ 1. -1. -1.  1.]
    """
    op = "group_advantages"
    check_choice(op, "baseline", baseline, ("mean", "leave_one_out", "none"))
    check_choice(op, "scale", scale, ("std", "none"))
    check_range(op, "ddof", ddof, 0, jnp.inf)
    check_range(op, "epsilon", epsilon, 0, jnp.inf)
    reward = zero_masked(jax.lax.stop_gradient(reward), mask)
    # In at least single precision: half rounds 1e-6 to 0.
    centered, deviation = masked_differences(reward, mask, ddof=ddof)
    adv = reward.astype(centered.dtype) if baseline == "none" else centered
    if baseline == "leave_one_out":
        # The others' mean is farther away by a factor of n / (n - 1).
        count = kept_of(reward, mask).sum().astype(adv.dtype)
        adv = adv * (count / jnp.maximum(count - 1, 1))
    if scale == "std":
        adv = over_deviation(adv, deviation, epsilon)
    return adv.astype(reward.dtype)


@shapes("loss_t[G T], mask_t:mask[G T], segments_t?:int[G T]", empty=False)
def aggregate_token_losses(
    loss_t: ArrayLike,
    mask_t: ArrayLike,
    aggregation: str = "token_mean",
    *,
    constant: float | None = None,
    segments_t: ArrayLike | None = None,
) -> Array:
    """Averages the losses of tokens, in one of the ways that papers differ in.

    Args:
      loss_t: Loss of each token, `[G, T]`.
      mask_t: True at the tokens that count, `[G, T]`.
      aggregation: "token_mean": over all kept tokens of the group. "sequence_mean": of
        each answer, then over answers. "sequence_sum": the sum of each answer, its mean
        over answers. "constant": the sum of all, divided by G constant. Answers without
        kept tokens count in "constant" alone.
      constant: For "constant": above 0. Default: T.
      segments_t: Number of the answer that each token belongs to, `[G, T]`, where rows
        hold several; an answer is a run of equal numbers in a row. "constant" then
        divides by the number of answers that have kept tokens, and needs a constant.
        Default: each row is one answer.

    Returns:
      The loss, `[]`; 0 where no token is kept.

    Gradient:
      Reaches loss_t.

    Raises:
      ContractError: If aggregation has another name, constant isn't above 0 or is
        missing beside segments_t, or G or T is 0.

    Source: "token_mean": Yu et al. 2025, DAPO, arXiv 2503.14476; "sequence_mean": Shao
    et al. 2024, DeepSeekMath, arXiv 2402.03300; "constant": Liu et al. 2025,
    Understanding R1-Zero-Like Training, arXiv 2503.20783.

    Example:
      >>> losses, mask = jnp.array([[1.0, 1.0], [4.0, 0.0]]), [[1, 1], [1, 0]]
      >>> print(rlax.aggregate_token_losses(losses, mask))
      2.0
      >>> print(rlax.aggregate_token_losses(losses, mask, "sequence_mean"))
      2.5
    """
    if aggregation == "constant":
        check_known("aggregate_token_losses", "constant", constant, segments_t)
    (loss_t,) = known_arrays(loss_t)
    return aggregate(
        *("aggregate_token_losses", loss_t, mask_t, aggregation, constant),
        packing.answers_of(segments_t),
    )


def check_known(
    op: str, name: str, length: float | None, segments: ArrayLike | None
) -> None:
    """Raises where packed rows hide how long an answer may be."""
    check(
        segments is None or length is not None,
        f"{op}: {name} must be a number beside segments_t, got None; pass the largest "
        "length of an answer.",
    )


def aggregate(
    op: str,
    loss: Array,
    mask: ArrayLike | None,
    aggregation: str,
    constant: float | None,
    answers: Array | None,
) -> Array:
    """`aggregate_token_losses`, for the op that errors name."""
    check_choice(op, "aggregation", aggregation, _AGGREGATIONS)
    check_above(op, "constant", constant)
    if aggregation == "token_mean":
        return masked_mean(loss, mask)
    if aggregation == "constant" and constant is None:
        return jnp.mean(zero_masked(loss, mask))
    dtype = at_least_single(loss.dtype)
    sums = packing.totals(zero_masked(loss, mask).astype(dtype), answers)
    counts = packing.totals(kept_of(loss, mask).astype(dtype), answers)
    if aggregation == "sequence_mean":
        sums = sums / jnp.maximum(counts, 1)
    all_rows = aggregation == "constant" and answers is None
    mean = masked_mean(sums, None if all_rows else counts > 0)
    if aggregation == "constant" and constant is not None:
        mean = mean / constant
    return mean.astype(loss.dtype)


@shapes("length:real[...]")
def soft_overlong_penalty(
    length: ArrayLike, max_length: float, buffer_length: float
) -> Array:
    """Computes a penalty that grows as an answer comes near the largest length.

        clip((max - buffer - length) / buffer, -1, 0)

    Args:
      length: Tokens of each answer, integers or floats, `[...]`.
      max_length: The largest length; -1 from there on.
      buffer_length: Over how many tokens the penalty grows, above 0.

    Returns:
      The penalty to add to a reward, in [-1, 0], `[...]`.

    Gradient:
      Reaches length, if it is a float.

    Raises:
      ContractError: If buffer_length isn't above 0, or max_length is negative.

    Source: Yu et al. 2025, DAPO, arXiv 2503.14476.

    Example:
      >>> print(rlax.soft_overlong_penalty([6, 8, 9, 12], 10, 4))
      [ 0.   -0.5  -0.75 -1.  ]
    """
    check_range("soft_overlong_penalty", "max_length", max_length, 0, jnp.inf)
    check_above("soft_overlong_penalty", "buffer_length", buffer_length)
    (length,) = known_arrays(length)
    return jnp.clip((max_length - buffer_length - length) / buffer_length, -1, 0)
