"""`DiT`: a transformer that denoises images, for a timestep and a label."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from haiku._core import Module, get_parameter, name_like, name_scope, transparent
from haiku._layers.adaptive_norm import AdaptiveNorm
from haiku._layers.attention import Attention
from haiku._layers.explicit_axes import keeping_rows, looked_up
from haiku._layers.inputs import as_array, known_size
from haiku._layers.linear import Linear
from haiku._layers.patch_embed import PatchEmbed
from haiku._layers.positions import sinusoidal_positions
from haiku._layers.product import product
from haiku._layers.wide_norm import WideNorm
from haiku._lifted.layer_stack import layer_stack
from haiku.initializers import TruncatedNormal
from haiku.nets.dit_config import DiTConfig
from haiku.nets.transformer import BLOCK_AXES, dropped, mlp

__all__ = ["DiT"]

_FREQUENCIES = 256  # sines and cosines of a timestep
_INIT = TruncatedNormal(0.02)


class DiT(Module):
    """A diffusion transformer: patches of a noisy image, a timestep and a label.

        h = h + gate * f(norm(h) (1 + scale) + shift)    f: attention, then the MLP

    Scales, shifts and gates are linear in the condition, the sum of the embeddings of
    timestep and label. Their weights begin as zeros, as the head does: each block
    begins as the identity, the output as zeros.

    Images may have another size than those of training, with positions stretched over
    them. Blocks are compiled as one (:func:`layer_stack`).

    *Training* is the caller's: with flow matching the net learns ``noise - image`` from
    ``(1 - t) image + t noise`` and ``1000 t``, for t uniform in [0, 1]; with DDPM the
    noise. The label `num_classes` means none: put it in place of one label in ten, and
    samples may be guided by the difference that a label makes.

    Args:
      config: Its :class:`DiTConfig`.
      name: Name of the module.

    Parameters:
      ``patch_embed/conv``; ``condition/{up,down}``, of timesteps, and
      ``condition/labels/embeddings`` ``[num_classes + 1, D]``, in ``blocks`` unless
      shared; ``blocks`` with ``attention``, ``mlp`` as in :class:`Decoder`,
      ``attention_norm/{scale,shift}``, ``attention_gate``, ``mlp_norm/{scale,shift}``,
      ``mlp_gate``, ``mlp_affine``; ``norm/{scale,shift}``; ``head``.

    Source:
      Peebles and Xie, 2022, Scalable Diffusion Models with Transformers,
      arXiv:2212.09748, section 3.2 and appendix A. The frequencies of timesteps are
      those of diffusers, from 1 to exactly 1/10000.

    Example:
      >>> config = hk.nets.DiTConfig(
      ...     image_size=8, patch_size=2, model_size=16, num_layers=2, num_heads=2,
      ...     num_classes=10)
      >>> images, timesteps = jnp.ones([3, 8, 8, 4]), jnp.array([0, 500, 999])
      >>> labels = jnp.array([1, 2, 10])  # the last has none
      >>> model = hk.bind(hk.nets.DiT, config).init(0, images, timesteps, labels)
      >>> model(images, timesteps, labels).shape
      (3, 8, 8, 4)
    """

    _own_axes = BLOCK_AXES

    def __init__(self, config: DiTConfig, name: str | None = None):
        super().__init__(name=name or "dit")
        self.config = config

    def __call__(
        self, images: jax.Array, timesteps: jax.Array, labels: jax.Array
    ) -> jax.Array:
        """Returns the noise of images, or whatever the net was trained to predict.

        Args:
          images: Floats ``[B, H, W, C]``; patches divide `H` and `W`. They are taken in
            the dtype of the parameters.
          timesteps: Integers or floats ``[B]``, usually from 0 to 1000.
          labels: Integers ``[B]``, 0 to `num_classes`; the last means no label.

        Returns:
          ``[B, H, W, out_channels]``.

        Raises:
          ValueError: Shapes or dtypes don't fit, or patches don't divide the images.
        """
        return self._run(images, timesteps, labels, True)

    @name_like("__call__")
    def hidden(
        self, images: jax.Array, timesteps: jax.Array, labels: jax.Array
    ) -> jax.Array:
        """Returns the hidden state ``[B, N, D]`` after the last block and norm.

        Takes the arguments of a call.
        """
        return self._run(images, timesteps, labels, False)

    @transparent
    def _run(self, images, timesteps, labels, with_head):
        config = self.config
        images, timesteps, labels = map(as_array, (images, timesteps, labels))
        self._check(images, timesteps, labels)
        (height, width), size = config.patch_size, config.model_size
        channels = config.out_channels or 0
        with name_scope("head"):
            shape = [size, height * width * channels]
            w = get_parameter("w", shape, images.dtype, init=jnp.zeros)
            b = get_parameter("b", shape[1:], images.dtype, init=jnp.zeros)
        images = images.astype(w.dtype)
        h = PatchEmbed(size, config.patch_size, name="patch_embed")(images)
        rows, columns = images.shape[1] // height, images.shape[2] // width
        h = h + self._positions(rows, columns, h)
        h, condition = self._run_blocks(h, timesteps, labels)
        h = AdaptiveNorm(size, name="norm")(h, condition)
        if not with_head:
            return h
        y = product(h, w)
        y = y + jnp.broadcast_to(b, y.shape)

        def image_of(y):
            y = y.reshape(-1, rows, columns, height, width, channels)
            y = y.transpose(0, 1, 3, 2, 4, 5)
            return y.reshape(*images.shape[:3], channels)

        return keeping_rows(image_of, y)

    @transparent
    def _run_blocks(self, h, timesteps, labels):
        """The hidden state after the blocks, and the condition of the last norm."""
        config = self.config
        waves = sinusoidal_positions(
            timesteps,
            _FREQUENCIES,
            **{"interleaved": False, "endpoint": True, "cosines_first": True},
            dtype=h.dtype,
        )

        if config.shared_condition:
            condition = _condition(config, waves, labels)
            run = layer_stack(config.num_layers, name="blocks")
            return run(lambda h: _block(config, h, condition))(h), condition

        def block(carry):
            h, first, is_first = carry
            condition = _condition(config, waves, labels)
            first = jnp.where(is_first, condition, first)
            return _block(config, h, condition), first, jnp.zeros_like(is_first)

        start = h, jnp.zeros_like(h[:, 0]), jnp.ones([], bool)
        return layer_stack(config.num_layers, name="blocks")(block)(start)[:2]

    def _positions(self, rows, columns, h):
        """Sines and cosines of columns, then of rows, as wide as `h`."""
        half = h.shape[-1] // 2
        for size in (rows, columns):
            known_size(size, "DiT computes positions for each size of an image")
        down, across = (
            sinusoidal_positions(
                np.arange(n) * (of_training / n), half, interleaved=False
            )
            for n, of_training in zip((rows, columns), self.config.grid)
        )
        shape = rows, columns, half
        down = jnp.broadcast_to(down[:, None], shape)
        across = jnp.broadcast_to(across[None], shape)
        both = jnp.concatenate([across, down], axis=-1).astype(h.dtype)
        return jnp.broadcast_to(both.reshape(1, *h.shape[1:]), h.shape)

    def _check(self, images, timesteps, labels):
        name, channels = self.module_name, self.config.channels
        floats = jnp.issubdtype(images.dtype, jnp.floating)
        if images.ndim != 4 or images.shape[3] != channels or not floats:
            raise ValueError(
                f"{name!r} needs images of shape [B, H, W, {channels}], floats, got "
                f"{images.dtype} of shape {images.shape}."
            )
        kinds = {
            "timesteps": (timesteps, (jnp.integer, jnp.floating), "numbers"),
            "labels": (labels, (jnp.integer,), "integers"),
        }
        for called, (x, dtypes, wanted) in kinds.items():
            fits = any(jnp.issubdtype(x.dtype, dtype) for dtype in dtypes)
            if x.shape != images.shape[:1] or not fits:
                raise ValueError(
                    f"{name!r} needs {called} of shape [B], {images.shape[:1]}, "
                    f"{wanted}, got {x.dtype} of shape {x.shape}."
                )


def _condition(config: DiTConfig, waves: jax.Array, labels: jax.Array) -> jax.Array:
    """The embeddings of timesteps and labels together, ``[B, D]``."""
    size = config.model_size
    with name_scope("condition"):
        hidden = jax.nn.silu(Linear(size, w_init=_INIT, name="up")(waves))
        of_times = Linear(size, w_init=_INIT, name="down")(hidden)
        with name_scope("labels"):
            shape = [config.num_classes + 1, size]
            table = get_parameter("embeddings", shape, waves.dtype, init=_INIT)
        return jax.nn.silu(of_times + looked_up(table, labels))


def _block(config: DiTConfig, h: jax.Array, condition: jax.Array) -> jax.Array:
    attention = Attention(
        config.num_heads,
        config.head_size or 0,
        output_size=config.model_size,
        with_bias=config.attention_bias,
        output_bias=True,
        name="attention",
    )
    h = _residual(config, "attention", attention, h, condition, None, 1e-6)
    eps, norm = config.norm_eps, None
    if config.norm_affine:
        norm = WideNorm("layer", eps, name="mlp_affine")
    return _residual(config, "mlp", lambda x: mlp(config, x), h, condition, norm, eps)


def _residual(
    config: DiTConfig,
    name: str,
    f: Callable[[jax.Array], jax.Array],
    h: jax.Array,
    condition: jax.Array,
    norm: Callable[[jax.Array], jax.Array] | None,
    eps: float,
) -> jax.Array:
    size = config.model_size
    gate = Linear(size, w_init=jnp.zeros, name=f"{name}_gate")(condition)
    x = AdaptiveNorm(size, norm, eps=eps, name=f"{name}_norm")(h, condition)
    return h + gate[:, None] * dropped(f(x), config.dropout)
