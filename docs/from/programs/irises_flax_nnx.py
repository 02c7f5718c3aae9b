"""Irises in Flax nnx: batch norm, dropout, a hundred steps."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from sklearn.datasets import load_iris

x, y = load_iris(return_X_y=True)
x = jnp.asarray(x, jnp.float32)
y = jnp.asarray(y)


class Net(nnx.Module):
    def __init__(self, rngs):
        self.first = nnx.Linear(4, 4, rngs=rngs)
        self.norm = nnx.BatchNorm(4, momentum=0.9, rngs=rngs)
        self.dropout = nnx.Dropout(0.1, rngs=rngs)
        self.last = nnx.Linear(4, 3, rngs=rngs)

    def __call__(self, x):
        x = nnx.relu(self.norm(self.first(x)))
        return self.last(self.dropout(x))


net = Net(nnx.Rngs(0))
optimizer = nnx.Optimizer(net, optax.sgd(0.5), wrt=nnx.Param)


def loss_fn(net, x, y):
    log_p = jax.nn.log_softmax(net(x))
    return -jnp.mean(jnp.sum(log_p * jax.nn.one_hot(y, 3), axis=-1))


@nnx.jit
def step(net, optimizer, x, y):
    loss, grads = nnx.value_and_grad(loss_fn)(net, x, y)
    optimizer.update(net, grads)
    return loss


net.train()
losses = [float(step(net, optimizer, x, y)) for _ in range(100)]

net.eval()
logits = np.asarray(net(x), np.float64)
print(f"loss {losses[0]:.4f}, the last {losses[-1]:.4f}")
print(f"accuracy {np.mean(logits.argmax(-1) == y):.4f}")
print("logits =", logits[[0, 50, 100]].round(4).tolist())
arrays = {
    "first.kernel": net.first.kernel,
    "first.bias": net.first.bias,
    "norm.scale": net.norm.scale,
    "norm.bias": net.norm.bias,
    "norm.mean": net.norm.mean,
    "norm.var": net.norm.var,
    "last.kernel": net.last.kernel,
    "last.bias": net.last.bias,
}
for name, array in arrays.items():
    print(f"{name} =", np.asarray(array[...], np.float64).round(5).tolist())
