"""`Upsample` and `Downsample`: more or fewer pixels, and a convolution."""

from collections.abc import Sequence
from typing import Any

import jax

from haiku._core import Module
from haiku._layers.conv_shapes import positive_per_axis
from haiku._layers.convolution import ConvND
from haiku._layers.inputs import as_array
from haiku._layers.pooling import avg_pool
from haiku._layers.resize import METHODS, resized
from haiku.initializers import Initializer

__all__ = ["Downsample", "Upsample"]


class Upsample(Module):
    """Enlarges images, then convolves them.

        y = resize(x, factor * space) * w + b

    Args:
      factor: How many times larger, an integer, or one per spatial axis.
      method: ``"nearest"`` repeats pixels; ``"linear"`` and ``"cubic"`` interpolate
        between 2 and 4 neighbours along each axis. The numbers are those of PyTorch's
        ``interpolate(align_corners=False)``: bilinear for two axes, and so on.
      conv: Whether to convolve the result with a kernel of size 3, which keeps the
        number of channels.
      w_init: Initializer of the kernel. Default: :class:`ConvND`'s.
      name: Name of the module.

    Parameters:
      ``conv``: ``w`` ``[3, ..., C, C]`` and ``b``.

    Raises:
      ValueError: `method` is unknown.

    Source:
      Odena et al., 2016, Deconvolution and Checkerboard Artifacts, Distill,
      doi:10.23915/distill.00003. Cubic: Keys, 1981, Cubic Convolution Interpolation
      for Digital Image Processing, doi:10.1109/TASSP.1981.1163711, with PyTorch's
      coefficient -0.75.

    Example:
      >>> x = jnp.array([[[0.0], [4.0]]])  # one signal of two steps
      >>> hk.bind(hk.Upsample, 2, "linear", conv=False).init(None, x)(x).ravel()
      Array([0., 1., 3., 4.], dtype=float32)
    """

    def __init__(
        self,
        factor: int | Sequence[int],
        method: str = "nearest",
        conv: bool = True,
        *,
        w_init: Initializer | None = None,
        name: str | None = None,
    ):
        super().__init__(name=name)
        if method not in METHODS:
            raise ValueError(
                f"method of {self.module_name!r} must be one of {METHODS}, got "
                f"{method!r}."
            )
        self.factor = factor
        self.method = method
        self.conv = conv
        self.w_init = w_init

    def __call__(self, x: jax.Array) -> jax.Array:
        """Enlarges ``[B, *space, C]``.

        Raises:
          ValueError: `x` has no spatial axis, or a factor isn't a positive integer.
          TypeError: `factor` is neither one for all spatial axes nor one per axis.
        """
        x = as_array(x)
        factors = _factors(self, x)
        y = resized(x, [f * n for f, n in zip(factors, x.shape[1:])], self.method)
        if not self.conv:
            return y
        return ConvND(len(factors), x.shape[-1], 3, w_init=self.w_init, name="conv")(y)


class Downsample(Module):
    """Makes images smaller: by a convolution with a stride, or by means.

        y[t] = sum over k of x[factor t + k - (factor - 1)] w[k] + b

    Args:
      factor: How many times smaller, an integer, or one per spatial axis.
      conv: Whether to convolve, with a kernel of size ``2 factor - 1`` that has zeros
        of ``factor - 1`` on both sides and keeps the number of channels. Otherwise
        the result is the mean of each window of size `factor`.
      w_init: Initializer of the kernel. Default: :class:`ConvND`'s.
      name: Name of the module.

    Parameters:
      ``conv``: ``w`` ``[2 factor - 1, ..., C, C]`` and ``b``.

    Source:
      Ho et al., 2020, Denoising Diffusion Probabilistic Models, arXiv:2006.11239, whose
      program has zeros at the end alone; here they lie on both sides, as in diffusers.

    Example:
      >>> x = jnp.arange(4.0).reshape(1, 4, 1)
      >>> hk.bind(hk.Downsample, 2, conv=False).init(None, x)(x).ravel()
      Array([0.5, 2.5], dtype=float32)
    """

    def __init__(
        self,
        factor: int | Sequence[int],
        conv: bool = True,
        *,
        w_init: Initializer | None = None,
        name: str | None = None,
    ):
        super().__init__(name=name)
        self.factor = factor
        self.conv = conv
        self.w_init = w_init

    def __call__(self, x: jax.Array) -> jax.Array:
        """Makes ``[B, *space, C]`` smaller.

        Returns:
          Each axis of length ``n`` has ``ceil(n / factor)`` afterwards, and without a
          convolution ``floor(n / factor)``.

        Raises:
          ValueError: `x` has no spatial axis, or a factor isn't a positive integer.
          TypeError: `factor` is neither one for all spatial axes nor one per axis.
        """
        x = as_array(x)
        factors = _factors(self, x)
        if not self.conv:
            windows = (1, *factors, 1)
            return avg_pool(x, windows, windows, "VALID")
        return ConvND(
            len(factors),
            x.shape[-1],
            kernel_shape=[2 * f - 1 for f in factors],
            stride=factors,
            padding=[(f - 1, f - 1) for f in factors],
            w_init=self.w_init,
            name="conv",
        )(x)


def _factors(layer: Any, x: jax.Array) -> tuple[int, ...]:
    if len(x.shape) < 3:
        raise ValueError(
            f"{layer.module_name!r} needs an array of shape [B, *space, C], got "
            f"{x.shape}."
        )
    where = repr(layer.module_name)
    return positive_per_axis(layer.factor, len(x.shape) - 2, "factor", where)
