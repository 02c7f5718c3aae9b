"""Irises in Equinox: batch norm, dropout, a hundred steps."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from sklearn.datasets import load_iris

x, y = load_iris(return_X_y=True)
x = jnp.asarray(x, jnp.float32)
y = jnp.asarray(y)


class Net(eqx.Module):
    first: eqx.nn.Linear
    norm: eqx.nn.BatchNorm
    dropout: eqx.nn.Dropout
    last: eqx.nn.Linear

    def __init__(self, key):
        one, two = jax.random.split(key)
        self.first = eqx.nn.Linear(4, 4, key=one)
        self.norm = eqx.nn.BatchNorm(4, "batch", momentum=0.9, mode="batch")
        self.dropout = eqx.nn.Dropout(0.1)
        self.last = eqx.nn.Linear(4, 3, key=two)

    def __call__(self, x, state, key):  # one example
        x, state = self.norm(self.first(x), state)
        x = self.dropout(jax.nn.relu(x), key=key)
        return self.last(x), state


def on_batch(net, x, state, key):
    keys = jax.random.split(key, len(x))
    f = jax.vmap(net, (0, None, 0), out_axes=(0, None), axis_name="batch")
    return f(x, state, keys)


net, state = eqx.nn.make_with_state(Net)(jax.random.key(0))
optimizer = optax.sgd(0.5)


def loss_fn(net, state, key, x, y):
    logits, state = on_batch(net, x, state, key)
    log_p = jax.nn.log_softmax(logits)
    return -jnp.mean(jnp.sum(log_p * jax.nn.one_hot(y, 3), axis=-1)), state


@eqx.filter_jit
def step(net, state, opt_state, key, x, y):
    gradient = eqx.filter_value_and_grad(loss_fn, has_aux=True)
    (loss, state), grads = gradient(net, state, key, x, y)
    updates, opt_state = optimizer.update(grads, opt_state)
    return eqx.apply_updates(net, updates), state, opt_state, loss


opt_state = optimizer.init(eqx.filter(net, eqx.is_array))
losses = []
for key in jax.random.split(jax.random.key(1), 100):
    net, state, opt_state, loss = step(net, state, opt_state, key, x, y)
    losses.append(float(loss))

net = eqx.nn.inference_mode(net)
logits, _ = on_batch(net, x, state, jax.random.key(2))
logits = np.asarray(logits, np.float64)
print(f"loss {losses[0]:.4f}, the last {losses[-1]:.4f}")
print(f"accuracy {np.mean(logits.argmax(-1) == y):.4f}")
print("logits =", logits[[0, 50, 100]].round(4).tolist())
mean, var = state.get(net.norm.batch_state_index)
arrays = {
    "first.weight": net.first.weight,
    "first.bias": net.first.bias,
    "norm.weight": net.norm.weight,
    "norm.bias": net.norm.bias,
    "norm mean": mean,
    "norm var": var,
    "last.weight": net.last.weight,
    "last.bias": net.last.bias,
}
for name, array in arrays.items():
    print(f"{name} =", np.asarray(array, np.float64).round(5).tolist())
