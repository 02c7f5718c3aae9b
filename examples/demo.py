"""Trains a small network on handwritten digits, and draws what it is and how it does.

    python examples/demo.py        # or: make demo

1797 real digits of 8x8 pixels come with scikit-learn; a fifth of them is held out. The
pictures go to demo/: the learning curve, the digits that it gets wrong, the network as
a graph and as a table.
"""

import argparse
import pathlib
import shutil
import subprocess

import jax
import jax.numpy as jnp
import matplotlib
import numpy as np
import optax
import tqdm
from draw_graph import draw
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import haiku as hk

matplotlib.use("Agg")
import matplotlib.pyplot as plt


def predict(images):
    model = hk.Sequential([
        hk.Linear(300),
        jax.nn.relu,
        hk.Linear(100),
        jax.nn.relu,
        hk.Linear(10),
    ])  # fmt: skip
    return model(images)


def softmax_cross_entropy(logits, labels):
    one_hot = hk.one_hot(labels, logits.shape[-1])
    return -jnp.sum(jax.nn.log_softmax(logits) * one_hot, axis=-1)


def loss_fn(images, labels):
    logits = predict(images)
    return jnp.mean(softmax_cross_entropy(logits, labels))


network = hk.without_apply_rng(hk.transform(predict))
loss_obj = hk.without_apply_rng(hk.transform(loss_fn))


def read_digits(seed: int):
    """Images [N, 64] in [0, 1] and labels [N], to learn from and to test on."""
    digits = load_digits()
    images = (digits.data / 16).astype(np.float32)
    return train_test_split(
        images, digits.target, test_size=0.2, stratify=digits.target, random_state=seed
    )


def train(images, labels, test_images, test_labels, arguments):
    """The trained parameters, and loss and test accuracy after each epoch."""
    steps = arguments.epochs * -(-len(images) // arguments.batch_size)
    optimizer = optax.adamw(
        optax.cosine_decay_schedule(arguments.learning_rate, steps), weight_decay=1e-3
    )
    params = loss_obj.init(jax.random.key(arguments.seed), images[:1], labels[:1])
    state = optimizer.init(params)

    @jax.jit
    def step(params, state, images, labels):
        loss, grads = jax.value_and_grad(loss_obj.apply)(params, images, labels)
        updates, state = optimizer.update(grads, state, params)
        return optax.apply_updates(params, updates), state, loss

    @jax.jit
    def accuracy(params, images, labels):
        return jnp.mean(jnp.argmax(network.apply(params, images), -1) == labels)

    order = np.random.default_rng(arguments.seed)
    history = []
    with tqdm.trange(arguments.epochs, desc="training", unit="epoch") as epochs:
        for _ in epochs:
            losses = []
            shuffled = order.permutation(len(images))
            for start in range(0, len(images), arguments.batch_size):
                batch = shuffled[start : start + arguments.batch_size]
                params, state, loss = step(params, state, images[batch], labels[batch])
                losses.append(loss)
            correct = accuracy(params, test_images, test_labels)
            history.append((float(np.mean(losses)), float(correct)))
            epochs.set_postfix(loss=f"{history[-1][0]:.4f}", test=f"{correct:.1%}")
    return params, history


# Pictures.


def draw_learning_curve(history, path):
    losses, correct = np.array(history).T
    epochs = np.arange(1, len(history) + 1)
    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    axes.semilogy(epochs, losses, color="#2A6FDB")
    axes.set_xlabel("epoch")
    axes.set_ylabel("training loss", color="#2A6FDB")
    right = axes.twinx()
    right.plot(epochs, 100 * correct, color="#D9822B")
    right.set_ylabel("test accuracy in %", color="#D9822B")
    right.set_ylim(max(0, 100 * correct.min() - 2), 100.5)
    right.annotate(
        f"{correct[-1]:.1%}",
        (epochs[-1], 100 * correct[-1]),
        xytext=(0, -16),
        textcoords="offset points",
        ha="right",
        color="#D9822B",
        weight="bold",
    )
    for spine in (axes.spines["top"], right.spines["top"]):
        spine.set_visible(False)
    axes.set_title("Learning handwritten digits", weight="bold")
    figure.savefig(path, dpi=150)
    plt.close(figure)


def draw_wrong_digits(images, labels, logits, path):
    guesses = np.argmax(logits, -1)
    wrong = np.flatnonzero(guesses != labels)
    sure = np.asarray(jax.nn.softmax(logits))[wrong, guesses[wrong]]
    wrong = wrong[np.argsort(-sure)][:20]
    rows = max(1, -(-len(wrong) // 5))
    figure, axes = plt.subplots(
        rows, 5, figsize=(9, 2.1 * rows + 0.5), squeeze=False, layout="constrained"
    )
    for axis in axes.flat:
        axis.axis("off")
    for axis, i in zip(axes.flat, wrong):
        axis.axis("on")
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_color("#C5CDD5")
        axis.imshow(images[i].reshape(8, 8), cmap="gray_r", vmin=0, vmax=1)
        axis.set_title(f"a {labels[i]}, read as {guesses[i]}", size=9)
    count = np.sum(guesses != labels)
    right = np.mean(guesses == labels)
    figure.suptitle(
        f"{count} of {len(labels)} held-out digits are misread: {right:.1%} are right",
        weight="bold",
        size=11,
    )
    figure.savefig(path, dpi=150)
    plt.close(figure)


def draw_network(params, images, folder):
    def digit_classifier(params, images):
        return network.apply(params, images)

    dot = hk.to_dot(digit_classifier)(params, images)
    (folder / "graph.dot").write_text(dot)
    if shutil.which("dot"):
        for kind in ("svg", "png"):
            command = ["dot", f"-T{kind}", "-Gdpi=120", "-o", folder / f"graph.{kind}"]
            subprocess.run(command, input=dot.encode(), check=True)
    else:  # Graphviz isn't installed.
        draw(dot, folder / "graph.png")


def draw_table(images, folder):
    table = hk.experimental.tabulate(
        predict, columns=["module", "owned_params", "input", "output", "params_size"]
    )(images)
    (folder / "table.txt").write_text(table + "\n", encoding="utf-8")
    lines = table.splitlines()
    size = (0.078 * len(lines[0]) + 0.3, 0.17 * len(lines) + 0.3)
    figure = plt.figure(figsize=size, facecolor="white")
    figure.text(0.5, 0.5, table, family="monospace", size=9, ha="center", va="center")
    figure.savefig(folder / "table.png", dpi=150)
    plt.close(figure)
    return table


def main(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("demo"))
    arguments = parser.parse_args(argv)

    images, test_images, labels, test_labels = read_digits(arguments.seed)
    print(f"{len(images)} digits to learn from, {len(test_images)} held out")
    params, history = train(images, labels, test_images, test_labels, arguments)

    arguments.out.mkdir(parents=True, exist_ok=True)
    logits = network.apply(params, test_images)
    draw_learning_curve(history, arguments.out / "learning_curve.png")
    draw_wrong_digits(
        test_images, test_labels, logits, arguments.out / "wrong_digits.png"
    )
    draw_network(params, images[:1], arguments.out)
    print(draw_table(images[:1], arguments.out))
    print(f"test accuracy: {history[-1][1]:.2%}; pictures are in {arguments.out}/")
    return history[-1][1]


if __name__ == "__main__":
    main()
