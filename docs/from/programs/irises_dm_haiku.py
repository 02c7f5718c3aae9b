"""Irises in dm-haiku: batch norm, dropout, a hundred steps."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
from sklearn.datasets import load_iris

import haiku as hk

x, y = load_iris(return_X_y=True)
x = x.astype(np.float32)


def net(x, is_training):
    x = hk.Linear(4)(x)
    norm = hk.BatchNorm(create_scale=True, create_offset=True, decay_rate=0.9)
    x = jax.nn.relu(norm(x, is_training))
    if is_training:
        x = hk.dropout(hk.next_rng_key(), 0.1, x)
    return hk.Linear(3)(x)


model = hk.transform_with_state(net)
optimizer = optax.sgd(0.5)


def loss_fn(params, state, key, x, y):
    logits, state = model.apply(params, state, key, x, is_training=True)
    log_p = jax.nn.log_softmax(logits)
    return -jnp.mean(jnp.sum(log_p * hk.one_hot(y, 3), axis=-1)), state


@jax.jit
def step(params, state, opt_state, key, x, y):
    gradient = jax.value_and_grad(loss_fn, has_aux=True)
    (loss, state), grads = gradient(params, state, key, x, y)
    updates, opt_state = optimizer.update(grads, opt_state)
    return optax.apply_updates(params, updates), state, opt_state, loss


params, state = model.init(jax.random.PRNGKey(0), x, is_training=True)
opt_state = optimizer.init(params)
keys = hk.PRNGSequence(1)
losses = []
for _ in range(100):
    key = next(keys)
    params, state, opt_state, loss = step(params, state, opt_state, key, x, y)
    losses.append(float(loss))

logits, _ = model.apply(params, state, None, x, is_training=False)
print(f"loss {losses[0]:.6f}, the last {losses[-1]:.6f}")
print(f"accuracy {np.mean(np.argmax(logits, -1) == y):.4f}")
for flower in (0, 50, 100):
    print(f"logits of flower {flower}: {np.round(logits[flower], 4)}")
