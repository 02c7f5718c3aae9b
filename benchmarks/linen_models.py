"""The benchmarks' networks in flax.linen, as compact modules."""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp


class MLP(nn.Module):
    widths: tuple[int, ...]

    @nn.compact
    def __call__(self, x):
        for i, width in enumerate(self.widths):
            x = nn.Dense(width)(x)
            if i < len(self.widths) - 1:
                x = nn.relu(x)
        return x


class Bottleneck(nn.Module):
    channels: int
    stride: int
    project: bool
    norm: Callable[[], nn.Module]

    @nn.compact
    def __call__(self, x):
        def conv(channels, size, stride=1):
            return nn.Conv(channels, (size, size), (stride, stride), use_bias=False)

        shortcut = x
        if self.project:
            shortcut = self.norm()(conv(self.channels, 1, self.stride)(x))
        inner = self.channels // 4
        x = nn.relu(self.norm()(conv(inner, 1)(x)))
        x = nn.relu(self.norm()(conv(inner, 3, self.stride)(x)))
        x = self.norm()(conv(self.channels, 1)(x))
        return nn.relu(x + shortcut)


class ResNet(nn.Module):
    blocks: tuple[int, ...]
    channels: tuple[int, ...]
    classes: int

    @nn.compact
    def __call__(self, x):
        def norm():
            return nn.BatchNorm(use_running_average=False, momentum=0.9)

        x = nn.Conv(64, (7, 7), (2, 2), use_bias=False)(x)
        x = nn.relu(norm()(x))
        x = nn.max_pool(x, (3, 3), (2, 2), "SAME")
        for group, (count, channels) in enumerate(zip(self.blocks, self.channels)):
            for i in range(count):
                stride = 2 if group and not i else 1
                x = Bottleneck(channels, stride, not i, norm)(x)
        x = x.mean((1, 2))
        return nn.Dense(self.classes, kernel_init=nn.initializers.zeros)(x)


class Block(nn.Module):
    width: int
    heads: int
    depth: int

    @nn.compact
    def __call__(self, x):
        init = nn.initializers.variance_scaling(
            2 / self.depth, "fan_in", "truncated_normal"
        )
        h = nn.LayerNorm(epsilon=1e-5)(x)
        x = x + nn.MultiHeadDotProductAttention(self.heads, kernel_init=init)(h)
        h = nn.LayerNorm(epsilon=1e-5)(x)
        h = nn.gelu(nn.Dense(4 * self.width, kernel_init=init)(h))
        return x + nn.Dense(self.width, kernel_init=init)(h)


class Transformer(nn.Module):
    depth: int
    width: int
    heads: int

    @nn.compact
    def __call__(self, tokens):
        x = nn.Embed(256, self.width)(tokens)
        shape = (tokens.shape[1], self.width)
        x = x + self.param("positions", nn.initializers.zeros, shape)
        for _ in range(self.depth):
            x = Block(self.width, self.heads, self.depth)(x)
        return nn.Dense(256)(nn.LayerNorm(epsilon=1e-5)(x))


class Scale(nn.Module):
    @nn.compact
    def __call__(self, x):
        w = self.param("w", nn.initializers.ones, ())
        return x * w + self.param("b", nn.initializers.zeros, ())


class Wide(nn.Module):
    layers: int

    @nn.compact
    def __call__(self, x):
        for _ in range(self.layers):
            x = Scale()(x)
        return x


def mlp(depth=100, width=100):
    return MLP((width,) * depth)


def resnet50():
    return ResNet((3, 4, 6, 3), (256, 512, 1024, 2048), 1000)


def transformer(depth=12, width=64, heads=4):
    return Transformer(depth, width, heads)


def wide(parameters=200):
    return Wide(parameters // 2)


def parameters(variables):
    return jax.tree.leaves(variables["params"])


def functions(net, x):
    """`init(key)`, `apply(variables)` and `value_and_grad(variables)` for one input."""

    def apply(variables):
        if "batch_stats" in variables:
            return net.apply(variables, x, mutable=["batch_stats"])[0]
        return net.apply(variables, x)

    def value_and_grad(variables):
        def loss(params):
            return jnp.sum(apply({**variables, "params": params}))

        return jax.value_and_grad(loss)(variables["params"])

    return (lambda key: net.init(key, x)), apply, value_and_grad
