"""Takes the smallest weights out of a trained network, step by step.

    python examples/pruning.py

Parameters are plain dictionaries, so pruning is a few lines of `hk.data_structures`: a
mask of ones and zeros beside them. After each cut the network learns on for a while
under its mask.
Source: Zhu and Gupta, 2017, To Prune, or Not to Prune, arXiv:1710.01878.
"""

import argparse
import functools
import pathlib

import jax
import jax.numpy as jnp
import matplotlib
import numpy as np
import optax
import tqdm
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import haiku as hk

matplotlib.use("Agg")
import matplotlib.pyplot as plt

network = hk.without_apply_rng(
    hk.transform(lambda images: hk.nets.MLP([300, 100, 10])(images))
)
optimizer = optax.adam(1e-3)


def is_weight(module_name, name, value):
    return name == "w"


def cut(params, sparsity):
    """A mask that is 0 for the smallest `sparsity` of all weights."""
    weights, _ = hk.data_structures.partition(is_weight, params)
    sizes = jnp.concatenate([jnp.abs(w).ravel() for w in jax.tree.leaves(weights)])
    threshold = jnp.quantile(sizes, sparsity)
    return jax.tree.map(lambda w: (jnp.abs(w) > threshold).astype(w.dtype), weights)


def masked(params, mask):
    """The parameters with masked weights at 0."""
    weights, rest = hk.data_structures.partition(is_weight, params)
    return hk.data_structures.merge(jax.tree.map(jnp.multiply, weights, mask), rest)


@jax.jit
def step(params, mask, state, images, labels):
    def loss_fn(params):
        logits = network.apply(masked(params, mask), images)
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

    updates, state = optimizer.update(jax.grad(loss_fn)(params), state)
    return optax.apply_updates(params, updates), state


@jax.jit
def accuracy(params, mask, images, labels):
    logits = network.apply(masked(params, mask), images)
    return jnp.mean(jnp.argmax(logits, -1) == labels)


def learn(params, mask, images, labels, epochs, order, batch_size):
    state = optimizer.init(params)
    for _ in range(epochs):
        shuffled = order.permutation(len(images))
        for start in range(0, len(images), batch_size):
            batch = shuffled[start : start + batch_size]
            params, state = step(params, mask, state, images[batch], labels[batch])
    return params


def draw_curve(rows, path):
    sparsity, at_once, learned = np.array(rows).T
    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    kept = 100 * (1 - sparsity)
    axes.plot(kept, 100 * at_once, "o--", color="#7A8794", label="right after the cut")
    axes.plot(kept, 100 * learned, "o-", color="#2A6FDB", label="after learning on")
    axes.set_xscale("log")
    ticks = [100, 50, 20, 10, 5, 2, 1]
    axes.set_xticks(ticks, [f"{tick}%" for tick in ticks])
    axes.minorticks_off()
    axes.invert_xaxis()
    axes.set_xlabel("weights that are left")
    axes.set_ylabel("test accuracy in %")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    axes.set_title("Most weights are not needed", weight="bold")
    figure.savefig(path, dpi=150)
    plt.close(figure)


def main(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--epochs", type=int, default=20, help="before the first cut")
    parser.add_argument("--epochs-per-cut", type=int, default=10)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("demo"))
    arguments = parser.parse_args(argv)

    digits = load_digits()
    images, test_images, labels, test_labels = train_test_split(
        (digits.data / 16).astype(np.float32),
        digits.target,
        test_size=0.2,
        stratify=digits.target,
        random_state=arguments.seed,
    )
    order = np.random.default_rng(arguments.seed)
    train = functools.partial(
        learn,
        images=images,
        labels=labels,
        order=order,
        batch_size=arguments.batch_size,
    )
    params = network.init(jax.random.key(arguments.seed), images[:1])
    everything = cut(params, 0.0)
    params = train(params, everything, epochs=arguments.epochs)
    right = accuracy(params, everything, test_images, test_labels)
    rows = [(0.0, right, right)]
    for sparsity in tqdm.tqdm([0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99], desc="pruning"):
        mask = cut(masked(params, everything), sparsity)
        params = masked(params, mask)
        at_once = accuracy(params, mask, test_images, test_labels)
        params = train(params, mask, epochs=arguments.epochs_per_cut)
        rows.append(
            (sparsity, at_once, accuracy(params, mask, test_images, test_labels))
        )

    print("weights left   right after the cut   after learning on")
    for sparsity, at_once, learned in rows:
        print(f"{1 - sparsity:12.0%} {at_once:21.2%} {learned:19.2%}")
    arguments.out.mkdir(parents=True, exist_ok=True)
    path = arguments.out / "pruning.png"
    draw_curve(rows, path)
    print(f"the picture is {path}")
    return [tuple(float(x) for x in row) for row in rows]


if __name__ == "__main__":
    main()
