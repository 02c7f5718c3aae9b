"""Vector quantisers: the middle of a VQ-VAE."""

import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from haiku._core import Module, get_parameter, get_state, set_state
from haiku._layers.cross_replica import replica_mean, replica_sum
from haiku._layers.functional import one_hot
from haiku._layers.moving_average import ExponentialMovingAverage, started
from haiku.initializers import VarianceScaling

__all__ = ["VectorQuantizer", "VectorQuantizerEMA"]


class VectorQuantizer(Module):
    """Replaces each vector by the nearest of a number of learned ones.

        q(x) = e_k,  k = argmin_j |x - e_j|²
        loss = mean |sg(x) - q|² + commitment_cost * mean |x - sg(q)|²

    Args:
      embedding_dim: Size of the vectors, ``D``.
      num_embeddings: Number of learned vectors, ``K``.
      commitment_cost: Weight of the second part of the loss, which draws the inputs to
        the learned vectors.
      dtype: Dtype of the learned vectors.
      name: Name of the module.
      cross_replica_axis: Name of a mapped axis over which the perplexity is taken.

    Source:
      Van den Oord et al., 2017, Neural Discrete Representation Learning,
      arXiv:1711.00937.

    Example:
      >>> def f(x):  # between an encoder and a decoder
      ...     vq = hk.nets.VectorQuantizer(64, num_embeddings=512, commitment_cost=0.25)
      ...     out = vq(x, is_training=True)
      ...     return out["quantize"], out["loss"]
    """

    def __init__(
        self,
        embedding_dim: int,
        num_embeddings: int,
        commitment_cost: float,
        dtype: Any = jnp.float32,
        name: str | None = None,
        cross_replica_axis: str | Sequence[str] | None = None,
    ):
        super().__init__(name=name)
        self.embedding_dim = embedding_dim
        self.num_embeddings = num_embeddings
        self.commitment_cost = commitment_cost
        self.cross_replica_axis = cross_replica_axis
        self._embedding_shape = [embedding_dim, num_embeddings]
        self._embedding_dtype = dtype

    @property
    def embeddings(self) -> jax.Array:
        """The learned vectors, ``[D, K]``."""
        return get_parameter(
            "embeddings",
            self._embedding_shape,
            self._embedding_dtype,
            init=VarianceScaling(distribution="uniform"),
        )

    def __call__(self, inputs: jax.Array, is_training: bool) -> dict[str, jax.Array]:
        """Quantises.

        Args:
          inputs: ``[..., D]``.
          is_training: Has no effect here; :class:`VectorQuantizerEMA` needs it.

        Returns:
          A dict. ``quantize`` are the quantised inputs ``[..., D]``, whose gradient is
          handed to the inputs; ``loss`` is a scalar; ``perplexity``, a scalar, is how
          many vectors are in use. ``encoding_indices`` ``[...]``, ``encodings``
          ``[N, K]`` (one-hot) and ``distances`` ``[N, K]`` (squared) tell which vector
          each of the N inputs has.

        Gradient:
          That of ``loss`` reaches the inputs and the learned vectors.

        Raises:
          ValueError: The last axis of `inputs` does not have size D.
        """
        del is_training
        embeddings = self.embeddings
        found = _nearest(self, inputs, embeddings)
        quantized = _look_up(embeddings, found["encoding_indices"])
        commitment = jnp.mean(jnp.square(jax.lax.stop_gradient(quantized) - inputs))
        codebook = jnp.mean(jnp.square(quantized - jax.lax.stop_gradient(inputs)))
        loss = codebook + self.commitment_cost * commitment
        return _results(self, inputs, quantized, loss, found)

    def quantize(self, encoding_indices: jax.Array) -> jax.Array:
        """The vectors of the given indices ``[...]``, as ``[..., D]``."""
        return _look_up(self.embeddings, encoding_indices)


class VectorQuantizerEMA(Module):
    """A :class:`VectorQuantizer` whose vectors follow the inputs' averages.

    Each vector is the moving average of the inputs that are nearest to it: state, and
    not learned by gradient. Faster and more stable than the loss of the other one.

        loss = commitment_cost * mean |x - sg(q)|²

    Args:
      embedding_dim: Size of the vectors, ``D``.
      num_embeddings: Number of vectors, ``K``.
      commitment_cost: Weight of the loss.
      decay: Decay of the averages in [0, 1], see :class:`ExponentialMovingAverage`.
      epsilon: Added to how often a vector is used, to keep it from dividing by zero.
      dtype: Dtype of the vectors.
      cross_replica_axis: Name of a mapped axis over which averages and perplexity are
        taken.
      name: Name of the module.

    Raises:
      ValueError: `decay` is not in [0, 1].

    Source:
      Van den Oord et al., 2017, Neural Discrete Representation Learning,
      arXiv:1711.00937, appendix A.1.

    Example:
      >>> f = lambda x: hk.nets.VectorQuantizerEMA(2, 8, 0.25, decay=0.99)(x, True)
      >>> net, x = hk.transform_with_state(f), jnp.ones([5, 2])
      >>> run = lambda x: net.apply(*net.init(0, x), None, x)
      >>> out, state = jax.eval_shape(run, x)
      >>> out["quantize"].shape, state["vector_quantizer_ema"]["embeddings"].shape
      ((5, 2), (2, 8))
    """

    def __init__(
        self,
        embedding_dim: int,
        num_embeddings: int,
        commitment_cost: float,
        decay: float,
        epsilon: float = 1e-5,
        dtype: Any = jnp.float32,
        cross_replica_axis: str | Sequence[str] | None = None,
        name: str | None = None,
    ):
        super().__init__(name=name)
        if not 0 <= decay <= 1:
            raise ValueError(
                f"decay must be in range [0, 1], got {decay}: it is how much of the "
                "averages is kept at an update, 0.99 for instance."
            )
        self.embedding_dim = embedding_dim
        self.num_embeddings = num_embeddings
        self.decay = decay
        self.commitment_cost = commitment_cost
        self.epsilon = epsilon
        self.cross_replica_axis = cross_replica_axis
        self._embedding_shape = [embedding_dim, num_embeddings]
        self._dtype = dtype
        self._ema_cluster_size = ExponentialMovingAverage(
            decay, name="ema_cluster_size"
        )
        self._ema_dw = ExponentialMovingAverage(decay, name="ema_dw")

    @property
    def embeddings(self) -> jax.Array:
        """The vectors, ``[D, K]``."""
        return get_state(
            "embeddings",
            self._embedding_shape,
            self._dtype,
            init=VarianceScaling(distribution="uniform"),
        )

    @property
    def ema_cluster_size(self) -> ExponentialMovingAverage:
        """The average of how many inputs have each vector, ``[K]``."""
        self._ema_cluster_size.initialize([self.num_embeddings], self._dtype)
        return self._ema_cluster_size

    @property
    def ema_dw(self) -> ExponentialMovingAverage:
        """The average of the sum of each vector's inputs, ``[D, K]``."""
        self._ema_dw.initialize(self._embedding_shape, self._dtype)
        return self._ema_dw

    def __call__(self, inputs: jax.Array, is_training: bool) -> dict[str, jax.Array]:
        """Quantises, and updates the vectors.

        Args:
          inputs: ``[..., D]``.
          is_training: Whether to update the vectors, after they were used.

        Returns:
          See :meth:`VectorQuantizer.__call__`.

        Gradient:
          That of ``loss`` reaches the inputs alone.

        Raises:
          ValueError: The last axis of `inputs` does not have size D.
        """
        embeddings = self.embeddings
        found = _nearest(self, inputs, embeddings)
        quantized = _look_up(embeddings, found["encoding_indices"])
        commitment = jnp.mean(jnp.square(jax.lax.stop_gradient(quantized) - inputs))
        if is_training and 0 in inputs.shape:
            # Nothing follows from no inputs: the averages only start, if they are new.
            started(self.ema_cluster_size, embeddings[0])
            started(self.ema_dw, embeddings)
        elif is_training:
            flat = jnp.reshape(inputs, found["encodings"].shape[:1] + (-1,))
            counts = jnp.sum(found["encodings"], axis=0)
            sums = jnp.matmul(flat.T, found["encodings"])
            if self.cross_replica_axis:
                counts, sums = replica_sum(
                    (counts, sums), self.cross_replica_axis, repr(self.module_name)
                )
            size = self.ema_cluster_size(counts)
            mean_sums = self.ema_dw(sums)
            total = jnp.sum(size)
            share = (size + self.epsilon) / (total + self.num_embeddings * self.epsilon)
            set_state("embeddings", mean_sums / jnp.reshape(share * total, (1, -1)))
        return _results(
            self, inputs, quantized, self.commitment_cost * commitment, found
        )

    def quantize(self, encoding_indices: jax.Array) -> jax.Array:
        """The vectors of the given indices ``[...]``, as ``[..., D]``."""
        return _look_up(self.embeddings, encoding_indices)


def _nearest(layer: Any, inputs: jax.Array, embeddings: jax.Array) -> dict[str, Any]:
    """The nearest embedding of every input, in three ways."""
    size = layer.embedding_dim
    if not inputs.shape or inputs.shape[-1] != size:
        raise ValueError(
            f"{layer.module_name!r} quantises vectors of embedding_dim={size}, but the "
            f"input has shape {inputs.shape}: its last axis must be {size}."
        )
    flat = jnp.reshape(inputs, (math.prod(inputs.shape[:-1]), size))
    distances = (
        jnp.sum(jnp.square(flat), 1, keepdims=True)
        - 2 * jnp.matmul(flat, embeddings)
        + jnp.sum(jnp.square(embeddings), 0, keepdims=True)
    )
    indices = jnp.argmin(distances, axis=1)
    return {
        "encodings": one_hot(indices, layer.num_embeddings, distances.dtype),
        "encoding_indices": jnp.reshape(indices, inputs.shape[:-1]),
        "distances": distances,
    }


def _look_up(embeddings: jax.Array, indices: jax.Array) -> jax.Array:
    return jnp.transpose(embeddings)[jnp.asarray(indices)]


def _results(
    layer: Any,
    inputs: jax.Array,
    quantized: jax.Array,
    loss: jax.Array,
    found: dict[str, Any],
) -> dict[str, Any]:
    """What a quantiser returns."""
    # Its gradient passes straight through to the inputs.
    quantized = inputs + jax.lax.stop_gradient(quantized - inputs)
    used = jnp.mean(found["encodings"], 0)
    if layer.cross_replica_axis:
        where = repr(layer.module_name)
        used = replica_mean(used, layer.cross_replica_axis, where=where)
    return {
        "quantize": quantized,
        "loss": loss,
        "perplexity": jnp.exp(-jnp.sum(used * jnp.log(used + 1e-10))),
        **found,
    }
