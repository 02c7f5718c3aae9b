"""Natural gradients (TRPO): products with the Fisher matrix, and their inverse."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

from rlax._core.errors import check_range, whole_number
from rlax._core.trees import check_alike, tree_dot
from rlax._core.types import ArrayTree

Array = jax.Array


def _plus(x: ArrayTree, scale: Array, y: ArrayTree) -> ArrayTree:
    """X + scale y, in x's dtypes."""

    def add(x: Array, y: Array) -> Array:
        return x + scale.astype(x.dtype) * y.astype(x.dtype)

    return jax.tree.map(add, x, y)


def conjugate_gradient(
    matvec: Callable[[ArrayTree], ArrayTree],
    b: ArrayTree,
    *,
    iterations: int = 10,
    tolerance: float = 1e-10,
) -> ArrayTree:
    """Solves a symmetric positive system by conjugate gradients, starting from 0.

    Args:
      matvec: The matrix times a tree like b.
      b: A tree of arrays.
      iterations: At most so many steps, at least 1.
      tolerance: Stops once the squared residual is at most this, not negative.

    Returns:
      x with matvec(x) = b, a tree like b; 0 where b is 0.

    Gradient:
      Reaches b and what matvec closes over, through all steps.

    Raises:
      ContractError: If an option is out of range.

    Source: Hestenes and Stiefel 1952, Methods of Conjugate Gradients for Solving Linear
    Systems, doi 10.6028/jres.049.044; its use: Schulman et al. 2015, Trust Region
    Policy Optimization, arXiv 1502.05477, appendix C.

    Example:
      >>> print(rlax.conjugate_gradient(lambda x: 2 * x, jnp.array([2.0, 4.0])))
      [1. 2.]
    """
    op = "conjugate_gradient"
    iterations = whole_number(op, "iterations", iterations)
    check_range(op, "tolerance", tolerance, 0, jnp.inf)
    b = jax.tree.map(jnp.asarray, b)

    def step(carry: tuple, _: None) -> tuple[tuple, None]:
        x, residual, direction, square = carry
        product = matvec(direction)
        curvature = tree_dot(direction, product)
        active = (square > tolerance) & (curvature != 0)
        length = jnp.where(active, square / jnp.where(active, curvature, 1), 0)
        x, residual = _plus(x, length, direction), _plus(residual, -length, product)
        new_square = tree_dot(residual, residual)
        turn = jnp.where(active, new_square / jnp.where(active, square, 1), 0)
        new_direction = _plus(residual, turn, direction)
        return (x, residual, new_direction, new_square), None

    start = (jax.tree.map(jnp.zeros_like, b), b, b, tree_dot(b, b))
    return jax.lax.scan(step, start, length=iterations)[0][0]


def fisher_vector_product(
    kl_fn: Callable[[ArrayTree], Array],
    params: ArrayTree,
    vector: ArrayTree,
    damping: float = 0.1,
) -> ArrayTree:
    """Multiplies a vector by the Fisher matrix, without making the matrix.

    The Fisher matrix is the Hessian of the divergence of the policy from itself.

    Args:
      kl_fn: From parameters to the mean divergence KL(sg(π_old) || π), `[]`.
      params: The parameters of π_old, a tree of arrays.
      vector: A tree like params.
      damping: Times the vector, added to the product; not negative.

    Returns:
      A tree like params.

    Gradient:
      Reaches params and vector.

    Raises:
      ContractError: If vector isn't a tree like params, or damping negative.

    Source: Schulman et al. 2015, arXiv 1502.05477, appendix C; forward over reverse
    mode: Pearlmutter 1994, Fast Exact Multiplication by the Hessian.

    Example:
      >>> kl = lambda x: jnp.sum(jnp.square(x))
      >>> x = jnp.array([1.0, 3.0])
      >>> print(rlax.fisher_vector_product(kl, x, jnp.ones(2), damping=1.0))
      [3. 3.]
    """
    op = "fisher_vector_product"
    check_range(op, "damping", damping, 0, jnp.inf)
    params, vector = (jax.tree.map(jnp.asarray, x) for x in (params, vector))
    check_alike(op, "vector", vector, params)
    product = jax.jvp(jax.grad(kl_fn), (params,), (vector,))[1]
    return jax.tree.map(lambda x, v: x + damping * v, product, vector)
