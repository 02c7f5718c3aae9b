"""The benchmarks' networks by hand, in JAX alone: parameters are a list of layers."""

from typing import NamedTuple

import jax
import jax.numpy as jnp


class Affine(NamedTuple):
    w: jax.Array
    b: jax.Array

    def __call__(self, x):
        return x @ self.w + self.b


class Norm(NamedTuple):
    scale: jax.Array
    bias: jax.Array

    def __call__(self, x):
        x = x - x.mean(-1, keepdims=True)
        x = x * jax.lax.rsqrt(jnp.square(x).mean(-1, keepdims=True) + 1e-5)
        return x * self.scale + self.bias


class RMSNorm(NamedTuple):
    scale: jax.Array

    def __call__(self, x):
        root = jax.lax.rsqrt(jnp.square(x).mean(-1, keepdims=True) + 1e-5)
        return x * root * self.scale


class Embedding(NamedTuple):
    embeddings: jax.Array
    positions: jax.Array


def affine(key, inputs, outputs, scale=1.0):
    w = jax.random.truncated_normal(key, -2, 2, (inputs, outputs))
    return Affine(w * (scale / inputs) ** 0.5, jnp.zeros(outputs))


def mlp(depth=100, width=100):
    def init(key, x):
        widths = [x.shape[-1], *[width] * depth]
        keys = jax.random.split(key, depth)
        return [affine(*each) for each in zip(keys, widths, widths[1:])]

    def apply(params, x):
        *hidden, last = params
        for layer in hidden:
            x = jax.nn.relu(layer(x))
        return last(x)

    return init, apply


def attention(q, k, v, heads):
    q, k, v = (x.reshape(*x.shape[:-1], heads, -1) for x in (q, k, v))
    logits = jnp.einsum("...qhd,...khd->...hqk", q, k) * q.shape[-1] ** -0.5
    out = jnp.einsum("...hqk,...khd->...qhd", jax.nn.softmax(logits), v)
    return out.reshape(*out.shape[:-2], -1)


def transformer(depth=12, width=64, heads=4, norm="layer", post_norm=False):
    def normed():
        scale = jnp.ones(width)
        return RMSNorm(scale) if norm == "rms" else Norm(scale, jnp.zeros(width))

    def init(key, tokens):
        keys = iter(jax.random.split(key, 6 * depth + 2))
        table = jax.random.truncated_normal(next(keys), -2, 2, (256, width))
        params = [Embedding(table, jnp.zeros((tokens.shape[1], width)))]
        for _ in range(depth):
            parts = [affine(next(keys), width, width, 2 / depth) for _ in range(4)]
            params += [*parts, normed()] if post_norm else [normed(), *parts]
            parts = [
                affine(next(keys), width, 4 * width, 2 / depth),
                affine(next(keys), 4 * width, width, 2 / depth),
            ]
            params += [*parts, normed()] if post_norm else [normed(), *parts]
        return [*params, normed(), affine(next(keys), width, 256)]

    def apply(params, tokens):
        embedding, *layers = params
        layer = iter(layers)

        def residual(x, f):
            if post_norm:
                x = x + f(x)
                return next(layer)(x)
            return x + f(next(layer)(x))

        def attend(x):
            q, k, v = (next(layer)(x) for _ in range(3))
            return next(layer)(attention(q, k, v, heads))

        def feed_forward(x):
            x = jax.nn.gelu(next(layer)(x))
            return next(layer)(x)

        x = embedding.embeddings[tokens] + embedding.positions
        for _ in range(depth):
            x = residual(residual(x, attend), feed_forward)
        x = next(layer)(x)
        return next(layer)(x)

    return init, apply


def functions(net, x):
    """`init(key)`, `apply(params, rest)` and `named(params)` for one input."""
    init, apply = net
    return (
        lambda key: (init(key, x), ()),
        lambda params, _: (apply(params, x), ()),
        named,
    )


def named(params):
    for i, layer in enumerate(params):
        for name, array in layer._asdict().items():
            yield f"{type(layer).__name__}_{i}/{name}", array
