"""Division of weights by their largest singular value."""

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

    The vector `u` is state: each call goes on from where the last one ended. The
    gradient reaches `W`, and takes `u` and `v` as constants.

    Args:
      eps: Added to squared norms before they divide.
      n_steps: Steps of the iteration per call.
      name: Name of the module.

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
        """Normalises.

        Args:
          value: Weights ``[..., outputs]``; all axes but the last count as one.
          update_stats: Whether to keep `u` and `sigma` for the next call.
          error_on_non_matrix: Whether more than two axes are an error.

        Returns:
          An array of the shape of `value`.

        Raises:
          ValueError: `value` has fewer than two axes, or more and that is an error.
        """
        value = jnp.asarray(value)
        shape = value.shape
        if len(shape) < 2:
            raise ValueError(
                "Spectral normalization is not well defined for scalar or vector "
                f"inputs: {self.module_name!r} got shape {shape}. Normalise matrices "
                "and kernels only; hk.SNParamsTree leaves others out by ignore_regex."
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
        """The vector the next call starts from, ``[1, outputs]``."""
        return get_state("u0")

    @property
    def sigma(self) -> jax.Array:
        """The singular value of the last call that kept it, or 1 before."""
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
    """Normalises every array of a tree of parameters, each in a submodule of its own.

    The parameter ``w`` of ``mlp/~/linear`` is normalised in the submodule
    ``mlp___tilde___linear__w``.

    Args:
      eps: See :class:`SpectralNorm`.
      n_steps: See :class:`SpectralNorm`.
      ignore_regex: Parameters whose ``module/name`` it matches, from the start, are
        left as they are: ``".*b$"`` leaves biases. Empty matches none.
      name: Name of the module.

    Raises:
      ValueError: At a call, if a parameter has fewer than two axes; leave it out by
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
