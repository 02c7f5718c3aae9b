"""An autoencoder whose codes are words of a small vocabulary, learning to draw digits.

    python examples/vqvae.py

A digit of 8x8 pixels becomes four words out of 64; a second network draws the digit
from its four words. How words go together is learned too, to make up new digits.
Source: van den Oord, Vinyals and Kavukcuoglu, 2017, Neural Discrete Representation
Learning, arXiv:1711.00937.
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

import haiku as hk

matplotlib.use("Agg")
import matplotlib.pyplot as plt

WORDS_PER_DIGIT = 4


def build(words: int, dimension: int):
    """Functions of one set of parameters: `train` (a loss), `encode`, `decode`."""

    def model():
        quantizer = hk.nets.VectorQuantizerEMA(dimension, words, 0.25, 0.99)
        mlp = functools.partial(hk.nets.MLP, activation=jax.nn.silu)
        encoder = hk.Sequential([
            mlp([256, 128, WORDS_PER_DIGIT * dimension]),
            hk.Reshape([WORDS_PER_DIGIT, dimension]),
        ])  # fmt: skip
        decoder = hk.Sequential([hk.Flatten(), mlp([128, 256, 64])])

        def train(images, is_training=True):  # [B, 64]
            found = quantizer(encoder(images), is_training)
            error = jnp.mean((decoder(found["quantize"]) - images) ** 2)
            return error / 0.1 + found["loss"], (error, found["perplexity"])

        def encode(images):
            return quantizer(encoder(images), False)["encoding_indices"]  # [B, 4]

        def decode(indices):
            return decoder(quantizer.quantize(indices))

        return train, (train, encode, decode)

    return hk.without_apply_rng(hk.multi_transform_with_state(model))


def learn_prior(indices, words: int, steps: int):
    """How likely each word is after those before it: a logistic model."""
    n = WORDS_PER_DIGIT

    def logits(indices):  # [B, n] -> [B, n, words]
        before = jnp.tril(jnp.ones((n, n)), -1)
        shape = [n, n, words, words]
        w = hk.get_parameter("w", shape, init=jnp.zeros) * before[..., None, None]
        b = hk.get_parameter("b", [n, words], init=jnp.zeros)
        return b + jnp.einsum("bsv,tsvw->btw", hk.one_hot(indices, words), w)

    prior = hk.without_apply_rng(hk.transform(logits))
    params = prior.init(None, indices)
    optimizer = optax.adamw(0.02, weight_decay=0.02)

    def step(carry, _):
        params, state = carry

        def loss(params):
            out = prior.apply(params, indices)
            return optax.softmax_cross_entropy_with_integer_labels(out, indices).mean()

        value, grads = jax.value_and_grad(loss)(params)
        updates, state = optimizer.update(grads, state, params)
        return (optax.apply_updates(params, updates), state), value

    carry = params, optimizer.init(params)
    (params, _), _ = jax.jit(lambda c: jax.lax.scan(step, c, None, steps))(carry)

    def draw(key, count):
        out = jnp.zeros([count, n], int)
        for place, k in enumerate(jax.random.split(key, n)):
            guess = jax.random.categorical(k, prior.apply(params, out)[:, place])
            out = out.at[:, place].set(guess)
        return out

    return draw


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
    parser.add_argument("--epochs", type=int, default=200)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--words", type=int, default=64)
    parser.add_argument("--dimension", type=int, default=16)
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("demo"))
    arguments = parser.parse_args(argv)

    images = (load_digits().data / 16).astype(np.float32)
    order = np.random.default_rng(arguments.seed)
    images = images[order.permutation(len(images))]
    test, images = images[:200], images[200:]

    model = build(arguments.words, arguments.dimension)
    train, encode, decode = model.apply
    keys = hk.PRNGSequence(arguments.seed)
    params, state = model.init(next(keys), images[:2])
    optimizer = optax.adam(arguments.learning_rate)
    optimizer_state = optimizer.init(params)

    @jax.jit
    def epoch(params, state, optimizer_state, batches):  # [steps, B, 64]
        def step(carry, images):
            params, state, optimizer_state = carry

            def loss_fn(params):
                (loss, aux), after = train(params, state, images)
                return loss, (aux, after)

            grads, (aux, after) = jax.grad(loss_fn, has_aux=True)(params)
            updates, optimizer_state = optimizer.update(grads, optimizer_state)
            return (optax.apply_updates(params, updates), after, optimizer_state), aux

        carry = params, state, optimizer_state
        carry, (errors, perplexities) = jax.lax.scan(step, carry, batches)
        return *carry, errors.mean(), perplexities.mean()

    steps = len(images) // arguments.batch_size
    with tqdm.trange(arguments.epochs, desc="training", unit="epoch") as epochs:
        for _ in epochs:
            chosen = order.permutation(len(images))[: steps * arguments.batch_size]
            batches = images[chosen].reshape(steps, arguments.batch_size, -1)
            params, state, optimizer_state, error, used = epoch(
                params, state, optimizer_state, batches
            )
            epochs.set_postfix(error=f"{error:.4f}", words=f"{used:.1f}")

    (_, (error, _)), _ = train(params, state, test, False)
    print(
        f"held-out digits: squared error {error:.4f} per pixel, "
        f"of a variance of {test.var():.4f}"
    )
    indices, _ = encode(params, state, images)
    prior = learn_prior(indices, arguments.words, arguments.epochs)
    new, _ = decode(params, state, prior(next(keys), 48))
    again, _ = decode(params, state, encode(params, state, test[:16])[0])
    arguments.out.mkdir(parents=True, exist_ok=True)
    path = arguments.out / "vqvae.png"
    draw_digits(
        [test[:16], again, *np.split(np.asarray(new), 3)],
        ["held-out digits", "drawn again from four words", "new digits", "", ""],
        path,
    )
    print(f"pictures are in {path}")
    return float(error)


if __name__ == "__main__":
    main()
