"""`PatchEmbed`: an image as a sequence of vectors."""

from collections.abc import Sequence

import jax

from haiku._core import Module
from haiku._layers.conv_shapes import positive_per_axis
from haiku._layers.convolution import Conv2D
from haiku._layers.inputs import as_array
from haiku.initializers import Initializer

__all__ = ["PatchEmbed"]


class PatchEmbed(Module):
    """Cuts an image into patches and maps each to a vector.

        y[i] = sum over the pixels and channels of patch i of x w + b

    Args:
      size: Size of the vectors, ``D``.
      patch: Height and width of a patch in pixels: one number, or a pair.
      with_bias: Whether to add a bias.
      w_init: Initializer of the kernel. Default: :class:`Conv2D`'s.
      b_init: Initializer of the bias. Default: zeros.
      name: Name of the module.

    Parameters:
      ``conv``: ``w`` ``[height, width, C, D]`` and ``b``, as :class:`Conv2D` has them.

    Raises:
      ValueError: `patch` isn't one or two positive integers.

    Source:
      Dosovitskiy et al., 2020, An Image is Worth 16x16 Words: Transformers for Image
      Recognition at Scale, arXiv:2010.11929, equation 1.

    Example:
      >>> images = jnp.ones([2, 32, 48, 3])
      >>> hk.bind(hk.PatchEmbed, 64, 16).init(0, images)(images).shape
      (2, 6, 64)
    """

    def __init__(
        self,
        size: int,
        patch: int | Sequence[int],
        with_bias: bool = True,
        *,
        w_init: Initializer | None = None,
        b_init: Initializer | None = None,
        name: str | None = None,
    ):
        super().__init__(name=name)
        self.size = size
        self.patch = positive_per_axis(patch, 2, "patch", repr(self.module_name))
        self.with_bias = with_bias
        self.w_init = w_init
        self.b_init = b_init

    def __call__(self, images: jax.Array) -> jax.Array:
        """Embeds the patches.

        Args:
          images: ``[B, H, W, C]``; patches divide `H` and `W`.

        Returns:
          ``[B, N, D]``, the patches row by row, ``N = H W / (height width)``.

        Raises:
          ValueError: `images` have another rank, or sizes that patches don't divide.
        """
        images = as_array(images)
        if len(images.shape) != 4:
            raise ValueError(
                f"{self.module_name!r} needs images of shape [B, H, W, C], got "
                f"{images.shape}."
            )
        height, width = images.shape[1:3]
        if height % self.patch[0] or width % self.patch[1]:
            raise ValueError(
                f"{self.module_name!r} cuts images into patches of {self.patch} "
                f"pixels, which don't divide images of {(height, width)}: crop, pad or "
                "resize them. Of symbolic sizes, export multiples, as in "
                "jax.export.symbolic_shape('b, 2*h, 2*w, 3')."
            )
        y = Conv2D(
            *(self.size, self.patch, self.patch),
            padding="VALID",
            with_bias=self.with_bias,
            w_init=self.w_init,
            b_init=self.b_init,
            name="conv",
        )(images)
        return y.reshape(y.shape[0], y.shape[1] * y.shape[2], self.size)
