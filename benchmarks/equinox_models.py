"""The benchmarks' networks in equinox: modules for one example, mapped over the batch.

Weights are drawn as equinox draws them: its layers take no initialiser.
"""

import functools

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


class Bottleneck(eqx.Module):
    convs: list[eqx.nn.Conv2d]
    norms: list[eqx.nn.BatchNorm]
    shortcut: tuple[eqx.nn.Conv2d, eqx.nn.BatchNorm] | None

    def __init__(self, inputs, channels, stride, project, key):
        keys = jax.random.split(key, 4)
        inner = channels // 4
        self.convs = [
            conv(inputs, inner, 1, key=keys[0]),
            conv(inner, inner, 3, stride, key=keys[1]),
            conv(inner, channels, 1, key=keys[2]),
        ]
        self.norms = [norm(inner), norm(inner), norm(channels)]
        self.shortcut = None
        if project:
            projection = conv(inputs, channels, 1, stride, key=keys[3])
            self.shortcut = projection, norm(channels)

    def __call__(self, x, state):
        shortcut = x
        if self.shortcut is not None:
            projection, normalise = self.shortcut
            shortcut, state = normalise(projection(x), state)
        for i in range(3):
            x, state = self.norms[i](self.convs[i](x), state)
            if i < 2:
                x = jax.nn.relu(x)
        return jax.nn.relu(x + shortcut), state


class ResNet(eqx.Module):
    conv: eqx.nn.Conv2d
    norm: eqx.nn.BatchNorm
    pool: eqx.nn.MaxPool2d
    blocks: list[Bottleneck]
    logits: eqx.nn.Linear

    def __init__(self, blocks, channels, classes, key):
        first, last, *keys = jax.random.split(key, 2 + sum(blocks))
        self.conv = conv(3, 64, 7, 2, key=first)
        self.norm = norm(64)
        self.pool = eqx.nn.MaxPool2d(3, 2, padding=((0, 1), (0, 1)))
        self.blocks = []
        inputs = 64
        for group, (count, outputs) in enumerate(zip(blocks, channels)):
            for i in range(count):
                stride = 2 if group and not i else 1
                block = Bottleneck(inputs, outputs, stride, not i, keys.pop())
                self.blocks.append(block)
                inputs = outputs
        self.logits = eqx.nn.Linear(inputs, classes, key=last)

    def __call__(self, x, state):
        x = jnp.moveaxis(x, -1, 0)  # equinox convolves channels first
        x, state = self.norm(self.conv(x), state)
        x = self.pool(jax.nn.relu(x))
        for block in self.blocks:
            x, state = block(x, state)
        return self.logits(x.mean((1, 2))), state


class Block(eqx.Module):
    norms: list[eqx.nn.LayerNorm]
    attention: eqx.nn.MultiheadAttention
    up: eqx.nn.Linear
    down: eqx.nn.Linear

    def __init__(self, width, heads, key):
        keys = jax.random.split(key, 3)
        self.norms = [eqx.nn.LayerNorm(width) for _ in range(2)]
        self.attention = eqx.nn.MultiheadAttention(
            heads,
            width,
            use_query_bias=True,
            use_key_bias=True,
            use_value_bias=True,
            use_output_bias=True,
            key=keys[0],
        )
        self.up = eqx.nn.Linear(width, 4 * width, key=keys[1])
        self.down = eqx.nn.Linear(4 * width, width, key=keys[2])

    def __call__(self, x):
        h = jax.vmap(self.norms[0])(x)
        x = x + self.attention(h, h, h)
        h = jax.vmap(self.norms[1])(x)
        h = jax.nn.gelu(jax.vmap(self.up)(h))
        return x + jax.vmap(self.down)(h)


class Transformer(eqx.Module):
    embed: eqx.nn.Embedding
    positions: jax.Array
    blocks: list[Block]
    norm: eqx.nn.LayerNorm
    logits: eqx.nn.Linear

    def __init__(self, depth, width, heads, length, key):
        first, last, *keys = jax.random.split(key, 2 + depth)
        self.embed = eqx.nn.Embedding(256, width, key=first)
        self.positions = jnp.zeros((length, width))
        self.blocks = [Block(width, heads, k) for k in keys]
        self.norm = eqx.nn.LayerNorm(width)
        self.logits = eqx.nn.Linear(width, 256, key=last)

    def __call__(self, tokens, state):
        x = jax.vmap(self.embed)(tokens) + self.positions
        for block in self.blocks:
            x = block(x)
        return jax.vmap(self.logits)(jax.vmap(self.norm)(x)), state


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


def mlp(depth=100, width=100):
    return functools.partial(MLP, (width,) * (depth + 1))


def resnet50():
    return functools.partial(ResNet, (3, 4, 6, 3), (256, 512, 1024, 2048), 1000)


def transformer(depth=12, width=64, heads=4, length=16):
    return functools.partial(Transformer, depth, width, heads, length)


def wide(parameters=200):
    return functools.partial(Wide, parameters // 2)


def parameters(variables):
    return jax.tree.leaves(variables[0])


def functions(net, x):
    """`init(key)`, `apply(variables)` and `value_and_grad(variables)` for one input."""

    def init(key):
        model, state = eqx.nn.make_with_state(net)(key=key)
        return eqx.partition(model, eqx.is_array)[0], state

    # The module without its arrays, known before any of them is drawn.
    shapes, _ = eqx.filter_eval_shape(
        eqx.nn.make_with_state(net), key=jax.random.PRNGKey(0)
    )
    static = eqx.filter(
        shapes, lambda leaf: isinstance(leaf, jax.ShapeDtypeStruct), inverse=True
    )

    def apply(variables):
        params, state = variables
        model = eqx.combine(params, static)
        if not x.ndim:
            return model(x, state)[0]
        mapped = jax.vmap(model, (0, None), (0, None), axis_name="batch")
        return mapped(x, state)[0]

    def value_and_grad(variables):
        params, state = variables
        return jax.value_and_grad(lambda p: jnp.sum(apply((p, state))))(params)

    return init, apply, value_and_grad
