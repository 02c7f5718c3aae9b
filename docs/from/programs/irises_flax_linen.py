"""Irises in Flax linen: batch norm, dropout, a hundred steps."""

import flax.linen as nn
import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np
import optax
from sklearn.datasets import load_iris

x, y = load_iris(return_X_y=True)
x = x.astype(np.float32)


class Net(nn.Module):
    @nn.compact
    def __call__(self, x, is_training):
        x = nn.Dense(4)(x)
        norm = nn.BatchNorm(use_running_average=not is_training, momentum=0.9)
        x = nn.relu(norm(x))
        x = nn.Dropout(0.1, deterministic=not is_training)(x)
        return nn.Dense(3)(x)


model = Net()
optimizer = optax.sgd(0.5)


def loss_fn(params, batch_stats, key, x, y):
    logits, changed = model.apply(
        {"params": params, "batch_stats": batch_stats},
        x,
        is_training=True,
        rngs={"dropout": key},
        mutable=["batch_stats"],
    )
    log_p = jax.nn.log_softmax(logits)
    loss = -jnp.mean(jnp.sum(log_p * jax.nn.one_hot(y, 3), axis=-1))
    return loss, changed["batch_stats"]


@jax.jit
def step(params, batch_stats, opt_state, key, x, y):
    gradient = jax.value_and_grad(loss_fn, has_aux=True)
    (loss, batch_stats), grads = gradient(params, batch_stats, key, x, y)
    updates, opt_state = optimizer.update(grads, opt_state)
    return optax.apply_updates(params, updates), batch_stats, opt_state, loss


variables = model.init(jax.random.key(0), x, is_training=False)
params, batch_stats = variables["params"], variables["batch_stats"]
opt_state = optimizer.init(params)
losses = []
for key in jax.random.split(jax.random.key(1), 100):
    params, batch_stats, opt_state, loss = step(
        params, batch_stats, opt_state, key, x, y
    )
    losses.append(float(loss))

variables = {"params": params, "batch_stats": batch_stats}
logits = np.asarray(model.apply(variables, x, is_training=False), np.float64)
print(f"loss {losses[0]:.4f}, the last {losses[-1]:.4f}")
print(f"accuracy {np.mean(logits.argmax(-1) == y):.4f}")
print("logits =", logits[[0, 50, 100]].round(4).tolist())
for name, array in flax.traverse_util.flatten_dict(variables, sep="/").items():
    print(f"{name} =", np.asarray(array, np.float64).round(5).tolist())
