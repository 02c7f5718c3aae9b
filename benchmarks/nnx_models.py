"""The benchmarks' networks in flax.nnx: split into graph and state, merged to run."""

import functools

import jax
import jax.numpy as jnp
from flax import nnx


class MLP(nnx.Module):
    def __init__(self, widths, *, rngs):
        pairs = zip(widths, widths[1:])
        self.layers = nnx.List(nnx.Linear(i, o, rngs=rngs) for i, o in pairs)

    def __call__(self, x):
        *hidden, last = self.layers
        for layer in hidden:
            x = nnx.relu(layer(x))
        return last(x)


def conv(inputs, outputs, size, stride=1, *, rngs):
    strides = (stride, stride)
    return nnx.Conv(inputs, outputs, (size, size), strides, use_bias=False, rngs=rngs)


def norm(channels, *, rngs):
    return nnx.BatchNorm(channels, use_running_average=False, momentum=0.9, rngs=rngs)


class Bottleneck(nnx.Module):
    def __init__(self, inputs, channels, stride, project, *, rngs):
        inner = channels // 4
        self.conv_0 = conv(inputs, inner, 1, rngs=rngs)
        self.norm_0 = norm(inner, rngs=rngs)
        self.conv_1 = conv(inner, inner, 3, stride, rngs=rngs)
        self.norm_1 = norm(inner, rngs=rngs)
        self.conv_2 = conv(inner, channels, 1, rngs=rngs)
        self.norm_2 = norm(channels, rngs=rngs)
        self.project = project
        if project:
            self.shortcut_conv = conv(inputs, channels, 1, stride, rngs=rngs)
            self.shortcut_norm = norm(channels, rngs=rngs)

    def __call__(self, x):
        shortcut = self.shortcut_norm(self.shortcut_conv(x)) if self.project else x
        x = nnx.relu(self.norm_0(self.conv_0(x)))
        x = nnx.relu(self.norm_1(self.conv_1(x)))
        return nnx.relu(self.norm_2(self.conv_2(x)) + shortcut)


class ResNet(nnx.Module):
    def __init__(self, blocks, channels, classes, *, rngs):
        self.conv = conv(3, 64, 7, 2, rngs=rngs)
        self.norm = norm(64, rngs=rngs)
        self.blocks = nnx.List()
        inputs = 64
        for group, (count, outputs) in enumerate(zip(blocks, channels)):
            for i in range(count):
                stride = 2 if group and not i else 1
                self.blocks.append(
                    Bottleneck(inputs, outputs, stride, not i, rngs=rngs)
                )
                inputs = outputs
        zeros = nnx.initializers.zeros
        self.logits = nnx.Linear(inputs, classes, kernel_init=zeros, rngs=rngs)

    def __call__(self, x):
        x = nnx.relu(self.norm(self.conv(x)))
        x = nnx.max_pool(x, (3, 3), (2, 2), "SAME")
        for block in self.blocks:
            x = block(x)
        return self.logits(x.mean((1, 2)))


class Block(nnx.Module):
    def __init__(self, width, heads, depth, *, rngs):
        init = nnx.initializers.variance_scaling(
            2 / depth, "fan_in", "truncated_normal"
        )
        self.norm_0 = nnx.LayerNorm(width, epsilon=1e-5, rngs=rngs)
        self.attention = nnx.MultiHeadAttention(
            heads, width, kernel_init=init, decode=False, rngs=rngs
        )
        self.norm_1 = nnx.LayerNorm(width, epsilon=1e-5, rngs=rngs)
        self.up = nnx.Linear(width, 4 * width, kernel_init=init, rngs=rngs)
        self.down = nnx.Linear(4 * width, width, kernel_init=init, rngs=rngs)

    def __call__(self, x):
        x = x + self.attention(self.norm_0(x))
        return x + self.down(nnx.gelu(self.up(self.norm_1(x))))


class Transformer(nnx.Module):
    def __init__(self, depth, width, heads, length, *, rngs):
        self.embed = nnx.Embed(256, width, rngs=rngs)
        self.positions = nnx.Param(jnp.zeros((length, width)))
        self.blocks = nnx.List(
            Block(width, heads, depth, rngs=rngs) for _ in range(depth)
        )
        self.norm = nnx.LayerNorm(width, epsilon=1e-5, rngs=rngs)
        self.logits = nnx.Linear(width, 256, rngs=rngs)

    def __call__(self, tokens):
        x = self.embed(tokens) + self.positions
        for block in self.blocks:
            x = block(x)
        return self.logits(self.norm(x))


class Scale(nnx.Module):
    def __init__(self):
        self.w = nnx.Param(jnp.ones(()))
        self.b = nnx.Param(jnp.zeros(()))

    def __call__(self, x):
        return x * self.w + self.b


class Wide(nnx.Module):
    def __init__(self, layers, *, rngs):
        del rngs  # nothing here is random
        self.layers = nnx.List(Scale() for _ in range(layers))

    def __call__(self, x):
        for layer in self.layers:
            x = layer(x)
        return x


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
        return nnx.split(net(rngs=nnx.Rngs(key)), nnx.Param, ...)[1:]

    # The graph without its arrays, known before any of them is drawn.
    graph, *_ = nnx.split(nnx.eval_shape(lambda: net(rngs=nnx.Rngs(0))), nnx.Param, ...)

    def apply(variables):
        model = nnx.merge(graph, *variables, copy=True)
        out = model(x)
        nnx.state(model, nnx.BatchStat)  # what a training step would carry on
        return out

    def value_and_grad(variables):
        params, rest = variables
        return jax.value_and_grad(lambda p: jnp.sum(apply((p, rest))))(params)

    return init, apply, value_and_grad
