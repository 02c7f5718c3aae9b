"""Global response normalisation: features of an image compete with each other."""

import jax
import jax.numpy as jnp

from haiku._core import Module, get_parameter
from haiku._layers.cached_tracing import elementwise
from haiku._layers.inputs import at_least_single


class ResponseNorm(Module):
    """Scales each feature by its share in the response to the image.

        g[d] = sqrt(sum over the image of x[d]²)
        y = x + scale x g / (mean(g) + 1e-6) + offset

    Woo et al., 2023, ConvNeXt V2, arXiv:2301.00808, equations 1 to 3; `scale` and
    `offset` begin at zero. Takes ``[..., H, W, D]``.
    """

    def __call__(self, x: jax.Array) -> jax.Array:
        shape = [x.shape[-1]]
        scale = get_parameter("scale", shape, x.dtype, init=jnp.zeros)
        offset = get_parameter("offset", shape, x.dtype, init=jnp.zeros)
        return _normalise(x, scale, offset)


@elementwise("response_norm")
def _normalise(x, scale, offset):
    wide = x.astype(at_least_single(x.dtype))
    squares = jnp.sum(jnp.square(wide), axis=(-3, -2), keepdims=True)
    responds = squares > 0  # the gradient of the root at 0 isn't finite
    response = jnp.where(responds, jnp.sqrt(jnp.where(responds, squares, 1)), 0)
    share = response / (jnp.mean(response, axis=-1, keepdims=True) + 1e-6)
    scaled = (wide * share).astype(x.dtype) * jnp.broadcast_to(scale, x.shape)
    return x + scaled + jnp.broadcast_to(offset, x.shape)
