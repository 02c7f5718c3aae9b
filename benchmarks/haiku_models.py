"""The benchmarks' networks for Haiku: the reference's and ours, the same program."""

import jax
import jax.numpy as jnp

import haiku as hk


def mlp(depth=100, width=100):
    return hk.transform(lambda x: hk.nets.MLP([width] * depth)(x))


def resnet50():
    def f(x):
        return hk.nets.ResNet50(1000)(x, is_training=True)

    return hk.transform_with_state(f)


def resnet18():
    def f(x):
        return hk.nets.ResNet18(10)(x, is_training=True)

    return hk.transform_with_state(f)


def attend(x, heads, **options):
    return hk.MultiHeadAttention(heads, x.shape[-1] // heads, **options)(x, x, x)


def transformer(depth=12, width=64, heads=4, norm="layer", post_norm=False):
    def normed(x):
        return hk.RMSNorm(-1)(x) if norm == "rms" else hk.LayerNorm(-1, True, True)(x)

    def residual(x, f):
        return normed(x + f(x)) if post_norm else x + f(normed(x))

    def f(tokens):
        init = hk.initializers.VarianceScaling(2 / depth)

        def attention(x):
            return attend(x, heads, w_init=init)

        def feed_forward(x):
            x = jax.nn.gelu(hk.Linear(4 * width, w_init=init)(x))
            return hk.Linear(width, w_init=init)(x)

        x = hk.Embed(256, width)(tokens)
        x = x + hk.get_parameter("positions", (tokens.shape[1], width), init=jnp.zeros)
        for _ in range(depth):
            x = residual(residual(x, attention), feed_forward)
        return hk.Linear(256)(normed(x))

    return hk.transform(f)


def mixer(depth=12, width=64):
    """On patches [B, N, C]: layers across the patches, and across the channels."""

    def feed_forward(x):
        return hk.Linear(x.shape[-1])(jax.nn.gelu(hk.Linear(2 * x.shape[-1])(x)))

    def f(x):
        x = hk.Linear(width)(x)
        for _ in range(depth):
            h = hk.LayerNorm(-1, True, True)(x)
            x = x + feed_forward(h.swapaxes(1, 2)).swapaxes(1, 2)
            x = x + feed_forward(hk.LayerNorm(-1, True, True)(x))
        return hk.Linear(10)(hk.LayerNorm(-1, True, True)(x).mean(1))

    return hk.transform(f)


def attention(heads=8):
    def f(x):
        init = hk.initializers.VarianceScaling(1.0)
        return attend(x, heads, w_init=init)

    return hk.transform(f)


def recurrent(core, width=256):
    """On a sequence [T, B, C]."""

    def f(x):
        unrolled = getattr(hk, core)(width)
        state = unrolled.initial_state(x.shape[1])
        return hk.dynamic_unroll(unrolled, x, state)[0]

    return hk.transform(f)


def conv_lstm(channels=16):
    """On a sequence of images [T, B, H, W, C]."""

    def f(x):
        core = hk.Conv2DLSTM(x.shape[2:4], channels, 3)
        return hk.dynamic_unroll(core, x, core.initial_state(x.shape[1]))[0]

    return hk.transform(f)


def pairformer():
    import pairformer

    return hk.transform(pairformer.forward)


def wide(parameters=200):
    """A function of many parameters that computes next to nothing, to time dispatch."""

    def f(x):
        for i in range(parameters // 2):
            with hk.name_scope(f"layer_{i}"):
                w = hk.get_parameter("w", (), init=jnp.ones)
                x = x * w + hk.get_parameter("b", (), init=jnp.zeros)
        return x

    return hk.transform(f)


def functions(net, x):
    """`init(key)`, `apply(params, rest)` and `named(params)` for one input."""
    key = jax.random.PRNGKey(0)
    if isinstance(net, hk.TransformedWithState):
        return (
            lambda key: net.init(key, x),
            lambda params, state: net.apply(params, state, key, x),
            named,
        )
    return (
        lambda key: (net.init(key, x), ()),
        lambda params, _: (net.apply(params, key, x), ()),
        named,
    )


def named(params):
    """The name and array of each parameter, as init made them one after another."""
    for module, bundle in params.items():
        for name, array in bundle.items():
            yield f"{module}/{name}", array


# Older versions have `pack` in `hk.experimental`.
packing = hk.data_structures if hasattr(hk.data_structures, "pack") else hk.experimental
if hasattr(packing, "pack"):

    def packed(params):
        """Params as one vector, and the function that restores them."""
        return packing.pack(params), packing.unpack
