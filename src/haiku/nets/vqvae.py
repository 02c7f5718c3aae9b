"""Vector quantisers, the middle of a VQ-VAE."""

import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from haiku._core import Module, get_parameter, get_state, set_state
from haiku._layers.cross_replica import replica_mean, replica_sum
from haiku._layers.explicit_axes import looked_up, over_rows
from haiku._layers.functional import one_hot
from haiku._layers.moving_average import ExponentialMovingAverage, start_average
from haiku.initializers import VarianceScaling

__all__ = ["VectorQuantizer", "VectorQuantizerEMA"]


class VectorQuantizer(Module):
    """Replaces each vector with the nearest of several learned vectors.

        q(x) = e_k,  k = argmin_j |x - e_j|²
        loss = mean |sg(x) - q|² + commitment_cost * mean |x - sg(q)|²

    Args:
      embedding_dim: Size of the vectors, ``D``.
      num_embeddings: Number of learned vectors, ``K``.
      commitment_cost: Weight of the second term of the loss, which pulls the inputs to
        the learned vectors.
      dtype: Dtype of the learned vectors.
      name: Name of the module.
      cross_replica_axis: Name of a mapped axis to average over for the perplexity.

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
        """Quantises `inputs`.

        Args:
          inputs: ``[..., D]``.
          is_training: Ignored; :class:`VectorQuantizerEMA` needs it.

        Returns:
          A dict. ``quantize`` ``[..., D]`` is the quantised inputs; ``loss`` is a
          scalar; ``perplexity``, a scalar, is the effective number of vectors in use.
          ``encoding_indices`` ``[...]``, ``encodings`` ``[N, K]`` (one-hot) and
          ``distances`` ``[N, K]`` (squared) assign vectors to the N inputs.

        Gradient:
          ``quantize`` passes its gradient straight to the inputs. ``loss`` reaches the
          inputs and the learned vectors.

        Raises:
          ValueError: The last axis of `inputs` doesn't have size D.
        """
        del is_training
        embeddings = self.embeddings
        nearest = _find_nearest(self, inputs, embeddings)
        quantized = _look_up(embeddings, nearest["encoding_indices"])
        commitment = jnp.mean(jnp.square(jax.lax.stop_gradient(quantized) - inputs))
        codebook = jnp.mean(jnp.square(quantized - jax.lax.stop_gradient(inputs)))
        loss = codebook + self.commitment_cost * commitment
        return _results(self, inputs, quantized, loss, nearest)

    def quantize(self, encoding_indices: jax.Array) -> jax.Array:
        """Returns the vectors ``[..., D]`` for indices ``[...]``."""
        return _look_up(self.embeddings, encoding_indices)


class VectorQuantizerEMA(Module):
    """Replaces each vector with the nearest of several moving averages.

    Each average is over the inputs nearest to it. It is state instead of a parameter,
    and learns faster and more stably than the loss of :class:`VectorQuantizer`.

        loss = commitment_cost * mean |x - sg(q)|²

    Args:
      embedding_dim: Size of the vectors, ``D``.
      num_embeddings: Number of vectors, ``K``.
      commitment_cost: Weight of the loss.
      decay: Decay of the averages in [0, 1], see :class:`ExponentialMovingAverage`.
      epsilon: Added to the usage counts of the vectors to avoid a division by zero.
      dtype: Dtype of the vectors.
      cross_replica_axis: Name of a mapped axis to combine replicas over, for averages
        and perplexity.
      name: Name of the module.

    Raises:
      ValueError: `decay` isn't in [0, 1].

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
                f"decay must be in range [0, 1], got {decay}: it is the weight of the "
                "old averages in an update, for example 0.99."
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
        """The average number of inputs assigned to each vector, ``[K]``."""
        self._ema_cluster_size.initialize([self.num_embeddings], self._dtype)
        return self._ema_cluster_size

    @property
    def ema_dw(self) -> ExponentialMovingAverage:
        """The average sum of the inputs assigned to each vector, ``[D, K]``."""
        self._ema_dw.initialize(self._embedding_shape, self._dtype)
        return self._ema_dw

    def __call__(self, inputs: jax.Array, is_training: bool) -> dict[str, jax.Array]:
        """Quantises `inputs`, then updates the vectors.

        Args:
          inputs: ``[..., D]``.
          is_training: Whether to update the vectors.

        Returns:
          See :meth:`VectorQuantizer.__call__`.

        Gradient:
          ``quantize`` passes its gradient straight to the inputs. ``loss`` reaches only
          the inputs.

        Raises:
          ValueError: The last axis of `inputs` doesn't have size D.
        """
        embeddings = self.embeddings
        nearest = _find_nearest(self, inputs, embeddings)
        quantized = _look_up(embeddings, nearest["encoding_indices"])
        commitment = jnp.mean(jnp.square(jax.lax.stop_gradient(quantized) - inputs))
        if is_training and 0 in inputs.shape:
            # No inputs, nothing to average: create the averages, but don't update them.
            start_average(self.ema_cluster_size, embeddings[0])
            start_average(self.ema_dw, embeddings)
        elif is_training:
            flat = jnp.reshape(inputs, nearest["encodings"].shape[:1] + (-1,))
            counts = jnp.sum(nearest["encodings"], axis=0)
            sums = over_rows(
                lambda x, y: jnp.matmul(x.T, y), flat, nearest["encodings"]
            )
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
            self, inputs, quantized, self.commitment_cost * commitment, nearest
        )

    def quantize(self, encoding_indices: jax.Array) -> jax.Array:
        """Returns the vectors ``[..., D]`` for indices ``[...]``."""
        return _look_up(self.embeddings, encoding_indices)


def _find_nearest(
    layer: Any, inputs: jax.Array, embeddings: jax.Array
) -> dict[str, Any]:
    """The embedding nearest to each input: one-hot, as an index, and distances."""
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
    return looked_up(jnp.transpose(embeddings), jnp.asarray(indices))


def _results(
    layer: Any,
    inputs: jax.Array,
    quantized: jax.Array,
    loss: jax.Array,
    nearest: dict[str, Any],
) -> dict[str, Any]:
    """The outputs of a quantiser."""
    # Passes the gradient of the quantised vectors straight to the inputs.
    quantized = inputs + jax.lax.stop_gradient(quantized - inputs)
    usage = jnp.mean(nearest["encodings"], 0)
    if layer.cross_replica_axis:
        where = repr(layer.module_name)
        usage = replica_mean(usage, layer.cross_replica_axis, where=where)
    return {
        "quantize": quantized,
        "loss": loss,
        "perplexity": jnp.exp(-jnp.sum(usage * jnp.log(usage + 1e-10))),
        **nearest,
    }
