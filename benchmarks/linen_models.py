"""The benchmarks' networks in flax.linen, as compact modules."""

from collections.abc import Callable

import flax.linen as nn


class MLP(nn.Module):
    widths: tuple[int, ...]

    @nn.compact
    def __call__(self, x):
        for i, width in enumerate(self.widths):
            x = nn.Dense(width)(x)
            if i < len(self.widths) - 1:
                x = nn.relu(x)
        return x


class ResidualBlock(nn.Module):
    channels: int
    stride: int
    project: bool
    bottleneck: bool
    norm: Callable[[], nn.Module]

    @nn.compact
    def __call__(self, x):
        def conv(channels, size, stride=1):
            return nn.Conv(channels, (size, size), (stride, stride), use_bias=False)

        shortcut = x
        if self.project:
            shortcut = self.norm()(conv(self.channels, 1, self.stride)(x))
        if self.bottleneck:
            inner = self.channels // 4
            x = nn.relu(self.norm()(conv(inner, 1)(x)))
            x = nn.relu(self.norm()(conv(inner, 3, self.stride)(x)))
            x = self.norm()(conv(self.channels, 1)(x))
        else:
            x = nn.relu(self.norm()(conv(self.channels, 3, self.stride)(x)))
            x = self.norm()(conv(self.channels, 3)(x))
        return nn.relu(x + shortcut)


class ResNet(nn.Module):
    blocks: tuple[int, ...]
    channels: tuple[int, ...]
    classes: int
    bottleneck: bool

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
                project = not i and (self.bottleneck or group > 0)
                x = ResidualBlock(channels, stride, project, self.bottleneck, norm)(x)
        x = x.mean((1, 2))
        return nn.Dense(self.classes, kernel_init=nn.initializers.zeros)(x)


class Norm(nn.Module):
    kind: str = "layer"

    @nn.compact
    def __call__(self, x):
        norm = nn.RMSNorm if self.kind == "rms" else nn.LayerNorm
        return norm(epsilon=1e-5)(x)


class Transformer(nn.Module):
    depth: int
    width: int
    heads: int
    norm: str
    post_norm: bool

    @nn.compact
    def __call__(self, tokens):
        init = nn.initializers.variance_scaling(
            2 / self.depth, "fan_in", "truncated_normal"
        )

        def residual(x, f):
            norm = Norm(self.norm)
            return norm(x + f(x)) if self.post_norm else x + f(norm(x))

        def attention(x):
            return nn.MultiHeadDotProductAttention(self.heads, kernel_init=init)(x)

        def feed_forward(x):
            x = nn.gelu(nn.Dense(4 * self.width, kernel_init=init)(x))
            return nn.Dense(self.width, kernel_init=init)(x)

        x = nn.Embed(256, self.width)(tokens)
        shape = (tokens.shape[1], self.width)
        x = x + self.param("positions", nn.initializers.zeros, shape)
        for _ in range(self.depth):
            x = residual(residual(x, attention), feed_forward)
        return nn.Dense(256)(Norm(self.norm)(x))


class Mixer(nn.Module):
    depth: int
    width: int

    @nn.compact
    def __call__(self, x):
        def feed_forward(x):
            return nn.Dense(x.shape[-1])(nn.gelu(nn.Dense(2 * x.shape[-1])(x)))

        x = nn.Dense(self.width)(x)
        for _ in range(self.depth):
            h = Norm()(x)
            x = x + feed_forward(h.swapaxes(1, 2)).swapaxes(1, 2)
            x = x + feed_forward(Norm()(x))
        return nn.Dense(10)(Norm()(x).mean(1))


class Attention(nn.Module):
    heads: int

    @nn.compact
    def __call__(self, x):
        return nn.MultiHeadDotProductAttention(self.heads)(x)


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
    return ResNet((3, 4, 6, 3), (256, 512, 1024, 2048), 1000, bottleneck=True)


def resnet18():
    return ResNet((2, 2, 2, 2), (64, 128, 256, 512), 10, bottleneck=False)


def transformer(depth=12, width=64, heads=4, norm="layer", post_norm=False):
    return Transformer(depth, width, heads, norm, post_norm)


def mixer(depth=12, width=64):
    return Mixer(depth, width)


def attention(heads=8):
    return Attention(heads)


def recurrent(core, width=256):
    """On a sequence [T, B, C]."""
    cells = {"LSTM": nn.OptimizedLSTMCell, "GRU": nn.GRUCell}
    return nn.RNN(cells[core](width), time_major=True) if core in cells else None


def wide(parameters=200):
    return Wide(parameters // 2)


def functions(net, x):
    """`init(key)`, `apply(params, rest)` and `named(params)` for one input."""

    def init(key):
        variables = net.init(key, x)
        return variables.pop("params"), variables

    def apply(params, rest):
        if rest:
            return net.apply({"params": params, **rest}, x, mutable=list(rest))
        return net.apply({"params": params}, x), rest

    return init, apply, named


def named(params, prefix=""):
    """The name and array of each parameter, as init made them one after another."""
    for name, value in params.items():
        if isinstance(value, dict):
            yield from named(value, f"{prefix}{name}/")
        else:
            yield prefix + name, value
