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


def transformer(depth=12, width=64, heads=4):
    def block(x):
        init = hk.initializers.VarianceScaling(2 / depth)
        h = hk.LayerNorm(-1, True, True)(x)
        x = x + hk.MultiHeadAttention(heads, width // heads, w_init=init)(h, h, h)
        h = hk.LayerNorm(-1, True, True)(x)
        h = jax.nn.gelu(hk.Linear(4 * width, w_init=init)(h))
        return x + hk.Linear(width, w_init=init)(h)

    def f(tokens):
        x = hk.Embed(256, width)(tokens)
        x = x + hk.get_parameter("positions", (tokens.shape[1], width), init=jnp.zeros)
        for _ in range(depth):
            x = block(x)
        return hk.Linear(256)(hk.LayerNorm(-1, True, True)(x))

    return hk.transform(f)


def parameters(variables):
    stateful = isinstance(variables, tuple)
    return jax.tree.leaves(variables[0] if stateful else variables)


def functions(net, x):
    """`init(key)`, `apply(variables)` and `value_and_grad(variables)` for one input."""
    stateful = isinstance(net, hk.TransformedWithState)

    def apply(variables):
        if stateful:
            return net.apply(*variables, None, x)[0]
        return net.apply(variables, None, x)

    def value_and_grad(variables):
        params, *state = variables if stateful else (variables,)
        loss = lambda p: apply((p, *state) if stateful else p).sum()  # noqa: E731
        return jax.value_and_grad(loss)(params)

    return (lambda key: net.init(key, x)), apply, value_and_grad


def wide(parameters=200):
    """A function of many parameters that computes next to nothing, to time dispatch."""

    def f(x):
        for i in range(parameters // 2):
            with hk.name_scope(f"layer_{i}"):
                w = hk.get_parameter("w", (), init=jnp.ones)
                x = x * w + hk.get_parameter("b", (), init=jnp.zeros)
        return x

    return hk.transform(f)
