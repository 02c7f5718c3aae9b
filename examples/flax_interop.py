"""Flax inside Haiku, and Haiku inside Flax: the same network both ways, on real digits.

    python examples/flax_interop.py

A Haiku network takes a layer from Flax with `hk.experimental.flax.lift`; a Flax network
takes a layer from Haiku with `hk.experimental.flax.Module`. The first is trained, its
parameters are moved to the second, and both say the same.
"""

import argparse

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import tqdm
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import haiku as hk


def haiku_network(images):
    """A Haiku function; its middle layer is Flax's."""
    x = jax.nn.relu(hk.Linear(128, name="first")(images))
    x = hk.experimental.flax.lift(nn.Dense(64), name="middle")(x)
    return hk.Linear(10, name="last")(jax.nn.relu(x))


class FlaxNetwork(nn.Module):
    """The same as a Flax module; its first and last layers are Haiku's."""

    @nn.compact
    def __call__(self, images):
        """From images to logits."""
        create = hk.experimental.flax.Module.create
        x = jax.nn.relu(create(hk.Linear, 128, name="first")(images))
        x = jax.nn.relu(nn.Dense(64)(x))
        return create(hk.Linear, 10, name="last")(x)


def moved(params):
    """The parameters of `haiku_network` as those of `FlaxNetwork`."""
    return {
        "Module_0": {"first": params["first"]},
        "Dense_0": params["middle/~"],
        "Module_1": {"last": params["last"]},
    }


def main(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args(argv)

    digits = load_digits()
    images, test_images, labels, test_labels = train_test_split(
        (digits.data / 16).astype(np.float32),
        digits.target,
        test_size=0.2,
        stratify=digits.target,
        random_state=arguments.seed,
    )

    network = hk.without_apply_rng(hk.transform(haiku_network))
    params = network.init(jax.random.key(arguments.seed), images[:1])
    print("in Haiku:", {path: sorted(named) for path, named in params.items()})
    optimizer = optax.adam(2e-3)
    state = optimizer.init(params)

    @jax.jit
    def step(params, state, images, labels):
        def loss_fn(params):
            logits = network.apply(params, images)
            losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
            return losses.mean()

        loss, grads = jax.value_and_grad(loss_fn)(params)
        updates, state = optimizer.update(grads, state)
        return optax.apply_updates(params, updates), state, loss

    order = np.random.default_rng(arguments.seed)
    with tqdm.trange(arguments.epochs, desc="training", unit="epoch") as epochs:
        for _ in epochs:
            shuffled = order.permutation(len(images))
            for start in range(0, len(images), arguments.batch_size):
                batch = shuffled[start : start + arguments.batch_size]
                params, state, loss = step(params, state, images[batch], labels[batch])
            epochs.set_postfix(loss=f"{loss:.4f}")

    flax_network = FlaxNetwork()
    fresh = flax_network.init(jax.random.key(0), images[:1])["params"]
    assert jax.tree.map(jnp.shape, moved(params)) == jax.tree.map(jnp.shape, fresh)
    print("in Flax: ", {name: sorted(named) for name, named in fresh.items()})
    logits = network.apply(params, test_images)
    theirs = flax_network.apply({"params": moved(params)}, test_images)
    apart = float(jnp.abs(logits - theirs).max())
    right = float(jnp.mean(jnp.argmax(theirs, -1) == test_labels))
    print(f"largest difference of their logits: {apart:.1e}")
    print(f"test accuracy: {right:.2%}")
    return apart, right


if __name__ == "__main__":
    main()
