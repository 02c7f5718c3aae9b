"""`S5`: a linear state space model with many inputs and outputs."""

import math

import jax
import jax.numpy as jnp
import numpy as np

from haiku._core import get_parameter, transparent
from haiku._layers.linear_recurrence import linear_recurrence
from haiku._layers.rnn_unroll import add_batch
from haiku._layers.sequence_layer import SequenceLayer
from haiku._layers.time_steps import LogTimeStep
from haiku.initializers import RandomNormal, TruncatedNormal

__all__ = ["S5"]

_LARGEST_REAL = -1e-4  # of eigenvalues, so that no state grows


class S5(SequenceLayer):
    """A linear state space model, diagonal in complex numbers.

        h_t = exp(δ λ) h_(t-1) + (exp(δ λ) - 1) / λ (x_t B)
        y_t = 2 Re(h_t C) + d x_t

    ``h`` holds one of each pair of conjugate eigenvalues ``λ``. The layer is linear in
    ``x``: put a nonlinearity after it. Call it on a sequence, or unroll its method
    `step`: both give the same outputs, states and gradients.

    Args:
      state_size: Size of the real system, ``N``; twice the number of ``λ``.
      num_blocks: Blocks on the diagonal of the initial system, each with the
        eigenvalues of a HiPPO-N matrix; ``2 num_blocks`` divides `state_size`.
      time_step_min: Smallest ``δ`` at first.
      time_step_max: Largest ``δ`` at first.
      name: Name of the module.

    Parameters:
      Complex ones have a last axis of real and imaginary parts. ``eigenvalues``:
      ``[N / 2, 2]``, whose real parts count as at most -0.0001; ``log_time_step``:
      ``[N / 2]``, the log of ``δ``; ``b``: ``[D, N / 2, 2]``; ``c``: ``[N / 2, D, 2]``;
      ``d``: ``[D]``.

    Raises:
      ValueError: ``2 num_blocks`` doesn't divide `state_size`.

    Source:
      Smith et al., 2022, Simplified State Space Layers for Sequence Modeling,
      arXiv:2208.04933, section 3 and appendix B.1, discretised by a zero-order hold.

    Example:
      >>> x = jnp.ones([2, 5, 3])
      >>> model = hk.bind(hk.S5, 8).init(0, x)
      >>> y, state = model(x)
      >>> y.shape, state.shape  # real parts, then imaginary parts
      ((2, 5, 3), (2, 8))
    """

    def __init__(
        self,
        state_size: int,
        num_blocks: int = 1,
        *,
        time_step_min: float = 0.001,
        time_step_max: float = 0.1,
        name: str | None = None,
    ):
        super().__init__(name=name)
        self.check_sizes(state_size=state_size, num_blocks=num_blocks)
        if state_size % (2 * num_blocks):
            raise ValueError(
                f"state_size of {self.module_name!r} must be a multiple of twice its "
                f"num_blocks, for conjugate pairs: got {state_size} for {num_blocks}."
            )
        self.state_size = state_size
        self.num_blocks = num_blocks
        self.time_step_min = time_step_min
        self.time_step_max = time_step_max

    @transparent
    def initial_state(self, batch_size: int | None) -> jax.Array:
        """Zeros, ``[B, state_size]`` or ``[state_size]``: first the real parts."""
        return add_batch(jnp.zeros([self.state_size]), batch_size)

    @transparent
    def _run(self, x, state, mask):
        features, pairs, dtype = x.shape[-1], self.state_size // 2, x.dtype
        wide = state.dtype
        system = _HippoN(self.state_size, self.num_blocks)

        def parameter(name, shape, init):
            return get_parameter(name, shape, dtype, init=init).astype(wide)

        eigenvalues = parameter("eigenvalues", [pairs, 2], system.eigenvalues)
        init = LogTimeStep(self.time_step_min, self.time_step_max)
        time_step = jnp.exp(parameter("log_time_step", [pairs], init))
        b = parameter("b", [features, pairs, 2], system.b)
        c = parameter("c", [pairs, features, 2], system.c)
        d = parameter("d", [features], RandomNormal())

        x = x.astype(wide)
        real = jnp.minimum(eigenvalues[:, 0], _LARGEST_REAL)
        eigenvalues = jax.lax.complex(real, eigenvalues[:, 1])
        decay = jnp.exp(eigenvalues * jax.lax.complex(time_step, 0 * time_step))
        gain = (decay - 1) / eigenvalues
        term = jax.lax.complex(x @ b[..., 0], x @ b[..., 1]) * gain[None, None]
        decay = jnp.broadcast_to(decay, term.shape)
        if mask is not None:
            decay = jnp.where(mask[:, :, None], decay, 1)
            term = jnp.where(mask[:, :, None], term, 0)
        h = linear_recurrence(
            decay, term, jax.lax.complex(state[:, :pairs], state[:, pairs:])
        )
        y = 2 * (h.real @ c[..., 0] - h.imag @ c[..., 1]) + x * d[None, None]
        last = h[:, -1]
        return y, jnp.concatenate([last.real, last.imag], axis=-1)


class _HippoN:
    """Initial values: blocks of the normal part of HiPPO-LegS, diagonalised."""

    def __init__(self, state_size: int, num_blocks: int):
        self.state_size, self.num_blocks = state_size, num_blocks

    def _diagonal(self):
        """The frequencies above 0, ``[R / 2]``, and their vectors ``[R, R / 2]``."""
        size = self.state_size // self.num_blocks
        root = np.sqrt(2 * np.arange(size) + 1.0)
        lower = np.tril(np.outer(root, root) / 2, -1)
        frequencies, vectors = np.linalg.eigh(-1j * (lower.T - lower))
        return frequencies[size // 2 :], vectors[:, size // 2 :]

    def eigenvalues(self, shape, dtype):
        frequencies = np.tile(self._diagonal()[0], self.num_blocks)
        return jnp.asarray(
            np.stack([np.full_like(frequencies, -0.5), frequencies], -1), dtype
        )

    def b(self, shape, dtype):
        return self._projected(shape[0], -1, 1 / math.sqrt(max(shape[0], 1)), dtype)

    def c(self, shape, dtype):
        c = self._projected(shape[1], 1, 1 / math.sqrt(self.state_size), dtype)
        return jnp.moveaxis(c, 0, 1)

    def _projected(self, features, sign, stddev, dtype):
        """A random real matrix times the vectors, or their conjugates."""
        size = self.state_size // self.num_blocks
        shape = (features, self.num_blocks, size)
        real = TruncatedNormal(stddev)(shape, jnp.float32)
        vectors = self._diagonal()[1]
        parts = np.real(vectors), sign * np.imag(vectors)
        vectors = np.stack(parts, -1).astype(np.float32)
        y = jnp.einsum("fjr,rnp->fjnp", real, vectors)
        return y.reshape(features, self.state_size // 2, 2).astype(dtype)
