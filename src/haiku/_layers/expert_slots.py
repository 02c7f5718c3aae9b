"""Tokens sorted into blocks of equal size, one expert's each, and back.

A block is multiplied by its expert's matrix, so that plain products of matrices serve
any number of tokens per expert, and every transformation of JAX's applies. In JAX
0.10.2 `jax.lax.ragged_dot` fails under most forms of `vmap`, and on CPU multiplies all
tokens by the matrices of all experts.
"""

from fractions import Fraction
from typing import NamedTuple

import jax
import jax.numpy as jnp

from haiku._layers.cached_tracing import compiled

__all__ = ["Slots", "expert_linear", "filled", "slots_of", "weighed"]


class Slots(NamedTuple):
    """Where choices lie in blocks of equal size, each of one expert.

    Attributes:
      token: The token in each slot ``[blocks, rows]``; ``N`` if it is empty.
      slot: The slot of each choice ``[N, k]``; beyond the last if it was dropped.
      expert: The expert of each block, or None if that is the block's number.
    """

    token: jax.Array
    slot: jax.Array
    expert: jax.Array | None


@compiled("slots", "num_experts", "share")
def slots_of(
    expert: jax.Array, counts: jax.Array, num_experts: int, share: Fraction | None
) -> Slots:
    """Blocks with room for all choices, or for a share of the tokens per expert.

    Args:
      expert: The experts that each token chose, ``[N, k]``.
      counts: True at the tokens that count, ``[N]``; the others get no slots.
      num_experts: ``E``.
      share: An expert has one block, of ``ceil(share N)`` rows, which its choices fill
        in order. None: blocks for all.
    """
    tokens, selected = expert.shape
    choices = tokens * selected
    index = jnp.int32
    counted = jnp.broadcast_to(counts[:, None], expert.shape)
    expert = jnp.where(counted, expert, num_experts).reshape(-1).astype(index)
    every = jnp.arange(num_experts + 1, dtype=index)  # masked tokens go to the last
    sizes = jnp.sum(expert[:, None] == every[None], axis=0, dtype=index)
    # The number of each choice among those of its expert, by sorting.
    order = jnp.argsort(expert).astype(index)
    first = jnp.cumsum(sizes, dtype=index) - sizes
    in_order = jnp.arange(choices, dtype=index) - first[expert[order]]
    number = jnp.zeros_like(in_order).at[order].set(in_order, unique_indices=True)

    if share is None:
        # As many rows as an expert has on average: this many blocks suffice for any
        # sizes, since each expert leaves fewer rows empty than a block has.
        rows = choices // num_experts + 1
        blocks = (choices + num_experts * (rows - 1)) // rows
        used = (sizes[:-1] + (rows - 1)) // rows
        last = jnp.cumsum(used, dtype=index)
        block = jnp.arange(blocks, dtype=index)
        of_block = jnp.sum(block[:, None] >= last[None], axis=1, dtype=index)
        of_block = jnp.minimum(of_block, num_experts - 1)  # blocks that stay empty
        first_block = last - used
        fits = expert < num_experts
    else:
        rows = -(-tokens * share.numerator // share.denominator)
        blocks, of_block, first_block = num_experts, None, every[:-1]
        fits = (expert < num_experts) & (number < rows)
    first_block = first_block[jnp.minimum(expert, num_experts - 1)]
    slot = jnp.where(fits, first_block * rows + number, blocks * rows)
    token = jnp.arange(choices, dtype=index) // selected
    in_slot = jnp.full(blocks * rows, tokens, index).at[slot].set(token, mode="drop")
    return Slots(
        in_slot.reshape(blocks, rows), slot.reshape(tokens, selected), of_block
    )


@compiled("fill_slots")
def filled(tokens: jax.Array, token: jax.Array) -> jax.Array:
    """The token in each slot, ``[blocks, rows, D]``; zeros if it is empty."""
    return tokens.at[token].get(mode="fill", fill_value=0)


@compiled("expert_linear")
def expert_linear(
    x: jax.Array,
    weights: jax.Array,
    bias: jax.Array | None,
    expert: jax.Array | None,
) -> jax.Array:
    """Each block ``[blocks, rows, in]`` times the matrix of its expert."""

    def multiply(x, weights):
        weights = weights if expert is None else weights[expert]
        return jnp.einsum("brd,bdf->brf", x, weights)

    # The backward pass copies the weights again; else each layer would keep copies.
    y = (multiply if expert is None else jax.checkpoint(multiply))(x, weights)
    if bias is not None:
        bias = bias if expert is None else bias[expert]
        y = y + jnp.broadcast_to(bias[:, None], y.shape)
    return y


@compiled("weigh_experts")
def weighed(y: jax.Array, slot: jax.Array, weight: jax.Array) -> jax.Array:
    """The outputs in the slots of each token, weighed and added up, ``[N, D]``."""
    y = y.reshape(-1, y.shape[-1])
    chosen = y.at[slot].get(mode="fill", fill_value=0).astype(weight.dtype)  # [N, k, D]
    weight = jnp.broadcast_to(weight[..., None], chosen.shape)
    return jnp.sum(weight * chosen, axis=1).astype(y.dtype)
