"""Models outside, nets, surgery and transformations, checked by pyright and mypy."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

import haiku as hk

x = jnp.ones([2, 4])

# A model that holds its parameters.
layer = hk.Blueprint(hk.Linear, 3)
model: hk.Bound = hk.bind(layer).init(0, x)
y = model(x)
doubled: hk.Bound = model.replace(params=jax.tree.map(lambda p: 2 * p, model.params))
weights: hk.Params = model.params


# Training; state is a value with a name.
class Training(NamedTuple):
    params: hk.MutableParams
    state: hk.MutableState
    steps: int


def forward(x: jax.Array, is_training: bool) -> jax.Array:
    x = hk.BatchNorm(True, True, decay_rate=0.9)(x, is_training)
    return hk.nets.MLP([8, 1], activation=jax.nn.gelu)(x)


net = hk.transform_with_state(forward)


def start(key: jax.Array) -> Training:
    params, state = net.init(key, x, is_training=True)
    return Training(params, state, steps=0)


@jax.jit
def step(now: Training, x: jax.Array) -> Training:
    def loss_fn(params: hk.Params) -> tuple[jax.Array, hk.MutableState]:
        out, state = net.apply(params, now.state, None, x, is_training=True)
        return jnp.mean(out**2), state

    grads, state = jax.grad(loss_fn, has_aux=True)(now.params)
    params = jax.tree.map(lambda p, g: p - 0.1 * g, now.params, grads)
    return Training(params, state, now.steps + 1)


step(start(jax.random.key(0)), x)

# Trees of parameters.
params, _ = net.init(0, x, True)
trunk, head = hk.surgery.split(params, "mlp/**")
merged = hk.surgery.merge(trunk, hk.surgery.rename(head, {"batch_norm/*": "norm/*"}))
for path, name, value in hk.data_structures.traverse(params):
    print(path.upper(), name.upper(), value.shape)
size: int = hk.data_structures.tree_size(params)


# Transformations inside, and hooks.
def stacked(x: jax.Array) -> jax.Array:
    x = hk.layer_stack(3)(lambda x: x + hk.Linear(4)(x))(x)
    x = hk.remat(hk.Linear(4))(x)
    total, _ = hk.scan(lambda sum_, x: (sum_ + hk.Linear(1)(x), None), jnp.zeros(1), x)
    return hk.cond(total.sum() > 0, hk.Linear(2), hk.Linear(2), x)


def halved(next_getter, value: jax.Array, context: hk.GetterContext) -> jax.Array:
    return next_getter(value / 2 if context.name == "w" else value)


with hk.custom_getter(halved):
    pass
with hk.mixed_precision.scope("params=float32,compute=bfloat16"):
    pass
drawn: str = hk.experimental.tabulate(forward)(x, True)
dot: str = hk.to_dot(lambda x: x + 1)(x)

# What must not pass.
hk.bind(layer).int(0, x)  # error: a typing mistake
net.apply(params, x)  # error: the state and the key are missing
net.init(0, x)  # error: is_training is missing
size = hk.surgery.split(params, "mlp/**")  # error: two trees
hk.BatchNorm(True, True)  # error: decay_rate is missing
hk.LayerNorm(axis=-1, create_scale=True, create_offset=True, epsilon=1e-5)  # error: eps
hk.nets.ResNet50(num_classes=10, resnetv2=True)  # error: it is resnet_v2
hk.initializers.RandomNormal(std=0.1)  # error: it is stddev
hk.mixed_precision.scopes("float32")  # error: a typing mistake
hk.experimental.tabulat(forward)  # error: a typing mistake
