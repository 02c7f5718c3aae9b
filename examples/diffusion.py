"""A transformer that turns noise into the digit one asks for, by flow matching.

    python examples/diffusion.py

`hk.nets.DiT` learns the velocity from noise to digit along straight lines, for a time
and a label. Digits are drawn by following it from noise; one label in ten is left out
while learning, so the difference that a label makes can be made larger.
Source: Lipman et al., 2022, Flow Matching for Generative Modeling, arXiv:2210.02747;
straight lines: Liu, Gong and Liu, 2022, arXiv:2209.03003; times drawn from a
logit-normal: Esser et al., 2024, arXiv:2403.03206; guidance: Ho and Salimans, 2022,
arXiv:2207.12598.
"""

import argparse
import pathlib
import time

import jax
import jax.numpy as jnp
import matplotlib
import numpy as np
import optax
import tqdm
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.svm import SVC

import haiku as hk

matplotlib.use("Agg")
import matplotlib.pyplot as plt

NONE = 10  # the label of an image without one


def build(width: int, layers: int) -> hk.Blueprint:
    config = hk.nets.DiTConfig(
        image_size=8,
        patch_size=2,
        channels=1,
        model_size=width,
        num_layers=layers,
        num_heads=width // 16,
        num_classes=10,
    )
    return hk.Blueprint(hk.nets.DiT, config)


def flow_loss(model, key, images, labels):
    """The squared error of the velocity, at a random time of each image's way."""
    of_noise, of_times, of_labels = jax.random.split(key, 3)
    noise = jax.random.normal(of_noise, images.shape)
    times = jax.nn.sigmoid(jax.random.normal(of_times, labels.shape))  # logit-normal
    labels = jnp.where(jax.random.bernoulli(of_labels, 0.1, labels.shape), NONE, labels)
    t = times[:, None, None, None]
    velocity = model((1 - t) * noise + t * images, 1000 * times, labels)
    return jnp.mean((velocity - (images - noise)) ** 2)


def draw(model, noise, labels, steps: int, guidance: float):
    """Follows the velocity from noise to images by Heun's method.

    Args:
      model: Predicts velocities ``[B, H, W, C]`` from images, ``1000 t`` and labels.
      noise: ``[B, H, W, C]``, the images at time 0.
      labels: Integers ``[B]``.
      steps: Number of steps to time 1; each asks for two velocities.
      guidance: How often to count the difference that labels make; 1 is the model as it
        was trained.

    Returns:
      The images at the start and after each step, ``[steps + 1, B, H, W, C]``.
    """
    both_labels = jnp.concatenate([labels, jnp.full_like(labels, NONE)])

    def velocity(x, t):
        times = jnp.full(both_labels.shape, 1000 * t)
        both = model(jnp.concatenate([x, x]), times, both_labels)
        with_label, without = jnp.split(both, 2)
        return without + guidance * (with_label - without)

    def step(x, t):
        first = velocity(x, t)
        second = velocity(x + first / steps, t + 1 / steps)
        x = x + (first + second) / (2 * steps)
        return x, x

    _, way = jax.lax.scan(step, noise, jnp.arange(steps) / steps)
    return jnp.concatenate([noise[None], way])


def frechet_distance(some, others):
    """The distance of two normal distributions, fitted to images `[N, pixels]`.

    |m - m'|^2 + tr(C + C' - 2 (C C')^(1/2))
    """
    covariances = [np.cov(x, rowvar=False) for x in (some, others)]
    # The root's trace is the sum of the roots of the eigenvalues of C C'.
    roots = np.sqrt(np.linalg.eigvals(covariances[0] @ covariances[1]).astype(complex))
    apart = np.sum((some.mean(0) - others.mean(0)) ** 2)
    return float(apart + sum(map(np.trace, covariances)) - 2 * roots.real.sum())


def distance_to_nearest(images, others):
    """The mean distance to the nearest of the others."""
    squares = ((images[:, None] - others[None]) ** 2).sum(-1)
    return float(np.sqrt(squares.min(1)).mean())


def draw_picture(columns, path):
    """Draws groups of images `[10, n, 8, 8]` side by side, each under its title."""
    widths = [images.shape[1] for images in columns.values()]
    figure, axes = plt.subplots(
        *(1, len(columns)),
        figsize=(8, 3.9),
        layout="constrained",
        gridspec_kw={"width_ratios": widths},
    )
    for axis, (title, images) in zip(axes, columns.items()):
        framed = np.pad(images, ((0, 0), (0, 0), (1, 1), (1, 1)))
        rows = framed.transpose(0, 2, 1, 3).reshape(100, -1)
        axis.imshow(rows, cmap="gray", vmin=0, vmax=1)
        axis.set_title(title, size=9, loc="left", pad=3)
        axis.axis("off")
    figure.savefig(path, dpi=150)
    plt.close(figure)


def main(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=3000, help="of learning")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--width", type=int, default=64, help="a multiple of 16")
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument(
        "--draw-steps", type=int, default=25, help="from noise to digit"
    )
    parser.add_argument("--guidance", type=float, default=1.5, help="1 for none")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("demo"))
    arguments = parser.parse_args(argv)

    digits = load_digits()
    images, test_images, labels, test_labels = train_test_split(
        (digits.images / 16).astype(np.float32),
        digits.target,
        test_size=0.2,
        stratify=digits.target,
        random_state=arguments.seed,
    )
    scaled = jnp.asarray(2 * images[..., None] - 1)  # to [-1, 1], as wide as the noise

    keys = hk.PRNGSequence(arguments.seed)
    net = hk.bind(build(arguments.width, arguments.layers))
    model = net.init(next(keys), scaled[:1], jnp.zeros([1]), labels[:1])
    print(f"{hk.data_structures.tree_size(model.params):,} parameters")
    schedule = optax.warmup_cosine_decay_schedule(
        *(0.0, arguments.learning_rate, min(100, arguments.steps // 2)),
        arguments.steps,
    )
    optimizer = optax.chain(
        optax.clip_by_global_norm(1.0), optax.adamw(schedule, b2=0.99)
    )

    def step(carry, inputs):
        model, average, state = carry
        i, key = inputs
        of_batch, of_loss = jax.random.split(key)
        batch = jax.random.randint(of_batch, [arguments.batch_size], 0, len(scaled))
        loss, grads = jax.value_and_grad(flow_loss)(
            model, of_loss, scaled[batch], jnp.asarray(labels)[batch]
        )
        updates, state = optimizer.update(grads, state, model)
        model = optax.apply_updates(model, updates)
        # A mean over some 500 steps, or over as many as there were.
        average = optax.incremental_update(model, average, 1 / jnp.minimum(i + 1, 500))
        return (model, average, state), loss

    learn = jax.jit(lambda carry, *inputs: jax.lax.scan(step, carry, inputs))
    start = time.perf_counter()
    carry = model, model, optimizer.init(model)
    with tqdm.tqdm(total=arguments.steps, desc="learning", unit="step") as bar:
        for first in range(0, arguments.steps, 50):
            numbers = jnp.arange(first, min(first + 50, arguments.steps))
            step_keys = jax.random.split(next(keys), len(numbers))
            carry, losses = learn(carry, numbers, step_keys)
            bar.update(len(numbers))
            bar.set_postfix(loss=f"{losses.mean():.3f}")
    average = carry[1]
    print(f"learned in {(time.perf_counter() - start) / 60:.1f} minutes")

    # As many drawn digits of each kind as there are held-out ones, to compare fairly.
    follow = jax.jit(draw, static_argnums=3)
    noise = jax.random.normal(next(keys), [len(test_labels), 8, 8, 1])
    way = follow(average, noise, test_labels, arguments.draw_steps, arguments.guidance)
    way = np.asarray(way)[..., 0] / 2 + 0.5
    drawn = np.clip(way[-1], 0, 1)

    reader = SVC(C=10).fit(images.reshape(-1, 64), labels)
    rows = {}
    for name, some in ("held-out", test_images), ("drawn", drawn):
        flat = some.reshape(-1, 64)
        rows[name] = (
            float(np.mean(reader.predict(flat) == test_labels)),
            frechet_distance(flat, images.reshape(-1, 64)),
            distance_to_nearest(flat, images.reshape(-1, 64)),
        )
    print(
        f"{len(drawn)} digits of each sort, compared with the {len(images)} of learning"
        "\ndigits    read as their kind   Frechet distance   distance to the nearest"
    )
    for name, (right, frechet, nearest) in rows.items():
        print(f"{name:8}{right:20.1%} {frechet:18.3f} {nearest:25.3f}")

    arguments.out.mkdir(parents=True, exist_ok=True)
    path = arguments.out / "diffusion.png"
    of_kind = [np.flatnonzero(test_labels == kind) for kind in range(10)]
    moments = np.linspace(0, arguments.draw_steps, 6).round().astype(int)
    columns = {
        "held-out digits": np.stack([test_images[i[:6]] for i in of_kind]),
        "drawn digits": np.stack([drawn[i[:12]] for i in of_kind]),
        "from noise to digit": np.stack([way[moments, i[0]] for i in of_kind]),
    }
    draw_picture(columns, path)
    print(f"pictures are in {path}")
    return rows


if __name__ == "__main__":
    main()
