"""A residual network with batch normalisation, which keeps state, on real digits.

    python examples/resnet_digits.py

`hk.nets.ResNet` is shrunk to fit scikit-learn's 8x8 digits. Digits are moved by up to
one pixel as it learns.
Source: He et al., 2016, Identity Mappings in Deep Residual Networks, arXiv:1603.05027.
"""

import argparse

import jax
import jax.numpy as jnp
import numpy as np
import optax
import tqdm
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import haiku as hk


def classify(images, is_training):  # [B, 8, 8, 1] -> [B, 10]
    network = hk.nets.ResNet(
        blocks_per_group=[1, 1, 1, 1],
        num_classes=10,
        resnet_v2=True,
        bottleneck=False,
        channels_per_group=[16, 32, 64, 64],
        use_projection=[False, True, True, True],
        strides=[1, 1, 2, 1],
        initial_conv_config={"kernel_shape": 3, "stride": 1, "output_channels": 16},
    )
    return network(images, is_training)


def moved(key, images):
    """Each image, moved by at most one pixel each way."""
    padded = jnp.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)))
    starts = jax.random.randint(key, [len(images), 2], 0, 3)

    def cut(image, start):
        return jax.lax.dynamic_slice(image, (*start, 0), (8, 8, 1))

    return jax.vmap(cut)(padded, starts)


def main(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--learning-rate", type=float, default=3e-3)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args(argv)

    digits = load_digits()
    images = (digits.images / 16).astype(np.float32)[..., None]
    images, test_images, labels, test_labels = train_test_split(
        images,
        digits.target,
        test_size=0.2,
        stratify=digits.target,
        random_state=arguments.seed,
    )

    network = hk.without_apply_rng(hk.transform_with_state(classify))
    keys = hk.PRNGSequence(arguments.seed)
    params, state = network.init(next(keys), images[:1], True)
    print(f"{hk.data_structures.tree_size(params):,} parameters")

    steps = len(images) // arguments.batch_size
    schedule = optax.cosine_decay_schedule(
        arguments.learning_rate, steps * arguments.epochs
    )
    optimizer = optax.adamw(schedule, weight_decay=1e-2)
    optimizer_state = optimizer.init(params)

    @jax.jit
    def step(params, state, optimizer_state, key, images, labels):
        def loss_fn(params):
            logits, after = network.apply(params, state, moved(key, images), True)
            losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
            return losses.mean(), after

        (loss, after), grads = jax.value_and_grad(loss_fn, has_aux=True)(params)
        updates, optimizer_state = optimizer.update(grads, optimizer_state, params)
        return optax.apply_updates(params, updates), after, optimizer_state, loss

    @jax.jit
    def accuracy(params, state, images, labels):
        logits, _ = network.apply(params, state, images, False)
        return jnp.mean(jnp.argmax(logits, -1) == labels)

    order = np.random.default_rng(arguments.seed)
    with tqdm.trange(arguments.epochs, desc="training", unit="epoch") as epochs:
        for _ in epochs:
            shuffled = order.permutation(len(images))
            for i in range(steps):
                batch = shuffled[i * arguments.batch_size :][: arguments.batch_size]
                params, state, optimizer_state, loss = step(
                    params,
                    state,
                    optimizer_state,
                    next(keys),
                    images[batch],
                    labels[batch],
                )
            right = accuracy(params, state, test_images, test_labels)
            epochs.set_postfix(loss=f"{loss:.4f}", test=f"{right:.1%}")

    print(f"test accuracy: {right:.2%}")
    return float(right)


if __name__ == "__main__":
    main()
