"""Two networks that play against each other, until one of them can draw digits.

    python examples/gan.py

A generator draws digits from random numbers; a discriminator learns to tell them from
scikit-learn's real ones; the generator learns to be taken for real.
Source: Goodfellow et al., 2014, Generative Adversarial Networks, arXiv:1406.2661; the
penalty on real digits is that of Mescheder, Geiger and Nowozin, 2018, arXiv:1801.04406.
"""

import argparse
import pathlib

import jax
import jax.numpy as jnp
import matplotlib
import numpy as np
import optax
import tqdm
from sklearn.datasets import load_digits

import haiku as hk

matplotlib.use("Agg")
import matplotlib.pyplot as plt

LATENTS = 16


def generate(noise, labels):  # [B, LATENTS], [B] -> [B, 64] in [0, 1]
    x = jnp.concatenate([noise, hk.one_hot(labels, 10)], -1)
    return jax.nn.sigmoid(hk.nets.MLP([256, 256, 64], activation=jax.nn.silu)(x))


def discriminate(images, labels):  # [B, 64], [B] -> [B], large for real ones
    x = jnp.concatenate([2 * images - 1, hk.one_hot(labels, 10)], -1)
    score = hk.nets.MLP([256, 256, 1], activation=jax.nn.silu)(x)
    return score[:, 0]


generator = hk.without_apply_rng(hk.transform(generate))
discriminator = hk.without_apply_rng(hk.transform(discriminate))


def discriminator_loss(d_params, g_params, key, images, labels):
    """Tells real from drawn, and stays flat around real images."""
    noise = jax.random.normal(key, [len(images), LATENTS])
    drawn = generator.apply(g_params, noise, labels)

    def score(image, label):
        return discriminator.apply(d_params, image[None], label[None])[0]

    real, slope = jax.vmap(jax.value_and_grad(score))(images, labels)
    fake = discriminator.apply(d_params, drawn, labels)
    accuracy = jnp.mean(jax.nn.softplus(-real) + jax.nn.softplus(fake))
    penalty = jnp.mean(jnp.sum(slope**2, -1))
    return accuracy + 0.1 * penalty, jnp.mean(jnp.concatenate([real > 0, fake < 0]))


def generator_loss(g_params, d_params, key, labels):
    """Wants to be taken for real."""
    noise = jax.random.normal(key, [len(labels), LATENTS])
    drawn = generator.apply(g_params, noise, labels)
    return jnp.mean(jax.nn.softplus(-discriminator.apply(d_params, drawn, labels)))


def draw_digits(rows, titles, path):
    """Draws rows of 8x8 images, each under its title."""
    figure, axes = plt.subplots(
        len(rows), 1, figsize=(8, 0.74 * len(rows) + 0.1), layout="constrained"
    )
    figure.get_layout_engine().set(hspace=0.02, h_pad=0.03)
    for axis, images, title in zip(np.atleast_1d(axes), rows, titles):
        framed = np.pad(np.reshape(images, (-1, 8, 8)), ((0, 0), (1, 1), (1, 1)))
        axis.imshow(np.concatenate(list(framed), 1), cmap="gray", vmin=0, vmax=1)
        axis.set_title(title, size=9, loc="left", pad=3)
        axis.axis("off")
    figure.savefig(path, dpi=150)
    plt.close(figure)


def main(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--epochs", type=int, default=400)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("demo"))
    arguments = parser.parse_args(argv)

    digits = load_digits()
    images, labels = (digits.data / 16).astype(np.float32), digits.target
    order = np.random.default_rng(arguments.seed)
    keys = hk.PRNGSequence(arguments.seed)
    g_params = generator.init(next(keys), jnp.zeros([1, LATENTS]), labels[:1])
    d_params = discriminator.init(next(keys), images[:1], labels[:1])
    optimizer = optax.adam(arguments.learning_rate, b1=0.5)
    states = optimizer.init(g_params), optimizer.init(d_params)

    @jax.jit
    def epoch(carry, key, images, labels):  # [steps, B, 64], [steps, B]
        def step(carry, inputs):
            g_params, d_params, average, (g_state, d_state) = carry
            key, images, labels = inputs
            one, two = jax.random.split(key)
            grad_fn = jax.grad(discriminator_loss, has_aux=True)
            grads, accuracy = grad_fn(d_params, g_params, one, images, labels)
            updates, d_state = optimizer.update(grads, d_state)
            d_params = optax.apply_updates(d_params, updates)
            grads = jax.grad(generator_loss)(g_params, d_params, two, labels)
            updates, g_state = optimizer.update(grads, g_state)
            g_params = optax.apply_updates(g_params, updates)
            average = optax.incremental_update(g_params, average, 0.005)
            return (g_params, d_params, average, (g_state, d_state)), accuracy

        step_keys = jax.random.split(key, len(images))
        carry, accuracy = jax.lax.scan(step, carry, (step_keys, images, labels))
        return carry, accuracy.mean()

    steps, size = len(images) // arguments.batch_size, arguments.batch_size
    carry = g_params, d_params, g_params, states
    with tqdm.trange(arguments.epochs, desc="playing", unit="epoch") as epochs:
        for _ in epochs:
            chosen = order.permutation(len(images))[: steps * size]
            batches = images[chosen].reshape(steps, size, -1)
            carry, accuracy = epoch(
                carry, next(keys), batches, labels[chosen].reshape(steps, size)
            )
            epochs.set_postfix(told_apart=f"{accuracy:.1%}")

    _, _, average, _ = carry
    wanted = jnp.repeat(jnp.arange(10), 16)
    noise = jax.random.normal(next(keys), [len(wanted), LATENTS])
    drawn = np.asarray(generator.apply(average, noise, wanted))

    # Are the samples of the requested class? The nearest real digits decide.
    distances = ((drawn[:, None] - images[None]) ** 2).sum(-1)
    nearest = labels[np.argsort(distances, 1)[:, :5]]
    votes = np.array([np.bincount(row, minlength=10).argmax() for row in nearest])
    right = float(np.mean(votes == wanted))
    print(f"{right:.1%} of the digits drawn are nearest to real ones of their kind")
    arguments.out.mkdir(parents=True, exist_ok=True)
    path = arguments.out / "gan.png"
    draw_digits(drawn.reshape(10, 16, 64), [f"{d}" for d in range(10)], path)
    print(f"pictures are in {path}")
    return right


if __name__ == "__main__":
    main()
