"""A variational autoencoder that learns to draw digits.

    python examples/vae.py

Each of scikit-learn's 1797 digits becomes a normal distribution over a few numbers,
from which a second network draws it again. New digits come from random numbers.
Source: Kingma and Welling, 2013, Auto-Encoding Variational Bayes, arXiv:1312.6114.
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


class Encoder(hk.Module):
    """From images to the mean and the log of the variance of their codes."""

    def __init__(self, latents: int, name: str | None = None):
        super().__init__(name=name)
        self.latents = latents

    def __call__(self, images):
        """Both [B, latents], for images [B, 64]."""
        h = hk.nets.MLP([256, 128], activation=jax.nn.silu, activate_final=True)(images)
        return hk.Linear(self.latents)(h), hk.Linear(self.latents)(h)


class Decoder(hk.Module):
    """From codes to the logit of each pixel's brightness."""

    def __call__(self, codes):
        """Logits [B, 64], for codes [B, latents]."""
        return hk.nets.MLP([128, 256, 64], activation=jax.nn.silu)(codes)


def build(latents: int):
    """Three functions of one set of parameters."""

    def model():
        encoder, decoder = Encoder(latents), Decoder()

        def loss(images):
            """The negative evidence lower bound, in nats per image."""
            mean, log_variance = encoder(images)
            noise = jax.random.normal(hk.next_rng_key(), mean.shape)
            logits = decoder(mean + jnp.exp(log_variance / 2) * noise)
            drawn = optax.sigmoid_binary_cross_entropy(logits, images).sum(-1)
            apart = (jnp.exp(log_variance) + mean**2 - 1 - log_variance).sum(-1) / 2
            return jnp.mean(drawn + apart)

        def redraw(images):
            return jax.nn.sigmoid(decoder(encoder(images)[0]))

        def dream(codes):
            return jax.nn.sigmoid(decoder(codes))

        return loss, (loss, redraw, dream)

    return hk.multi_transform(model)


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
    parser.add_argument("--epochs", type=int, default=300)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--latents", type=int, default=8)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("demo"))
    arguments = parser.parse_args(argv)

    images = (load_digits().data / 16).astype(np.float32)
    order = np.random.default_rng(arguments.seed)
    images = images[order.permutation(len(images))]
    test, images = images[:200], images[200:]

    model = build(arguments.latents)
    loss, redraw, dream = model.apply
    keys = hk.PRNGSequence(arguments.seed)
    params = model.init(next(keys), images[:1])
    optimizer = optax.adam(arguments.learning_rate)
    state = optimizer.init(params)

    @jax.jit
    def epoch(params, state, key, batches):  # [steps, B, 64]
        def step(carry, inputs):
            params, state = carry
            value, grads = jax.value_and_grad(loss)(params, *inputs)
            updates, state = optimizer.update(grads, state)
            return (optax.apply_updates(params, updates), state), value

        batch_keys = jax.random.split(key, len(batches))
        carry, values = jax.lax.scan(step, (params, state), (batch_keys, batches))
        return *carry, values.mean()

    steps = len(images) // arguments.batch_size
    with tqdm.trange(arguments.epochs, desc="training", unit="epoch") as epochs:
        for _ in epochs:
            chosen = order.permutation(len(images))[: steps * arguments.batch_size]
            batches = images[chosen].reshape(steps, arguments.batch_size, -1)
            params, state, value = epoch(params, state, next(keys), batches)
            epochs.set_postfix(nats=f"{value:.2f}")

    nats = float(loss(params, next(keys), test))
    print(f"held-out digits: at most {nats:.2f} nats per digit")
    arguments.out.mkdir(parents=True, exist_ok=True)
    codes = jax.random.normal(next(keys), [48, arguments.latents])
    dreamt = np.asarray(dream(params, None, codes))
    path = arguments.out / "vae.png"
    draw_digits(
        [test[:16], redraw(params, None, test[:16]), *np.split(dreamt, 3)],
        ["held-out digits", "drawn again from their codes", "new digits", "", ""],
        path,
    )
    print(f"pictures are in {path}")
    return nats


if __name__ == "__main__":
    main()
