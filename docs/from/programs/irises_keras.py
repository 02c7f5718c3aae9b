"""Irises in Keras on JAX: batch norm, dropout, a hundred steps."""

import os

os.environ["KERAS_BACKEND"] = "jax"

import keras
import numpy as np
from sklearn.datasets import load_iris

x, y = load_iris(return_X_y=True)
x = x.astype(np.float32)

keras.utils.set_random_seed(0)
net = keras.Sequential(
    [
        keras.Input([4]),
        keras.layers.Dense(4),
        keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5),
        keras.layers.ReLU(),
        keras.layers.Dropout(0.1),
        keras.layers.Dense(3),
    ]
)
net.compile(
    optimizer=keras.optimizers.SGD(0.5),
    loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
)

losses = [float(net.train_on_batch(x, y)) for _ in range(100)]

logits = net.predict(x, verbose=0).astype(np.float64)
print(f"loss {losses[0]:.4f}, the last {losses[-1]:.4f}")
print(f"accuracy {np.mean(logits.argmax(-1) == y):.4f}")
print("logits =", logits[[0, 50, 100]].round(4).tolist())
for weight in net.weights:
    array = np.asarray(weight, np.float64)
    print(f"{weight.path} =", array.round(5).tolist())
