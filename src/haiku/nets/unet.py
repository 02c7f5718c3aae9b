"""`UNet`: the denoisers of DDPM, ADM and Stable Diffusion, from one config."""

import jax
import jax.numpy as jnp

from haiku._core import Module, get_parameter, name_like, name_scope, transparent
from haiku._layers.attention import Attention
from haiku._layers.convolution import Conv2D
from haiku._layers.group_norm import GroupNorm
from haiku._layers.inputs import as_array, at_least_single
from haiku._layers.linear import Linear
from haiku._layers.positions import sinusoidal_positions
from haiku._layers.resize import resized
from haiku.nets.transformer import BLOCK_AXES, dropped, run_blocks
from haiku.nets.transformer_config import ACTIVATIONS
from haiku.nets.unet_config import UNetConfig, blocks_of

__all__ = ["UNet"]


class UNet(Module):
    """Predicts the noise of images: levels of halved images, down and up again.

    On the way up each residual block also reads what its counterpart on the way down
    returned. Each one knows the timestep; attention may follow it.

    Args:
      config: Its :class:`UNetConfig`.
      name: Name of the module.

    Parameters:
      ``time_embed/in``, ``time_embed/out``; ``conv_in``; in ``down_0``, ``mid``,
      ``up_0``, ...: residual blocks ``resnet_0`` (``norm_1``, ``conv_1``, ``time``,
      ``norm_2``, ``conv_2``, ``shortcut`` where channels change) and ``attention_0``;
      ``downsample/conv`` or ``upsample/conv`` at the end of all levels but the last;
      ``norm_out``; ``conv_out``. ``up_0`` is the level of the smallest images.
      ``attention_0`` has ``norm`` and ``attention``; for a context ``norm``, ``in``,
      ``blocks`` as in :class:`Decoder` with a ``cross_attention``, and ``out``.

    Source:
      Ho et al., 2020, Denoising Diffusion Probabilistic Models, arXiv:2006.11239;
      `scale_shift`: Dhariwal and Nichol, 2021, Diffusion Models Beat GANs on Image
      Synthesis, arXiv:2105.05233; contexts: Rombach et al., 2022, High-Resolution Image
      Synthesis with Latent Diffusion Models, arXiv:2112.10752.

    Example:
      >>> config = hk.nets.UNetConfig(
      ...     (8, 16), layers_per_block=1, mid="cross", num_heads=2,
      ...     context_size=6, groups=4)
      >>> images, timesteps = jnp.ones([2, 8, 4, 3]), jnp.array([10, 500])
      >>> context = jnp.ones([2, 5, 6])
      >>> model = hk.bind(hk.nets.UNet, config).init(0, images, timesteps, context)
      >>> model(images, timesteps, context).shape
      (2, 8, 4, 3)
    """

    _own_axes = BLOCK_AXES

    def __init__(self, config: UNetConfig, name: str | None = None):
        super().__init__(name=name or "unet")
        self.config = config

    def __call__(
        self,
        images: jax.Array,
        timesteps: jax.Array,
        context: jax.Array | None = None,
    ) -> jax.Array:
        """Returns what the net predicts of a batch of images, mostly their noise.

        Args:
          images: Floats ``[B, H, W, C]``, of any size. They are taken in the dtype of
            the parameters.
          timesteps: Numbers ``[B]``: how far each image is on its way to noise.
          context: Vectors that the pixels attend to, such as the hidden state of a
            text, ``[B, S, context_size]``; where the config has ``"cross"``.

        Returns:
          ``[B, H, W, out_channels]``.

        Raises:
          ValueError: Shapes don't fit, images aren't floats, a context is missing or
            has no place.
        """
        h = self._hidden(images, timesteps, context)
        return Conv2D(self.config.out_channels or 0, 3, name="conv_out")(h)

    @name_like("__call__")
    def hidden(
        self,
        images: jax.Array,
        timesteps: jax.Array,
        context: jax.Array | None = None,
    ) -> jax.Array:
        """Returns what the last convolution reads, ``[B, H, W, sizes[0]]``.

        Takes the arguments of a call.
        """
        return self._hidden(images, timesteps, context)

    @transparent
    def _hidden(self, images, timesteps, context):
        config = self.config
        images, timesteps = as_array(images), as_array(timesteps)
        context = None if context is None else as_array(context)
        self._check(images, timesteps, context)
        if config.centered:
            images = 2 * images - 1
        h = _FirstConv2D(config.sizes[0], 3, name="conv_in")(images)
        time = _time_embedding(config, timesteps, h.dtype)
        context = None if context is None else context.astype(h.dtype)
        last, skips = len(config.sizes) - 1, [h]
        for level in range(last + 1):
            with name_scope(f"down_{level}"):
                for j in range(config.layers_per_block[level]):
                    h = _resnet(config, level, j, h, time)
                    h = _attention(config, level, j, h, context)
                    skips.append(h)
                if level < last:
                    h = _halved(h, config.downsample_padding)
                    skips.append(h)
        if config.mid is not None:
            with name_scope("mid"):
                h = _resnet(config, last, 0, h, time)
                h = _attention(config, last, 0, h, context, middle=True)
                h = _resnet(config, last, 1, h, time)
        for level in reversed(range(last + 1)):
            with name_scope(f"up_{last - level}"):
                for j in range(config.layers_per_block[level] + 1):
                    h = jnp.concatenate([h, skips.pop()], axis=-1)
                    h = _resnet(config, level, j, h, time)
                    h = _attention(config, level, j, h, context)
                if level > 0:
                    h = _enlarged(h, skips[-1].shape[1:3])
        h = _norm(config, "norm_out")(h)
        return ACTIVATIONS[config.outer_activation or ""](h)

    def _check(self, images, timesteps, context):
        config, where = self.config, repr(self.module_name)
        floats = jnp.issubdtype(images.dtype, jnp.floating)
        if images.ndim != 4 or images.shape[3] != config.channels or not floats:
            raise ValueError(
                f"{where} needs images of shape [B, H, W, {config.channels}], floats, "
                f"got {images.dtype} of shape {images.shape}."
            )
        batch, least = images.shape[0], 2 ** (len(config.sizes) - 1)
        if not config.downsample_padding and min(images.shape[1:3]) < least:
            raise ValueError(
                f"{where} halves images {len(config.sizes) - 1} times: they must have "
                f"at least {least} pixels on each side, got {images.shape[1:3]}."
            )
        if timesteps.shape != (batch,):
            raise ValueError(
                f"{where} needs timesteps of shape [B], one for each of the {batch} "
                f"images, got {timesteps.shape}."
            )
        if not config.crosses:
            if context is not None:
                raise ValueError(
                    f"{where} reads no context: leave it out, or write 'cross' for "
                    "attention or mid in the config."
                )
            return
        shape = None if context is None else context.shape
        if (
            shape is None
            or len(shape) != 3
            or shape[::2] != (batch, config.context_size)
        ):
            raise ValueError(
                f"{where} needs a context of shape [B, S, {config.context_size}] for "
                f"{batch} images, got {shape}."
            )


def _time_embedding(config, timesteps, dtype):
    """The embedding of timesteps, ``[B, time_size]``."""
    activation, size = ACTIVATIONS[config.outer_activation], config.time_size
    sines = sinusoidal_positions(
        timesteps,
        config.sizes[0],
        interleaved=False,
        endpoint=config.endpoint,
        cosines_first=config.cosines_first,
        dtype=at_least_single(dtype),
    )
    with name_scope("time_embed"):
        hidden = activation(Linear(size, name="in")(sines.astype(dtype)))
        return Linear(size, name="out")(hidden)


def _resnet(config, level, j, h, time):
    """A residual block that knows the timestep."""
    activation, size = ACTIVATIONS[config.activation], config.sizes[level]
    with name_scope(f"resnet_{j}"):
        y = activation(_norm(config, "norm_1")(h))
        y = Conv2D(size, 3, name="conv_1")(y)
        parts = 2 if config.scale_shift else 1
        time = Linear(parts * size, name="time")(activation(time))[:, None, None]
        if config.scale_shift:
            scale, shift = jnp.split(time, 2, axis=-1)
            y = _norm(config, "norm_2")(y) * (1 + scale) + shift
        else:
            y = _norm(config, "norm_2")(y + time)
        y = dropped(activation(y), config.dropout)
        y = Conv2D(size, 3, name="conv_2")(y)
        if h.shape[-1] != size:
            h = Conv2D(size, 1, name="shortcut")(h)
        return h + y


def _attention(config, level, j, h, context, middle=False):
    """What follows a residual block: pixels attend to each other, or to a context."""
    kind = config.mid if middle else config.attention[level]
    if kind in (None, "plain"):
        return h
    batch, height, width, size = h.shape
    tokens = (batch, height * width, size)
    with name_scope(f"attention_{j}"):
        if kind == "self":
            heads = config.num_heads[level]
            y = _norm(config, "norm")(h).reshape(tokens)
            y = Attention(heads, size // heads, name="attention")(y)
            return h + y.reshape(h.shape)
        y = GroupNorm(config.groups, eps=1e-6, name="norm")(h)
        y = _mapped(config, y, "in").reshape(tokens)
        alone = config.only_cross[level] and not middle
        passed = {"mask": None, "context": context if alone else None}
        passed["crossed"] = {"context": context}
        y = run_blocks(blocks_of(config, level), y, passed)
        return h + _mapped(config, y.reshape(h.shape), "out")


def _mapped(config, x, name):
    if config.linear_maps:
        return Linear(x.shape[-1], name=name)(x)
    return Conv2D(x.shape[-1], 1, name=name)(x)


def _norm(config, name):
    return GroupNorm(config.groups, eps=config.norm_eps, name=name)


class _FirstConv2D(Conv2D):
    """A convolution of inputs in the dtype of its parameters."""

    def __call__(self, inputs, **options):
        shape = [self.output_channels]
        b = get_parameter("b", shape, inputs.dtype, init=self.b_init)
        return super().__call__(inputs.astype(b.dtype), **options)


def _halved(h, padding):
    with name_scope("downsample"):
        pads = [(padding, 1)] * 2
        return Conv2D(h.shape[-1], 3, stride=2, padding=pads, name="conv")(h)


def _enlarged(h, sizes):
    with name_scope("upsample"):
        return Conv2D(h.shape[-1], 3, name="conv")(resized(h, sizes, "nearest"))
