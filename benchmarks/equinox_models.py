"""The benchmarks' networks in equinox: modules for one example, mapped over the batch.

Weights are drawn as equinox draws them: its layers take no initialiser.
"""

import equinox as eqx
import jax
import jax.numpy as jnp


class MLP(eqx.Module):
    layers: list[eqx.nn.Linear]

    def __init__(self, widths, key):
        keys = jax.random.split(key, len(widths) - 1)
        self.layers = [
            eqx.nn.Linear(i, o, key=k) for i, o, k in zip(widths, widths[1:], keys)
        ]

    def __call__(self, x, state):
        *hidden, last = self.layers
        for layer in hidden:
            x = jax.nn.relu(layer(x))
        return last(x), state


def conv(inputs, outputs, size, stride=1, *, key):
    return eqx.nn.Conv2d(inputs, outputs, size, stride, "SAME", use_bias=False, key=key)


def norm(channels):
    return eqx.nn.BatchNorm(channels, "batch", momentum=0.9, mode="batch")


class Normed(eqx.Module):
    conv: eqx.nn.Conv2d
    norm: eqx.nn.BatchNorm

    def __call__(self, x, state):
        return self.norm(self.conv(x), state)


class ResidualBlock(eqx.Module):
    """Convolutions, each with its norm: `shortcut` of none or one, then `layers`."""

    shortcut: list[Normed]
    layers: list[Normed]

    def __init__(self, inputs, channels, stride, project, bottleneck, key):
        keys = iter(jax.random.split(key, 4))

        def layer(inputs, outputs, size, stride=1):
            made = conv(inputs, outputs, size, stride, key=next(keys))
            return Normed(made, norm(outputs))

        self.shortcut = [layer(inputs, channels, 1, stride)] if project else []
        if bottleneck:
            inner = channels // 4
            self.layers = [
                layer(inputs, inner, 1),
                layer(inner, inner, 3, stride),
                layer(inner, channels, 1),
            ]
        else:
            self.layers = [
                layer(inputs, channels, 3, stride),
                layer(channels, channels, 3),
            ]

    def __call__(self, x, state):
        shortcut = x
        for layer in self.shortcut:
            shortcut, state = layer(x, state)
        for i, layer in enumerate(self.layers):
            if i:
                x = jax.nn.relu(x)
            x, state = layer(x, state)
        return jax.nn.relu(x + shortcut), state


class ResNet(eqx.Module):
    conv: eqx.nn.Conv2d
    norm: eqx.nn.BatchNorm
    pool: eqx.nn.MaxPool2d
    blocks: list[ResidualBlock]
    logits: eqx.nn.Linear

    def __init__(self, blocks, channels, classes, bottleneck, key):
        first, last, *keys = jax.random.split(key, 2 + sum(blocks))
        self.conv = conv(3, 64, 7, 2, key=first)
        self.norm = norm(64)
        self.pool = eqx.nn.MaxPool2d(3, 2, padding=((0, 1), (0, 1)))
        self.blocks = []
        inputs = 64
        for group, (count, outputs) in enumerate(zip(blocks, channels)):
            for i in range(count):
                stride = 2 if group and not i else 1
                project = not i and (bottleneck or group > 0)
                self.blocks.append(
                    ResidualBlock(
                        inputs, outputs, stride, project, bottleneck, keys.pop()
                    )
                )
                inputs = outputs
        self.logits = eqx.nn.Linear(inputs, classes, key=last)

    def __call__(self, x, state):
        x = jnp.moveaxis(x, -1, 0)  # equinox convolves channels first
        x, state = self.norm(self.conv(x), state)
        x = self.pool(jax.nn.relu(x))
        for block in self.blocks:
            x, state = block(x, state)
        return self.logits(x.mean((1, 2))), state


def layer_norm(width, kind="layer"):
    if kind == "rms":
        return eqx.nn.RMSNorm(width, use_bias=False)
    return eqx.nn.LayerNorm(width)


class FeedForward(eqx.Module):
    up: eqx.nn.Linear
    down: eqx.nn.Linear

    def __init__(self, width, factor, key):
        keys = jax.random.split(key)
        self.up = eqx.nn.Linear(width, factor * width, key=keys[0])
        self.down = eqx.nn.Linear(factor * width, width, key=keys[1])

    def __call__(self, x):
        return jax.vmap(self.down)(jax.nn.gelu(jax.vmap(self.up)(x)))


class Attention(eqx.Module):
    attention: eqx.nn.MultiheadAttention

    def __init__(self, width, heads, key):
        biases = ("query", "key", "value", "output")
        self.attention = eqx.nn.MultiheadAttention(
            heads, width, key=key, **{f"use_{x}_bias": True for x in biases}
        )

    def __call__(self, x):
        return self.attention(x, x, x)


class PreNorm(eqx.Module):
    norm: eqx.Module
    f: eqx.Module

    def __call__(self, x):
        return x + self.f(jax.vmap(self.norm)(x))


class PostNorm(eqx.Module):
    f: eqx.Module
    norm: eqx.Module

    def __call__(self, x):
        return jax.vmap(self.norm)(x + self.f(x))


class Transformer(eqx.Module):
    embed: eqx.nn.Embedding
    positions: jax.Array
    layers: list[eqx.Module]
    norm: eqx.Module
    logits: eqx.nn.Linear

    def __init__(self, depth, width, heads, norm, post_norm, length, key):
        first, last, *keys = jax.random.split(key, 2 + 2 * depth)
        self.embed = eqx.nn.Embedding(256, width, key=first)
        self.positions = jnp.zeros((length, width))
        self.layers = []
        for attention, feed_forward in zip(keys[::2], keys[1::2]):
            for f in (
                Attention(width, heads, attention),
                FeedForward(width, 4, feed_forward),
            ):
                normalise = layer_norm(width, norm)
                self.layers.append(
                    PostNorm(f, normalise) if post_norm else PreNorm(normalise, f)
                )
        self.norm = layer_norm(width, norm)
        self.logits = eqx.nn.Linear(width, 256, key=last)

    def __call__(self, tokens, state):
        x = jax.vmap(self.embed)(tokens) + self.positions
        for layer in self.layers:
            x = layer(x)
        return jax.vmap(self.logits)(jax.vmap(self.norm)(x)), state


class Transposed(eqx.Module):
    f: eqx.Module

    def __call__(self, x):
        return self.f(x.T).T


class Mixer(eqx.Module):
    patches: eqx.nn.Linear
    layers: list[eqx.Module]
    norm: eqx.nn.LayerNorm
    logits: eqx.nn.Linear

    def __init__(self, depth, width, length, inputs, key):
        first, last, *keys = jax.random.split(key, 2 + 2 * depth)
        self.patches = eqx.nn.Linear(inputs, width, key=first)
        self.layers = []
        for across, along in zip(keys[::2], keys[1::2]):
            f = Transposed(FeedForward(length, 2, across))
            self.layers.append(PreNorm(layer_norm(width), f))
            self.layers.append(PreNorm(layer_norm(width), FeedForward(width, 2, along)))
        self.norm = layer_norm(width)
        self.logits = eqx.nn.Linear(width, 10, key=last)

    def __call__(self, x, state):
        x = jax.vmap(self.patches)(x)
        for layer in self.layers:
            x = layer(x)
        return self.logits(jax.vmap(self.norm)(x).mean(0)), state


class AttentionAlone(eqx.Module):
    attention: Attention

    def __init__(self, width, heads, key):
        self.attention = Attention(width, heads, key)

    def __call__(self, x, state):
        return self.attention(x), state


class Unrolled(eqx.Module):
    """A cell on sequences [T, B, C]."""

    cell: eqx.Module

    def __call__(self, x, state):
        zeros = jnp.zeros((x.shape[1], self.cell.hidden_size))
        paired = isinstance(self.cell, eqx.nn.LSTMCell)

        def step(carry, x):
            carry = jax.vmap(self.cell)(x, carry)
            return carry, carry[0] if paired else carry

        return jax.lax.scan(step, (zeros, zeros) if paired else zeros, x)[1], state


class Scale(eqx.Module):
    w: jax.Array
    b: jax.Array

    def __init__(self):
        self.w = jnp.ones(())
        self.b = jnp.zeros(())

    def __call__(self, x):
        return x * self.w + self.b


class Wide(eqx.Module):
    layers: list[Scale]

    def __init__(self, layers, key):
        del key  # nothing here is random
        self.layers = [Scale() for _ in range(layers)]

    def __call__(self, x, state):
        for layer in self.layers:
            x = layer(x)
        return x, state


# What takes all of its input: the others are functions of one example.
WHOLE = (Wide, Unrolled)


# Each makes a function of one example's shape and a key.


def mlp(depth=100, width=100):
    return lambda shape, key: MLP((*shape, *(width,) * depth), key)


def resnet50():
    widths = (256, 512, 1024, 2048)
    return lambda _, key: ResNet((3, 4, 6, 3), widths, 1000, True, key)


def resnet18():
    widths = (64, 128, 256, 512)
    return lambda _, key: ResNet((2, 2, 2, 2), widths, 10, False, key)


def transformer(depth=12, width=64, heads=4, norm="layer", post_norm=False):
    return lambda shape, key: Transformer(
        depth, width, heads, norm, post_norm, *shape, key
    )


def mixer(depth=12, width=64):
    return lambda shape, key: Mixer(depth, width, *shape, key)


def attention(heads=8):
    return lambda shape, key: AttentionAlone(shape[-1], heads, key)


def recurrent(core, width=256):
    cells = {"LSTM": eqx.nn.LSTMCell, "GRU": eqx.nn.GRUCell}

    def make(shape, key):
        return Unrolled(cells[core](shape[-1], width, key=key))

    return make if core in cells else None


def wide(parameters=200):
    return lambda _, key: Wide(parameters // 2, key)


def functions(net, x):
    """`init(key)`, `apply(params, rest)` and `named(params)` for one input."""
    make = eqx.nn.make_with_state(lambda key: net(x.shape[1:], key))

    def init(key):
        model, state = make(key)
        return eqx.partition(model, eqx.is_array)[0], state

    # The module without its arrays, known before any of them is drawn.
    shapes, _ = eqx.filter_eval_shape(make, jax.random.PRNGKey(0))
    static = eqx.filter(
        shapes, lambda leaf: isinstance(leaf, jax.ShapeDtypeStruct), inverse=True
    )

    def apply(params, state):
        model = eqx.combine(params, static)
        if isinstance(shapes, WHOLE):
            return model(x, state)
        mapped = jax.vmap(model, (0, None), (0, None), axis_name="batch")
        return mapped(x, state)

    return init, apply, named


def named(params):
    """The name and array of each parameter: fields stand in the order of calls."""
    for path, array in jax.tree_util.tree_leaves_with_path(params):
        yield jax.tree_util.keystr(path, simple=True, separator="/"), array


def laid_out(name, values, shape):
    """Numbers in the order of [..., inputs, outputs] as equinox's weights have them."""
    if "embed" in name or name == "positions":
        return values.reshape(shape)
    if len(shape) == 4:
        outputs, inputs, *window = shape
        return values.reshape(*window, inputs, outputs).transpose(3, 2, 0, 1)
    return values.reshape(shape[::-1]).T
