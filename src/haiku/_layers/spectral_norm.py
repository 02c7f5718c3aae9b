"""`SpectralNorm`: divides weights by their largest singular value."""

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp

from haiku._core import Module, get_state, set_state
from haiku._layers.cached_tracing import compiled
from haiku._layers.params_tree import ParamsTree
from haiku.initializers import RandomNormal

__all__ = ["SNParamsTree", "SpectralNorm"]


class SpectralNorm(Module):
    """Divides a matrix by its largest singular value, found by power iteration.

        v = u W^T / |u W^T|,  u = v W / |v W|,  σ = v W u^T,  out = W / σ

    The vector `u` is state: each call continues the iteration of the last one.

    Args:
      eps: Added to squared norms before dividing by them.
      n_steps: Steps of the iteration per call.
      name: Name of the module.

    Gradient:
      Reaches `W`; `u` and `v` count as constants.

    Source:
      Miyato et al., 2018, Spectral Normalization for Generative Adversarial Networks,
      arXiv:1802.05957.

    Example:
      >>> def f(x):  # a linear map with singular values up to 1
      ...     w = hk.get_parameter("w", [3, 2], init=hk.initializers.RandomNormal())
      ...     return x @ hk.SpectralNorm()(w)
      >>> net = hk.transform_with_state(f)
    """

    def __init__(self, eps: float = 1e-4, n_steps: int = 1, name: str | None = None):
        super().__init__(name=name)
        self.eps = eps
        self.n_steps = n_steps

    def __call__(
        self,
        value: Any,
        update_stats: bool = True,
        error_on_non_matrix: bool = False,
    ) -> jax.Array:
        """Normalises `value`.

        Args:
          value: Weights ``[..., outputs]``; all axes but the last count as one.
          update_stats: Whether to store `u` and `sigma` for the next call.
          error_on_non_matrix: Whether to raise for more than two axes.

        Returns:
          An array with the shape of `value`.

        Raises:
          ValueError: `value` has fewer than two axes, or more than two with
            `error_on_non_matrix`.
        """
        value = jnp.asarray(value)
        shape = value.shape
        if len(shape) < 2:
            raise ValueError(
                "Spectral normalization is not well defined for scalar or vector "
                f"inputs: {self.module_name!r} got shape {shape}. Normalise matrices "
                "and kernels only; hk.SNParamsTree skips others with ignore_regex."
            )
        if len(shape) > 2 and error_on_non_matrix:
            raise ValueError(
                f"Input is {len(shape)}D but error_on_non_matrix is True: "
                f"{self.module_name!r} got shape {shape}. Pass a matrix, or leave it "
                "False to count all axes but the last as one."
            )
        u0 = get_state("u0", [1, shape[-1]], value.dtype, init=RandomNormal())
        out, u0, sigma = _normalise(value, u0, self.eps, n_steps=self.n_steps)
        if update_stats:
            set_state("u0", u0)
            set_state("sigma", sigma)
        return out

    @property
    def u0(self) -> jax.Array:
        """The vector that the next call starts from, ``[1, outputs]``."""
        return get_state("u0")

    @property
    def sigma(self) -> jax.Array:
        """The last stored singular value, initially 1."""
        return get_state("sigma", shape=(), init=jnp.ones)


@compiled("spectral_norm", "n_steps")
def _normalise(value, u0, eps, *, n_steps):
    shape = value.shape
    w = jnp.reshape(value, (math.prod(shape[:-1]), shape[-1]))

    def unit(x):
        return x * jax.lax.rsqrt(jnp.sum(x * x, keepdims=True) + eps)

    v0 = unit(jnp.matmul(u0, w.T))
    for step in range(n_steps):
        if step:
            v0 = unit(jnp.matmul(u0, w.T))
        u0 = unit(jnp.matmul(v0, w))
    u0, v0 = jax.lax.stop_gradient((u0, v0))
    sigma = jnp.matmul(jnp.matmul(v0, w), u0.T)[0, 0]
    return jnp.reshape(w / sigma, shape), u0, sigma


class SNParamsTree(ParamsTree):
    """Divides each array in a tree of parameters by its largest singular value.

    The submodule ``mlp___tilde___linear__w`` normalises ``w`` of ``mlp/~/linear``.

    Args:
      eps: See :class:`SpectralNorm`.
      n_steps: See :class:`SpectralNorm`.
      ignore_regex: Matched with the start of ``module/name``: parameters that match,
        such as biases with ``".*b$"``, are returned unchanged. The empty string matches
        none.
      name: Name of the module.

    Raises:
      ValueError: At a call, if a parameter has fewer than two axes; skip it with
        `ignore_regex`.

    Example:
      >>> sn = hk.transform_with_state(lambda params: hk.SNParamsTree()(params))
      >>> params = {"linear": {"w": jnp.ones([3, 2])}}
      >>> _, state = sn.init(jax.random.key(0), params)
      >>> normalised, state = sn.apply({}, state, None, params)
    """

    def __init__(
        self,
        eps: float = 1e-4,
        n_steps: int = 1,
        ignore_regex: str = "",
        name: str | None = None,
    ):
        norm = functools.partial(SpectralNorm, eps, n_steps)
        super().__init__(norm, ignore_regex, name=name)
        self.eps = eps
        self.n_steps = n_steps
