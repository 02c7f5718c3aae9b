"""Irises in Sonnet 2: batch norm, dropout, a hundred steps."""

import numpy as np
import sonnet as snt
import tensorflow as tf
from sklearn.datasets import load_iris

x, y = load_iris(return_X_y=True)
x = x.astype(np.float32)


class Net(snt.Module):
    def __init__(self, name=None):
        super().__init__(name=name)
        self.first = snt.Linear(4)
        self.norm = snt.BatchNorm(True, True, decay_rate=0.9)
        self.dropout = snt.Dropout(0.1)
        self.last = snt.Linear(3)

    def __call__(self, x, is_training):
        x = tf.nn.relu(self.norm(self.first(x), is_training))
        return self.last(self.dropout(x, is_training))


tf.random.set_seed(0)
net = Net()
optimizer = snt.optimizers.SGD(0.5)


@tf.function
def step(x, y):
    with tf.GradientTape() as tape:
        logits = net(x, is_training=True)
        cross_entropy = tf.nn.sparse_softmax_cross_entropy_with_logits
        loss = tf.reduce_mean(cross_entropy(labels=y, logits=logits))
    variables = net.trainable_variables
    optimizer.apply(tape.gradient(loss, variables), variables)
    return loss


net(x, is_training=True)  # makes its variables
losses = [float(step(x, y)) for _ in range(100)]

logits = net(x, is_training=False).numpy().astype(np.float64)
print(f"loss {losses[0]:.4f}, the last {losses[-1]:.4f}")
print(f"accuracy {np.mean(logits.argmax(-1) == y):.4f}")
print("logits =", logits[[0, 50, 100]].round(4).tolist())
for part in ("first", "norm", "last"):
    for variable in getattr(net, part).variables:
        name = variable.name.removeprefix("net/").removesuffix(":0")
        array = variable.numpy().astype(np.float64)
        print(f"{part}: {name} =", array.round(5).tolist())
