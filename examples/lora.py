"""A GPT that knows Python's help learns Python's source code, with few parameters.

    python examples/gpt.py              # writes demo/gpt
    python examples/lora.py             # goes on from there, or trains a short one
    python examples/lora.py --text FILE

Once low-rank updates of the attention's weights learn, and once all parameters. The
program prints the losses on the new and the old text, each held out, saves the updates
alone, in the layout of PEFT, loads them into the model again and merges them.
Source: Hu et al., 2021, LoRA: Low-Rank Adaptation of Large Language Models,
arXiv:2106.09685.
"""

import importlib.util
import pathlib

import gpt
import matplotlib
import numpy as np

import haiku as hk

matplotlib.use("Agg")
import matplotlib.pyplot as plt

MODULES = ("argparse", "dataclasses", "datetime", "fractions", "pathlib", "typing")


def new_text(file, letters):
    """Nine tenths of a text as numbers, and the rest: a file, or source of Python.

    Letters that the model doesn't know become spaces.
    """
    files = [file] if file else [importlib.util.find_spec(x).origin for x in MODULES]
    text = "\n".join(pathlib.Path(x).read_text(encoding="utf-8") for x in files)
    number = {letter: i for i, letter in enumerate(letters)}
    text = np.array([number.get(x, number[" "]) for x in text], np.int32)
    # The last 2000 of each 20,000 letters are held out.
    held = np.arange(len(text)) // 2000 % 10 == 9
    return text[~held], text[held]


def base_model(folder, letters, text, held_out, arguments):
    """The model of a folder that `gpt.py` wrote; without one, a new one."""
    if (folder / "config.json").exists():
        model = hk.pretrained.load(folder).model
        size = model.net.arguments["config"].vocab_size
        if size != len(letters):
            raise SystemExit(
                f"The model in {folder} knows {size} letters, and this Python's help "
                f"has {len(letters)}: run gpt.py again, or give another --model."
            )
        return model
    print(f"{folder} has no model: training one for {arguments.base_steps} steps")
    model = gpt.start(hk.nets.Decoder, gpt.config_of(len(letters), arguments), 0)
    own = type(arguments)(**{**vars(arguments), "steps": arguments.base_steps})
    own.learning_rate = 1e-3
    return gpt.train(model, text, held_out, own, 0, "help", parts=1)[0]


def bytes_in(folder) -> int:
    """The size of all files."""
    return sum(file.stat().st_size for file in folder.iterdir())


def draw(path, losses) -> None:
    """Bars: losses on both texts, of each model."""
    figure, axes = plt.subplots(figsize=(6, 3.6), layout="constrained")
    for i, text in enumerate(("new text", "old text")):
        places = np.arange(len(losses)) + 0.4 * i
        bars = axes.bar(places, [x[i] for x in losses.values()], 0.38, label=text)
        axes.bar_label(bars, fmt="%.2f")
    axes.set_xticks(np.arange(len(losses)) + 0.2, list(losses))
    axes.set(ylabel="loss on held-out text, nats per letter")
    axes.margins(y=0.15)
    axes.legend()
    figure.savefig(path, dpi=150)
    plt.close(figure)


def main(argv=None):
    parser = gpt.parser_of(__doc__)
    parser.set_defaults(steps=500, learning_rate=5e-3)
    parser.add_argument("--full-learning-rate", type=float, default=1e-3)
    parser.add_argument("--rank", type=int, default=4)
    parser.add_argument("--weights", default="**/attention/*/w", help="a pattern")
    parser.add_argument("--base-steps", type=int, default=300)
    parser.add_argument("--text", type=pathlib.Path, help="a file in UTF-8")
    default = pathlib.Path("demo")
    parser.add_argument("--model", type=pathlib.Path, default=default / "gpt")
    parser.add_argument("--out", type=pathlib.Path, default=default)
    arguments = parser.parse_args(argv)

    letters, *old = gpt.split_text()
    new = new_text(arguments.text, letters)
    base = base_model(arguments.model, letters, *old, arguments)
    arguments.context = base.net.arguments["config"].max_length
    sizes = arguments.context, arguments.tests
    tests = [gpt.windows(text, *sizes) for text in (new[1], old[1])]
    losses, rows = {}, []

    def add(name, model, trained=0, size=0, minutes=0.0):
        losses[name] = [float(gpt.loss_on(model, test)) for test in tests]
        rows.append((name, trained, size / 1000, *losses[name], minutes))

    add("before", base)
    lora = hk.adapt.LoRA(arguments.weights, arguments.rank)
    model = hk.adapt.add(base, lora, rng_key=arguments.seed)
    model, _, minutes = gpt.train(
        *(model, *new, arguments, arguments.seed, "LoRA"), parts=1, only="**/lora_*"
    )
    folder = arguments.out / "lora"
    hk.pretrained.save_adapters(folder, model)
    again = hk.pretrained.load_adapters(folder, base)
    merged = hk.adapt.merge(again)
    updates = hk.surgery.select(model.params, "**/lora_*")
    size = hk.data_structures.tree_size(updates)
    add("LoRA", model, size, bytes_in(folder), minutes)
    add("LoRA, loaded and merged", merged)

    arguments.learning_rate = arguments.full_learning_rate
    full, _, minutes = gpt.train(
        *(base, *new, arguments, arguments.seed, "all parameters"), parts=1
    )
    folder = arguments.out / "lora_beside"
    hk.pretrained.save(folder, full)
    size = hk.data_structures.tree_size(full.params)
    add("all parameters", full, size, bytes_in(folder), minutes)

    print(f"{len(new[0]):,} letters of new text\n")
    print("model                    trained   folder  new text  old text  minutes")
    for name, trained, size, *both, minutes in rows:
        costs = f"{trained:9,}  {size:4.0f} KB" if trained else " " * 18
        took = f"{minutes:9.1f}" if trained else ""
        print(f"{name:23}{costs:>18}{both[0]:10.3f}{both[1]:10.3f}{took}".rstrip())
    draw(arguments.out / "lora.png", {x: y for x, y in losses.items() if "," not in x})
    print(f"\nthe merged model goes on:\n{gpt.write(merged, letters, 'def ', 200)}")
    return rows


if __name__ == "__main__":
    main()
