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


class ConvNorm(nnx.Module):
    def __init__(self, inputs, channels, size, stride=1, *, rngs):
        self.conv = conv(inputs, channels, size, stride, rngs=rngs)
        self.norm = norm(channels, rngs=rngs)

    def __call__(self, x):
        return self.norm(self.conv(x))


class ResidualBlock(nnx.Module):
    def __init__(self, inputs, channels, stride, project, bottleneck, *, rngs):
        layer = functools.partial(ConvNorm, rngs=rngs)
        self.project = project
        if project:
            self.shortcut = layer(inputs, channels, 1, stride)
        if bottleneck:
            inner = channels // 4
            layers = [
                layer(inputs, inner, 1),
                layer(inner, inner, 3, stride),
                layer(inner, channels, 1),
            ]
        else:
            layers = [layer(inputs, channels, 3, stride), layer(channels, channels, 3)]
        self.layers = nnx.List(layers)

    def __call__(self, x):
        shortcut = self.shortcut(x) if self.project else x
        *hidden, last = self.layers
        for layer in hidden:
            x = nnx.relu(layer(x))
        return nnx.relu(last(x) + shortcut)


class ResNet(nnx.Module):
    def __init__(self, blocks, channels, classes, bottleneck, *, rngs):
        self.conv = conv(3, 64, 7, 2, rngs=rngs)
        self.norm = norm(64, rngs=rngs)
        self.blocks = nnx.List()
        inputs = 64
        for group, (count, outputs) in enumerate(zip(blocks, channels)):
            for i in range(count):
                stride = 2 if group and not i else 1
                project = not i and (bottleneck or group > 0)
                block = ResidualBlock(
                    inputs, outputs, stride, project, bottleneck, rngs=rngs
                )
                self.blocks.append(block)
                inputs = outputs
        zeros = nnx.initializers.zeros
        self.logits = nnx.Linear(inputs, classes, kernel_init=zeros, rngs=rngs)

    def __call__(self, x):
        x = nnx.relu(self.norm(self.conv(x)))
        x = nnx.max_pool(x, (3, 3), (2, 2), "SAME")
        for block in self.blocks:
            x = block(x)
        return self.logits(x.mean((1, 2)))


class FeedForward(nnx.Module):
    def __init__(self, width, factor, *, rngs, **options):
        self.up = nnx.Linear(width, factor * width, rngs=rngs, **options)
        self.down = nnx.Linear(factor * width, width, rngs=rngs, **options)

    def __call__(self, x):
        return self.down(nnx.gelu(self.up(x)))


class PreNorm(nnx.Module):
    def __init__(self, norm, f):
        self.norm = norm
        self.f = f

    def __call__(self, x):
        return x + self.f(self.norm(x))


class PostNorm(nnx.Module):
    def __init__(self, norm, f):
        self.f = f
        self.norm = norm

    def __call__(self, x):
        return self.norm(x + self.f(x))


class Transformer(nnx.Module):
    def __init__(self, depth, width, heads, norm, post_norm, length, *, rngs):
        init = nnx.initializers.variance_scaling(
            2 / depth, "fan_in", "truncated_normal"
        )
        kind = nnx.RMSNorm if norm == "rms" else nnx.LayerNorm
        normalise = functools.partial(kind, width, epsilon=1e-5, rngs=rngs)
        residual = PostNorm if post_norm else PreNorm

        def attention():
            return nnx.MultiHeadAttention(
                heads, width, kernel_init=init, decode=False, rngs=rngs
            )

        def feed_forward():
            return FeedForward(width, 4, kernel_init=init, rngs=rngs)

        self.embed = nnx.Embed(256, width, rngs=rngs)
        self.positions = nnx.Param(jnp.zeros((length, width)))
        self.layers = nnx.List()
        for _ in range(depth):
            self.layers.append(residual(normalise(), attention()))
            self.layers.append(residual(normalise(), feed_forward()))
        self.norm = normalise()
        self.logits = nnx.Linear(width, 256, rngs=rngs)

    def __call__(self, tokens):
        x = self.embed(tokens) + self.positions
        for layer in self.layers:
            x = layer(x)
        return self.logits(self.norm(x))


class Transposed(nnx.Module):
    def __init__(self, f):
        self.f = f

    def __call__(self, x):
        return self.f(x.swapaxes(1, 2)).swapaxes(1, 2)


class Mixer(nnx.Module):
    def __init__(self, depth, width, length, inputs, *, rngs):
        normalise = functools.partial(nnx.LayerNorm, width, epsilon=1e-5, rngs=rngs)
        self.patches = nnx.Linear(inputs, width, rngs=rngs)
        self.layers = nnx.List()
        for _ in range(depth):
            across = Transposed(FeedForward(length, 2, rngs=rngs))
            self.layers.append(PreNorm(normalise(), across))
            self.layers.append(PreNorm(normalise(), FeedForward(width, 2, rngs=rngs)))
        self.norm = normalise()
        self.logits = nnx.Linear(width, 10, rngs=rngs)

    def __call__(self, x):
        x = self.patches(x)
        for layer in self.layers:
            x = layer(x)
        return self.logits(self.norm(x).mean(1))


class Attention(nnx.Module):
    def __init__(self, width, heads, *, rngs):
        self.attention = nnx.MultiHeadAttention(heads, width, decode=False, rngs=rngs)

    def __call__(self, x):
        return self.attention(x)


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


# Each makes a function of one example's shape and of `rngs`.


def mlp(depth=100, width=100):
    return lambda shape, rngs: MLP((*shape, *(width,) * depth), rngs=rngs)


def resnet50():
    widths = (256, 512, 1024, 2048)
    return lambda _, rngs: ResNet((3, 4, 6, 3), widths, 1000, True, rngs=rngs)


def resnet18():
    widths = (64, 128, 256, 512)
    return lambda _, rngs: ResNet((2, 2, 2, 2), widths, 10, False, rngs=rngs)


def transformer(depth=12, width=64, heads=4, norm="layer", post_norm=False):
    return lambda shape, rngs: Transformer(
        depth, width, heads, norm, post_norm, *shape, rngs=rngs
    )


def mixer(depth=12, width=64):
    return lambda shape, rngs: Mixer(depth, width, *shape, rngs=rngs)


def attention(heads=8):
    return lambda shape, rngs: Attention(shape[-1], heads, rngs=rngs)


def recurrent(core, width=256):
    """On a sequence [T, B, C]."""
    cells = {"LSTM": nnx.OptimizedLSTMCell, "GRU": nnx.GRUCell}

    def make(shape, rngs):
        cell = cells[core](shape[-1], width, rngs=rngs)
        return nnx.RNN(cell, time_major=True, rngs=rngs)

    return make if core in cells else None


def wide(parameters=200):
    return lambda _, rngs: Wide(parameters // 2, rngs=rngs)


def functions(net, x):
    """`init(key)`, `apply(params, rest)` and `named(params)` for one input."""

    def make(seed):
        return net(x.shape[1:], rngs=nnx.Rngs(seed))

    def init(key):
        return nnx.split(make(key), nnx.Param, ...)[1:]

    order = []

    def build():
        module = make(0)
        order.extend(attributes(module))
        return module

    # The module without its arrays, known before any of them is drawn.
    graph, *_ = nnx.split(nnx.eval_shape(build), nnx.Param, ...)

    def apply(params, rest):
        model = nnx.merge(graph, params, rest, copy=True)
        out = model(x)
        return out, nnx.split(model, nnx.Param, ...)[2]

    def named(params):
        """The name and array of each parameter, as attributes were set."""
        arrays = dict(nnx.to_flat_state(params))
        for path in order:
            if path in arrays:
                yield "/".join(map(str, path)), jax.tree.leaves(arrays[path])[0]

    return init, apply, named


def attributes(module, path=()):
    """The path of every variable in a module, in the order in which they were set."""
    listed = isinstance(module, nnx.List)
    pairs = enumerate(module) if listed else vars(module).items()
    for name, value in pairs:
        if isinstance(value, nnx.Module):
            yield from attributes(value, (*path, name))
        elif isinstance(value, nnx.Variable):
            yield (*path, name)
