"""Eligibility traces of parameters."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from rlax._core.contracts import shapes
from rlax._core.errors import ContractError, check_choice, check_range
from rlax._core.trees import check_alike, tree_dot
from rlax._core.types import ArrayTree, known_arrays

Array = jax.Array


@shapes("discount_t:unit[], lambda_:unit[]")
def eligibility_trace(
    trace_tm1: ArrayTree,
    gradient: ArrayTree,
    discount_t: ArrayLike,
    lambda_: ArrayLike,
    *,
    kind: str = "accumulating",
    step_size: float | None = None,
) -> ArrayTree:
    """Decays a trace of gradients, and adds the newest.

        z ← γ λ z + g                                accumulating
        z ← g where g isn't 0, else γ λ z            replacing
        z ← γ λ z + (1 - α γ λ z·g) g                dutch

    Args:
      trace_tm1: z, a tree of arrays; zeros at first.
      gradient: g, of the value of the state just left: a tree like z.
      discount_t: γ in [0, 1], `[]`.
      lambda_: λ in [0, 1], `[]`.
      kind: "accumulating", "replacing" or "dutch". A dutch trace takes z·g over the
        whole tree.
      step_size: α of the dutch trace, not negative.

    Returns:
      The new trace, a tree like z.

    Gradient:
      Reaches all inputs.

    Raises:
      ContractError: If the trees differ, kind isn't one of these, or a dutch trace has
        no step_size.

    Source: Sutton and Barto 2018, Reinforcement Learning, sections 12.2 to 12.6.

    Example:
      >>> print(rlax.eligibility_trace({"w": 1.0}, {"w": 3.0}, 0.5, 0.5)["w"])
      3.25
    """
    op = "eligibility_trace"
    check_choice(op, "kind", kind, ("accumulating", "replacing", "dutch"))
    check_range(op, "step_size", step_size, 0, jnp.inf)
    trace_tm1, gradient = (jax.tree.map(jnp.asarray, x) for x in (trace_tm1, gradient))
    check_alike(op, "gradient", gradient, trace_tm1)
    discount_t, lambda_ = known_arrays(discount_t, lambda_)
    decay = discount_t * lambda_
    decayed = jax.tree.map(lambda z: decay.astype(z.dtype) * z, trace_tm1)
    if kind == "replacing":
        return jax.tree.map(lambda z, g: jnp.where(g != 0, g, z), decayed, gradient)
    scale = jnp.ones(())
    if kind == "dutch":
        if step_size is None:
            raise ContractError(f"{op}: a dutch trace needs step_size.")
        scale = 1 - step_size * tree_dot(decayed, gradient)
    return jax.tree.map(lambda z, g: z + scale.astype(g.dtype) * g, decayed, gradient)
