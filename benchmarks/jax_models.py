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


def attend(q, k, v, heads):
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

        def attention(x):
            q, k, v = (next(layer)(x) for _ in range(3))
            return next(layer)(attend(q, k, v, heads))

        def feed_forward(x):
            x = jax.nn.gelu(next(layer)(x))
            return next(layer)(x)

        x = embedding.embeddings[tokens] + embedding.positions
        for _ in range(depth):
            x = residual(residual(x, attention), feed_forward)
        x = next(layer)(x)
        return next(layer)(x)

    return init, apply


def attention(heads=8):
    def init(key, x):
        keys = jax.random.split(key, 4)
        return [affine(k, x.shape[-1], x.shape[-1]) for k in keys]

    def apply(params, x):
        *projections, output = params
        return output(attend(*(layer(x) for layer in projections), heads))

    return init, apply


class GatedUnit(NamedTuple):
    w_x: jax.Array
    w_h: jax.Array
    b: jax.Array


def lstm_step(params, state, x):
    hidden, cell = state
    gates = params[0](jnp.concatenate([x, hidden], -1))
    i, g, f, o = jnp.split(gates, 4, -1)
    cell = jax.nn.sigmoid(f + 1) * cell + jax.nn.sigmoid(i) * jnp.tanh(g)
    hidden = jax.nn.sigmoid(o) * jnp.tanh(cell)
    return (hidden, cell), hidden


def gru_step(params, hidden, x):
    w_x, w_h, b = params[0]
    width = hidden.shape[-1]
    from_x, w_zr, w_a = x @ w_x + b, w_h[:, : 2 * width], w_h[:, 2 * width :]
    zr = jax.nn.sigmoid(from_x[:, : 2 * width] + hidden @ w_zr)
    z, r = jnp.split(zr, 2, -1)
    a = jnp.tanh(from_x[:, 2 * width :] + (r * hidden) @ w_a)
    hidden = (1 - z) * hidden + z * a
    return hidden, hidden


def vanilla_step(params, hidden, x):
    from_x, from_hidden = params
    hidden = jax.nn.relu(from_x(x) + from_hidden(hidden))
    return hidden, hidden


def recurrent(core, width=256):
    """On a sequence [T, B, C]."""
    step = {"LSTM": lstm_step, "GRU": gru_step, "VanillaRNN": vanilla_step}[core]

    def init(key, x):
        inputs = x.shape[-1]
        keys = jax.random.split(key)
        if core == "LSTM":
            return [affine(key, inputs + width, 4 * width)]
        if core == "VanillaRNN":
            return [affine(keys[0], inputs, width), affine(keys[1], width, width)]
        w_x, b = affine(keys[0], inputs, 3 * width)
        return [GatedUnit(w_x, affine(keys[1], width, 3 * width).w, b)]

    def apply(params, x):
        zeros = jnp.zeros((x.shape[1], width))
        state = (zeros, zeros) if core == "LSTM" else zeros
        return jax.lax.scan(lambda s, x: step(params, s, x), state, x)[1]

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
