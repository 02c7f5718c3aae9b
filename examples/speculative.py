"""A small model proposes letters that a large one checks, several at a time.

    python examples/speculative.py
    python examples/speculative.py --load demo    # without training again

Both learn the text of `gpt.py`: a target of 8 layers of width 256, and a draft of one
layer of width 128. Then the target goes on from held-out texts, greedily, without the
draft and with it. Texts must be equal; the program prints letters per second, and how
many of the proposed letters the target keeps.
Source: Leviathan, Kalman and Matias, 2023, Fast Inference from Transformers via
Speculative Decoding, arXiv:2211.17192.
"""

import argparse
import pathlib
import statistics
import time

import gpt
import jax
import jax.numpy as jnp
import matplotlib
import numpy as np

import haiku as hk

matplotlib.use("Agg")
import matplotlib.pyplot as plt


def trained(name: str, sizes: dict, letters, text, held_out, arguments):
    """A model of some sizes, trained."""
    own = argparse.Namespace(**{**vars(arguments), **sizes})
    model = gpt.start(hk.nets.Decoder, gpt.config_of(len(letters), own), own.seed)
    model, (_, losses), minutes = gpt.train(
        model, text, held_out, own, own.seed, name, parts=1
    )
    size = hk.data_structures.tree_size(model.params)
    print(
        f"{name}: {size:,} parameters, {losses[-1]:.3f} nats per held-out letter, "
        f"{minutes:.1f} minutes"
    )
    return model


def mean_kept(draft, prompts, written, ahead: int) -> float:
    """How many of `ahead` proposed letters the target keeps in a round, on average.

    As long as the draft agrees, it has read the text of the target. So what it would
    have proposed is its likeliest letter after each part of that text.
    """
    texts = jnp.concatenate([prompts, written], axis=1)
    guesses = jnp.argmax(jax.jit(draft)(texts[:, :-1]), axis=-1)
    agrees = np.asarray(guesses == texts[:, 1:])[:, prompts.shape[1] - 1 :]
    kept = []
    for row in agrees:
        at = 0
        while at + ahead < len(row):
            run = row[at : at + ahead]
            kept.append(ahead if run.all() else int(np.argmin(run)))
            at += kept[-1] + 1
    return statistics.mean(kept)


def measure(target, draft, prompts, number: int, aheads, rounds: int):
    """Seconds of each round by `draft_tokens`, 0 for none; and the letters written."""
    found, first = {ahead: [] for ahead in (0, *aheads)}, None
    for turn in range(rounds + 1):  # the first compiles
        for ahead in found:
            own = {"draft": draft, "draft_tokens": ahead} if ahead else {}
            begin = time.perf_counter()
            for prompt in prompts[:, None]:
                out = hk.generation.generate(
                    target, prompt, max_new_tokens=number, **own
                )
                out.tokens.block_until_ready()
            if turn:
                found[ahead].append(time.perf_counter() - begin)
            elif ahead == 0:
                first = texts_of(target, prompts, number)
            else:
                same = texts_of(target, prompts, number, **own)
                assert (same == first).all(), "the draft has changed the texts"
    return found, first


def prompts_of(text, letters, number: int, length: int):
    """Windows [number, length] of words in a line, as the text has tables too."""
    windows = np.lib.stride_tricks.sliding_window_view(text, length)
    words = [x.isalpha() or x in " ,." for x in letters]
    space = letters.index(" ")
    wide = (windows[:, 1:] == space) & (windows[:, :-1] == space)
    found = np.flatnonzero(np.array(words)[windows].all(axis=1) & ~wide.any(axis=1))
    return windows[found[np.linspace(0, len(found) - 1, number, dtype=int)]]


def texts_of(target, prompts, number: int, **options):
    """What the target writes after each prompt, alone."""
    outs = [
        hk.generation.generate(target, x, max_new_tokens=number, **options).tokens
        for x in prompts[:, None]
    ]
    return np.concatenate(outs)


def draw(path, rows) -> None:
    """Letters per second, and letters kept of those proposed."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3.4), layout="constrained")
    names = ["without" if not ahead else str(ahead) for ahead, *_ in rows]
    bars = left.bar(names, [rate for _, rate, *_ in rows], color="C0")
    bars[0].set_color("0.6")
    left.set(xlabel="letters proposed at a time", ylabel="letters per second")
    aheads, kept = zip(*[(ahead, kept) for ahead, _, _, kept in rows if ahead])
    right.plot(aheads, aheads, "0.6", linestyle="--", label="proposed")
    right.plot(aheads, kept, "C1o-", label="kept, on average")
    right.set(xlabel="letters proposed at a time", ylim=(0, None))
    right.legend()
    figure.savefig(path, dpi=150)
    plt.close(figure)


def main(argv=None):
    parser = gpt.parser_of(__doc__)
    parser.set_defaults(layers=8, width=256, context=128, batch_size=6)
    parser.set_defaults(steps=1000, tests=100)
    parser.add_argument("--draft-layers", type=int, default=1)
    parser.add_argument("--draft-width", type=int, default=128)
    parser.add_argument("--draft-steps", type=int, default=2000)
    parser.add_argument("--draft-tokens", type=int, nargs="+", default=[2, 4, 6, 8])
    parser.add_argument("--prompts", type=int, default=8, help="texts to go on from")
    parser.add_argument("--rounds", type=int, default=5, help="of measuring")
    parser.add_argument("--load", type=pathlib.Path, help="a folder of an earlier run")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("demo"))
    arguments = parser.parse_args(argv)

    arguments.out.mkdir(parents=True, exist_ok=True)
    letters, text, held_out = gpt.split_text()
    sizes = {
        "target": {},
        "draft": {
            "layers": arguments.draft_layers,
            "width": arguments.draft_width,
            "steps": arguments.draft_steps,
        },
    }
    if arguments.load:
        models = [hk.pretrained.load(arguments.load / name).model for name in sizes]
    else:
        models = [
            trained(name, own, letters, text, held_out, arguments)
            for name, own in sizes.items()
        ]
        for name, model in zip(sizes, models):
            hk.pretrained.save(arguments.out / name, model)
    target, draft = models

    before = min(32, arguments.context // 4)
    number = target.net.arguments["config"].max_length - before
    number -= max(arguments.draft_tokens) + 1  # proposed in vain at the end
    prompts = jnp.asarray(prompts_of(held_out, letters, arguments.prompts, before))
    seconds, written = measure(
        target, draft, prompts, number, arguments.draft_tokens, arguments.rounds
    )
    print(
        f"\n{arguments.prompts} texts of {number} letters, one after the other, in "
        f"turns; medians of {arguments.rounds} rounds\n"
    )
    print("proposed  letters/s  speed-up  kept")
    rows = []
    for ahead, times in seconds.items():
        rate = arguments.prompts * number / statistics.median(times)
        faster = statistics.median(plain / own for plain, own in zip(seconds[0], times))
        kept = mean_kept(draft, prompts, written, ahead) if ahead else 0.0
        rows.append((ahead, rate, faster, kept))
        print(
            f"{ahead or 'none':>8}  {rate:9.0f}  {faster:8.2f}"
            + (f"  {kept:4.2f}" if ahead else "")
        )
    print("\nboth ways the target writes:")
    for prompt, new in zip(prompts[:3], written[:3]):
        print("---\n" + "".join(letters[int(i)] for i in (*prompt, *new)))
    draw(arguments.out / "speculative.png", rows)
    return rows


if __name__ == "__main__":
    main()
