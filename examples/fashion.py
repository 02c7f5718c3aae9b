"""A transformer and a convolutional net of today learn to tell clothes apart.

    python examples/fashion.py                 # both nets
    python examples/fashion.py --nets vit      # one of them

`hk.nets.VisionTransformer` and `hk.nets.ConvNeXt`, small enough for one CPU core, read
Fashion-MNIST: 60,000 images of 28x28 pixels to learn from, 10,000 to be judged by.
Debian and Ubuntu have them as a package:

    apt-get install dataset-fashion-mnist

Elsewhere, put its four files (such as train-images-idx3-ubyte.gz, packed or not) into a
folder, and pass that as --data.
Source: Xiao, Rasul and Vollgraf, 2017, Fashion-MNIST, arXiv:1708.07747; the recipe
follows Touvron et al., 2020, arXiv:2012.12877, and Liu et al., 2022, arXiv:2201.03545.
"""

import argparse
import dataclasses
import gzip
import pathlib
import time
import zlib

import jax
import jax.numpy as jnp
import matplotlib
import numpy as np
import optax
import tqdm

import haiku as hk

matplotlib.use("Agg")
import matplotlib.pyplot as plt

FOLDER = pathlib.Path("/usr/share/datasets/fashion-mnist")
KINDS = (
    *("T-shirt", "trousers", "pullover", "dress", "coat"),
    *("sandal", "shirt", "sneaker", "bag", "ankle boot"),
)
EPOCHS = {"vit": 10, "convnext": 5}  # about as long
COLOURS = {"vit": "#E0703C", "convnext": "#2A6FDB"}


def blueprints() -> dict[str, hk.Blueprint]:
    shared = {
        "channels": 1,
        "head": "classes",
        "num_classes": 10,
        "stochastic_depth": 0.05,
    }
    vit = hk.nets.VisionTransformerConfig(
        image_size=28,
        patch_size=7,
        model_size=96,
        num_layers=4,
        num_heads=4,
        hidden_size=192,
        class_token=False,
        pooling="mean",
        **shared,
    )
    convnext = hk.nets.ConvNeXtConfig(
        patch_size=2,
        model_sizes=(16, 48, 96),
        num_layers=(1, 2, 1),
        layer_scale=None,  # which helps deep nets, and this one isn't
        **shared,
    )
    return {
        "vit": hk.Blueprint(hk.nets.VisionTransformer, vit),
        "convnext": hk.Blueprint(hk.nets.ConvNeXt, convnext),
    }


# ---- The data ------------------------------------------------------------------------


def read_idx(path: pathlib.Path) -> np.ndarray:
    """The array of bytes in an IDX file.

    The file begins with two zeros, 8 for bytes, the number of axes, and the length of
    each axis in four bytes, the highest first.

    Raises:
      ValueError: The file is something else, or is cut off.
    """
    data = path.read_bytes()
    if path.suffix == ".gz":
        try:
            data = gzip.decompress(data)
        except (OSError, EOFError, zlib.error) as error:
            raise ValueError(
                f"{path} can't be unpacked ({error}): copy it again, or unpack it and "
                "take .gz off its name."
            ) from error
    if data[:3] != b"\0\0\x08" or len(data) < 4:
        raise ValueError(
            f"{path} must be an IDX file of bytes, which begins with 00 00 08, but it "
            f"begins with {data[:3].hex(' ') or 'nothing'}."
        )
    start = 4 + 4 * data[3]
    shape = np.frombuffer(data[4:start], ">u4", len(data[4:start]) // 4).tolist()
    wanted = start + int(np.prod(shape, dtype=object))
    if len(shape) != data[3] or len(data) != wanted:
        raise ValueError(
            f"{path} says that it holds an array of {shape}, which takes {wanted} "
            f"bytes, but it has {len(data)}: copy it again."
        )
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape)


def read_part(folder: pathlib.Path, part: str) -> tuple[np.ndarray, np.ndarray]:
    """Images `[N, 28, 28]` and labels `[N]` of the part "train" or "t10k"."""
    paths = []
    for name in f"{part}-images-idx3-ubyte", f"{part}-labels-idx1-ubyte":
        found = [p for p in (folder / f"{name}.gz", folder / name) if p.is_file()]
        if not found:
            raise FileNotFoundError(
                f"There is neither {name}.gz nor {name} in {folder}. On Debian and "
                "Ubuntu write: apt-get install dataset-fashion-mnist. Otherwise pass "
                "the folder of the four files as --data."
            )
        paths.append(found[0])
    images, labels = map(read_idx, paths)
    if images.ndim != 3 or images.shape[1:] != (28, 28):
        raise ValueError(
            f"{paths[0]} must hold images of 28x28 pixels, an array of [N, 28, 28], "
            f"got {list(images.shape)}."
        )
    if labels.shape != images.shape[:1] or not len(labels):
        raise ValueError(
            f"{paths[1]} must hold a label for each of the {len(images)} images, and "
            f"there must be one at least, got an array of {list(labels.shape)}."
        )
    if labels.max() >= len(KINDS):
        raise ValueError(
            f"{paths[1]} must hold labels from 0 to {len(KINDS) - 1}, got "
            f"{labels.max()}."
        )
    return images, labels.astype(np.int32)


def scaled(images):
    """Bytes as floats around 0, `[B, 28, 28, 1]`."""
    return (jnp.float32(images)[..., None] / 255 - 0.286) / 0.353


def varied(key, images, most: int = 2):
    """Each image, moved by at most so many pixels each way, and perhaps mirrored."""
    of_moves, of_flips = jax.random.split(key)
    padded = jnp.pad(images, ((0, 0), (most, most), (most, most)))
    starts = jax.random.randint(of_moves, [len(images), 2], 0, 2 * most + 1)
    moved = jax.vmap(lambda x, i: jax.lax.dynamic_slice(x, i, (28, 28)))(padded, starts)
    flips = jax.random.bernoulli(of_flips, shape=[len(images), 1, 1])
    return jnp.where(flips, moved[:, :, ::-1], moved)


# ---- Learning ------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Learned:
    """What came of a net.

    Attributes:
      parameters: Their number.
      minutes: Of learning, without evaluation.
      curve: Minutes until the end of each epoch, its mean loss, accuracy after it.
      probabilities: Of each kind, for the images to be judged by, ``[N, 10]``.
    """

    parameters: int
    minutes: float
    curve: list[tuple[float, float, float]]
    probabilities: np.ndarray


def learn(net, name, train, test, arguments) -> Learned:
    (images, labels), (test_images, test_labels) = train, test
    keys = hk.PRNGSequence(arguments.seed)
    model = hk.bind(net).init(next(keys), scaled(images[:1]))
    size = min(arguments.batch_size, len(images))
    steps = len(images) // size
    epochs = arguments.epochs or EPOCHS[name]
    total = epochs * steps
    schedule = optax.warmup_cosine_decay_schedule(
        *(0.0, arguments.learning_rate, total // 10, total)
    )
    # Biases, norms and positions aren't pulled to zero.
    is_weight = hk.data_structures.map(lambda module, key, _: key == "w", model.params)
    optimizer = optax.chain(
        optax.clip_by_global_norm(1.0),
        optax.adamw(schedule, weight_decay=0.05, mask=model.replace(params=is_weight)),
    )

    @jax.jit
    def step(model, state, key, images, labels):
        def loss_of(model):
            of_images, of_model = jax.random.split(key)
            inputs = scaled(varied(of_images, images))
            logits = model(inputs, rng_key=of_model)  # drops blocks, for it has a key
            wanted = optax.smooth_labels(hk.one_hot(labels, 10), 0.1)
            return optax.softmax_cross_entropy(logits, wanted).mean()

        loss, grads = jax.value_and_grad(loss_of)(model)
        updates, state = optimizer.update(grads, state, model)
        return optax.apply_updates(model, updates), state, loss

    @jax.jit
    def probabilities(model, images):
        return jax.nn.softmax(model(scaled(images)))

    def read(model, images):
        parts = [images[i : i + 500] for i in range(0, len(images), 500)]
        return np.concatenate([probabilities(model, part) for part in parts])

    state = optimizer.init(model)
    order = np.random.default_rng(arguments.seed)
    curve, seconds = [], 0.0
    for epoch in range(1, epochs + 1):
        start, losses = time.perf_counter(), []
        batches = order.permutation(len(images))[: steps * size].reshape(steps, size)
        for batch in (bar := tqdm.tqdm(batches, f"{name}, epoch {epoch}", leave=False)):
            inputs = images[batch], labels[batch]
            model, state, loss = step(model, state, next(keys), *inputs)
            losses.append(float(loss))
            bar.set_postfix(loss=f"{losses[-1]:.3f}", refresh=False)
        seconds += time.perf_counter() - start
        out = read(model, test_images)
        right = float(np.mean(out.argmax(-1) == test_labels))
        curve.append((seconds / 60, float(np.mean(losses)), right))
        print(
            f"{name}, epoch {epoch}: loss {curve[-1][1]:.3f}, {right:.2%} right",
            flush=True,
        )
    number = hk.data_structures.tree_size(model.params)
    return Learned(number, seconds / 60, curve, out)


# ---- The picture ---------------------------------------------------------------------


def draw(results: dict[str, Learned], images, labels, path):
    """The learning curves; kinds taken for others, and images, by the best net."""
    figure, (left, middle, right) = plt.subplots(
        1, 3, figsize=(12, 4), layout="constrained", width_ratios=[1, 1.15, 1]
    )
    for name, learned in results.items():
        minutes, _, accuracy = np.array(learned.curve).T
        left.plot(minutes, 100 * accuracy, "o-", color=COLOURS[name], label=name)
    left.set_xlim(left=0)
    left.set_xlabel("minutes of learning, a point an epoch")
    left.set_title("test images read right, in %", size=10, loc="left")
    left.spines[["top", "right"]].set_visible(False)
    left.legend(frameon=False)

    best, learned = max(results.items(), key=lambda item: item[1].curve[-1][2])
    read = learned.probabilities.argmax(-1)
    counts = np.zeros([10, 10], int)
    np.add.at(counts, (labels, read), 1)
    np.fill_diagonal(counts, 0)
    middle.imshow(counts, cmap="Blues")
    for row, column in zip(*np.nonzero(counts)):
        colour = "white" if counts[row, column] > counts.max() / 2 else "black"
        options = {"ha": "center", "va": "center", "size": 7, "color": colour}
        middle.text(column, row, counts[row, column], **options)
    middle.set_xticks(range(10), KINDS, rotation=90, size=8)
    middle.set_yticks(range(10), KINDS, size=8)
    middle.tick_params(length=0)
    middle.set_title(f"misread by {best}: rows as columns", size=10, loc="left")

    wrong = np.flatnonzero(read != labels)
    sure = wrong[np.argsort(-learned.probabilities[wrong, read[wrong]])][:12]
    right.axis("off")
    right.set_title("misread with most certainty", size=10, loc="left")
    for place, i in enumerate(sure):
        row, column = divmod(place, 4)
        box = right.inset_axes([column / 4, 1 - (row + 1) / 3, 0.24, 0.25])
        box.imshow(images[i], cmap="gray_r")
        box.axis("off")
        box.set_title(f"{KINDS[labels[i]]},\nread {KINDS[read[i]]}", size=6, pad=2)
    figure.savefig(path, dpi=100)
    plt.close(figure)


def main(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    nets = blueprints()
    parser.add_argument("--nets", nargs="+", choices=nets, default=list(nets))
    parser.add_argument("--data", type=pathlib.Path, default=FOLDER, metavar="FOLDER")
    parser.add_argument("--epochs", type=int, help="default: 10 (vit), 5 (convnext)")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("demo"))
    arguments = parser.parse_args(argv)

    try:
        train, test = (read_part(arguments.data, part) for part in ("train", "t10k"))
    except (OSError, ValueError) as error:
        raise SystemExit(str(error)) from error
    names = [name for name in nets if name in arguments.nets]
    results = {name: learn(nets[name], name, train, test, arguments) for name in names}

    print("net         parameters   minutes   test images read right")
    for name, learned in results.items():
        print(
            f"{name:10}{learned.parameters:12,} {learned.minutes:9.1f} "
            f"{learned.curve[-1][2]:24.2%}"
        )
    arguments.out.mkdir(parents=True, exist_ok=True)
    path = arguments.out / "fashion.png"
    draw(results, *test, path)
    print(f"the picture is {path}")
    return results


if __name__ == "__main__":
    main()
