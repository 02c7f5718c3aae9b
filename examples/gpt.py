"""A GPT that learns to write Python's help, letter by letter, as nanoGPT does on a CPU.

    python examples/gpt.py              # --seeds 3 for three of them
    python examples/gpt.py --out FOLDER

Four layers of width 128 read 64 letters at a time. It prints losses on held-out text in
nats per letter, draws them beside those of the same net in PyTorch, writes on from a
few words, and saves the model as a folder that `hk.pretrained.load` and transformers
read. `lora.py` and `language_models.py` go on from here.
Sources: Radford et al., 2019, Language Models are Unsupervised Multitask Learners;
Karpathy, 2022, nanoGPT, whose setting for a CPU this is.
"""

import argparse
import json
import pathlib
import time

import jax
import jax.numpy as jnp
import matplotlib
import numpy as np
import optax
import tqdm
from char_transformer import read_text

import haiku as hk

matplotlib.use("Agg")
import matplotlib.pyplot as plt

PYTORCH = pathlib.Path(__file__).parent / "data" / "gpt_pytorch.json"


def split_text():
    """The letters in use; nine tenths of the text as numbers, and the last tenth."""
    letters, text = read_text()
    first = len(text) * 9 // 10
    return letters, text[:first], text[first:]


def config_of(letters: int, arguments) -> hk.nets.DecoderConfig:
    """GPT-2, smaller."""
    return hk.nets.DecoderConfig(
        vocab_size=letters,
        model_size=arguments.width,
        num_layers=arguments.layers,
        num_heads=arguments.heads,
        max_length=arguments.context,
        position="learned",
        norm="layer",
        norm_eps=1e-5,
        activation="gelu_tanh",
        gated=False,
        attention_bias=True,
        output_bias=True,
        mlp_bias=True,
        tied=True,
        dropout=arguments.dropout,
    )


def start(net, config, seed: int):
    """A bound net with GPT-2's initial values.

    Weights are normal with a deviation of 0.02; those whose output is added to the
    hidden state, twice in each layer, are smaller the more layers there are.
    """
    keys = hk.PRNGSequence(seed)
    model = hk.bind(net, config).init(next(keys), jnp.ones([1, 1], jnp.int32))
    last = 0.02 / np.sqrt(2 * config.num_layers)
    down = "**/experts/down" if config.experts else "**/down/w"
    deviations = hk.surgery.labels(
        model.params, {"**/output/w": last, down: last}, default=0.02
    )

    def draw(kind, deviation, x):
        if kind not in ("matrix", "embedding"):
            return x
        return deviation * jax.random.normal(next(keys), x.shape, x.dtype)

    kinds = hk.surgery.kinds(model.params)
    return model.replace(params=jax.tree.map(draw, kinds, deviations, model.params))


def optimizer_of(params, steps: int, learning_rate: float):
    """AdamW as nanoGPT sets it; only matrices decay."""
    schedule = optax.warmup_cosine_decay_schedule(
        0.0, learning_rate, min(100, steps // 2), steps, learning_rate / 10
    )
    decays = jax.tree.map(lambda kind: kind == "matrix", hk.surgery.kinds(params))
    adamw = optax.adamw(schedule, b1=0.9, b2=0.99, weight_decay=0.1, mask=decays)
    return optax.chain(optax.clip_by_global_norm(1.0), adamw)


def loss_fn(model, tokens, rng_key=None):
    """The mean loss of the next letters, and what is minimised, for [B, T + 1]."""
    inputs, targets = tokens[:, :-1], tokens[:, 1:]
    more = 0.0
    if getattr(model.net.arguments["config"], "experts", None):
        logits, losses = model(inputs, router_losses=True, rng_key=rng_key)
        more = 0.01 * losses.load_balance + 0.001 * losses.z
    else:
        logits = model(inputs, rng_key=rng_key)
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, targets)
    return losses.mean(), losses.mean() + more


def batches(text, steps: int, size: int, context: int, seed: int):
    """As many batches [size, context + 1] of random windows as there are steps."""
    random = np.random.default_rng(seed)
    for _ in range(steps):
        starts = random.integers(0, len(text) - context, size)
        yield text[starts[:, None] + np.arange(context + 1)]


def windows(text, context: int, most: int | None = None):
    """At most so many windows [n, context + 1] that predict each letter once."""
    number = min((len(text) - 1) // context, most or len(text))
    return text[np.arange(number)[:, None] * context + np.arange(context + 1)]


@jax.jit
def loss_on(model, tokens):
    """The mean loss of many windows [n, T + 1], some at a time."""
    size = max(n for n in range(1, 33) if len(tokens) % n == 0)
    parts = tokens.reshape(-1, size, tokens.shape[1])
    return jax.lax.map(lambda x: loss_fn(model, x)[0], parts).mean()


def train(model, text, held_out, arguments, seed, name, parts=10, only=None):
    """The trained model, its curve on held-out text, and minutes without that.

    The curve is a list of steps and a list of losses: at first, and after each part of
    the training. With a pattern `only`, other parameters stay as they are.
    """
    params, fixed, steps = model.params, {}, arguments.steps
    if only:
        params, fixed = hk.surgery.split(params, only)
    optimizer = optimizer_of(params, steps, arguments.learning_rate)
    keys = hk.PRNGSequence(seed)

    def whole(params):
        return model.replace(params=hk.surgery.merge(params, fixed))

    @jax.jit
    def step(params, state, tokens, key):
        def loss(params):
            loss, minimised = loss_fn(whole(params), tokens, key)
            return minimised, loss

        gradient, loss = jax.grad(loss, has_aux=True)(params)
        updates, state = optimizer.update(gradient, state, params)
        return optax.apply_updates(params, updates), state, loss

    tests = windows(held_out, arguments.context, arguments.tests)
    state, curve, seconds = optimizer.init(params), ([], []), 0.0
    text = batches(text, steps, arguments.batch_size, arguments.context, seed)
    with tqdm.tqdm(text, total=steps, desc=name) as progress:
        for i, tokens in enumerate(progress):
            if i % -(-steps // parts) == 0:
                curve[0].append(i)
                curve[1].append(float(loss_on(whole(params), tests)))
                progress.set_postfix(held_out=f"{curve[1][-1]:.3f}")
            begin = time.perf_counter()
            key = next(keys) if arguments.dropout else None
            params, state, loss = step(params, state, tokens, key)
            loss.block_until_ready()
            seconds += time.perf_counter() - begin
    model = whole(params)
    curve[0].append(steps)
    curve[1].append(float(loss_on(model, tests)))
    return model, curve, seconds / 60


def write(model, letters, text: str, length: int, seed: int = 0) -> str:
    """Goes on from a text; learned positions end, so the model sees the last half."""
    half = model.net.arguments["config"].max_length // 2
    keys = hk.PRNGSequence(seed)
    end = len(text) + length
    while len(text) < end:
        tokens = jnp.array([[letters.index(letter) for letter in text[-half:]]])
        out = hk.generation.generate(
            model,
            tokens,
            max_new_tokens=half,
            temperature=0.8,
            top_k=40,
            rng_key=next(keys),
        )
        text += "".join(letters[int(i)] for i in out.tokens[0])
    return text[:end]


def draw(path, curves) -> None:
    """A picture of losses on held-out text, by name lists of (steps, losses)."""
    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    for i, (name, runs) in enumerate(curves.items()):
        for j, (steps, losses) in enumerate(runs):
            style = dict(color=f"C{i}", linestyle="--" if i else "-", alpha=0.8)
            axes.plot(steps, losses, label=None if j else name, **style)
    axes.set(xlabel="iterations", ylabel="loss on held-out text, nats per letter")
    axes.set_ylim(top=3.5)
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=150)
    plt.close(figure)


def parser_of(description: str) -> argparse.ArgumentParser:
    """The options of nanoGPT's setting, for this program and others."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--batch-size", type=int, default=12)
    parser.add_argument("--context", type=int, default=64)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--heads", type=int, default=4)
    parser.add_argument("--dropout", type=float, default=0.0)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--tests", type=int, help="held-out windows; default: all")
    parser.add_argument("--seed", type=int, default=0, help="the first one")
    parser.add_argument("--seeds", type=int, default=1, help="how many to train")
    return parser


def main(argv=None):
    parser = parser_of(__doc__)
    parser.add_argument("--write", type=int, default=400, help="letters to write")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("demo"))
    arguments = parser.parse_args(argv)

    letters, text, held_out = split_text()
    config = config_of(len(letters), arguments)
    curves, first = [], None
    for seed in range(arguments.seed, arguments.seed + arguments.seeds):
        model = start(hk.nets.Decoder, config, seed)
        if first is None:
            size = hk.data_structures.tree_size(model.params)
            print(f"{size:,} parameters, {len(text):,} letters")
        model, curve, minutes = train(
            model, text, held_out, arguments, seed, f"seed {seed}"
        )
        print(f"seed {seed}: {curve[1][-1]:.4f} nats per letter, {minutes:.1f} minutes")
        curves.append(curve)
        first = first or model
    last = [losses[-1] for _, losses in curves]
    print(f"held-out text: {np.mean(last):.4f} +- {np.std(last):.4f} nats per letter")

    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "gpt_curves.json").write_text(json.dumps(curves))
    shown = {"hk.nets.Decoder": curves}
    if PYTORCH.exists():
        peer = json.loads(PYTORCH.read_text())["curves"]
        ends = [losses[-1] for _, losses in peer]
        print(
            f"the same in PyTorch, as measured once with {len(ends)} seeds: "
            f"{np.mean(ends):.4f} +- {np.std(ends):.4f}"
        )
        shown["the same in PyTorch"] = peer
    draw(arguments.out / "gpt.png", shown)
    hk.pretrained.save(arguments.out / "gpt", first)
    print(f"the model of seed {arguments.seed} is in {arguments.out / 'gpt'}\n")
    print(write(first, letters, "The statement ", arguments.write))
    return last


if __name__ == "__main__":
    main()
