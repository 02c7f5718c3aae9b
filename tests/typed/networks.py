"""A user's training step, checked by pyright and mypy."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp

import haiku as hk


class Head(hk.Module):
    def __init__(self, size: int, name: str | None = None):
        super().__init__(name=name)
        self.size = size

    def __call__(self, x: jax.Array) -> jax.Array:
        w = hk.get_parameter("w", [x.shape[-1], self.size], init=jnp.ones)
        return x @ w


def network(x: jax.Array, is_training: bool = False) -> jax.Array:
    x = hk.Linear(8)(x)
    x = hk.Conv2D(4, kernel_shape=3, padding="VALID")(x)
    x = hk.dropout(hk.next_rng_key(), 0.5, x) if is_training else x
    x = hk.LayerNorm(-1, create_scale=True, create_offset=True)(x)
    x = hk.MultiHeadAttention(2, 4, w_init=hk.initializers.VarianceScaling())(x, x, x)
    return Head(3)(hk.Sequential([hk.Linear(4), jax.nn.relu])(x))


net = hk.transform(network)
key = jax.random.key(0)
batch = jnp.ones([2, 4])
params: dict[str, dict[str, jax.Array]] = net.init(key, batch)
logits: jax.Array = net.apply(params, key, batch, is_training=True)
by_name: jax.Array = net.apply(params=params, rng=None, x=batch)
read_only: Mapping[str, Mapping[str, jax.Array]] = params

keyless = hk.without_apply_rng(net)
more: jax.Array = keyless.apply(params, batch)

normed = hk.transform_with_state(network)
params, state = normed.init(42, batch)
out, state = normed.apply(params, state, key, batch)
total: jax.Array = out.sum()


def loss_fn(params: hk.Params, x: jax.Array) -> jax.Array:
    return jnp.mean(net.apply(params, None, x) ** 2)


grads = jax.grad(loss_fn)(params, batch)
state = hk.transform_with_state(network).init(0, batch)[1]


def compiled(model: hk.Transformed, x: jax.Array) -> jax.Array:
    return jax.jit(model.apply)(model.init(0, x), None, x)


compiled(net, batch)
keys = hk.PRNGSequence(42)
one_key: jax.Array = next(keys)

# What must not pass.
net.apply(params, batch)  # error: the key is missing
net.init(batch)  # error: the key is missing
keyless.apply(params, None, batch, True)  # error: there is no key
net.apply(params, None, batch, training=True)  # error: no such argument
text: str = net.apply(params, None, batch)  # error: an array
params = normed.init(key, batch)  # error: a pair, of params and state
normed.apply(params, key, batch)  # error: the state is missing
hk.Linear("ten")  # error: a size is a number
hk.Linear(10, bias=False)  # error: it is called with_bias
hk.Linear()  # error: the size is missing
hk.Lineer(10)  # error: a typing mistake
hk.transform(3)  # error: no function
Head("3")  # error: a size is a number
hk.LSTM(hidden=3)  # error: it is called hidden_size
hk.nets.MLP(3)  # error: sizes are a sequence
hk.PRNGSequence()  # error: it needs a key
